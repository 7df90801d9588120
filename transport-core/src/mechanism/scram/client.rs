//! The client's side.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::keys::{
    ClientKeys, FEWEST_ITERATIONS, MOST_ITERATIONS, VerifierError, hmac, prepare_password, sha256,
};
use super::messages::{
    BindingFlag, binding, is_user, read_server_final, read_server_first, split_body, token,
    write_client_final, write_client_final_without_proof, write_client_first_bare,
};
use super::{BINDING, PLAIN_NAME, PLUS_NAME};
use crate::evidence::Proof;
use crate::framing::{Role, Token};
use crate::mechanism::{
    Context, Mechanism, MechanismFactory, MechanismProperties, Outcome, Refusal, Step, expect, properties,
};

/// The client's side of SCRAM-SHA-256: who it is, and its password, which never leaves it.
///
/// What the password is stretched to is kept as long as this value and its clones live, so that coming back costs the
/// client no more than a few hashes. [`keys`](ScramClient::keys) are the same for a later process.
///
/// # Security
///
/// The server proves that it knows what was derived from this user's password, and nothing more about itself: it
/// appears as [`Proof::User`] with the same name. A server that asks for fewer than 4,096 iterations is refused, since it
/// may be after the password; one that asks for more than 10,000,000 too.
#[derive(Clone)]
pub struct ScramClient {
    plus: bool,
    user: String,
    /// `None` where there are only keys.
    password: Option<Arc<Zeroizing<String>>>,
    keys: Arc<Mutex<Option<ClientKeys>>>,
}

impl ScramClient {
    /// The mechanism `SCRAM-SHA-256`, for streams without channel binding: unix and mem.
    ///
    /// # Errors
    ///
    /// When the password is empty or has characters that SASLprep (RFC 4013) prohibits, or the user's name is empty or
    /// has more than 1,024 bytes.
    pub fn new(user: impl Into<String>, password: &str) -> Result<ScramClient, VerifierError> {
        let password = Arc::new(prepare_password(password)?);
        ScramClient::make(user.into(), Some(password), None)
    }

    /// The mechanism `SCRAM-SHA-256-PLUS`, bound to the TLS stream that it runs over.
    ///
    /// # Errors
    ///
    /// As [`ScramClient::new`].
    pub fn plus(user: impl Into<String>, password: &str) -> Result<ScramClient, VerifierError> {
        Ok(ScramClient { plus: true, ..ScramClient::new(user, password)? })
    }

    /// As [`ScramClient::new`], with the [`keys`](ScramClient::keys) of an earlier login instead of the password, which
    /// is then not needed any more: for programs that start often and end soon.
    ///
    /// Logging in fails once the user's password is set anew at the server, even to the same one: its salt is another.
    ///
    /// # Errors
    ///
    /// When the user's name is empty or has more than 1,024 bytes.
    pub fn from_keys(user: impl Into<String>, keys: ClientKeys) -> Result<ScramClient, VerifierError> {
        ScramClient::make(user.into(), None, Some(keys))
    }

    /// As [`ScramClient::plus`], with the keys of an earlier login: see [`ScramClient::from_keys`].
    ///
    /// # Errors
    ///
    /// As [`ScramClient::from_keys`].
    pub fn plus_from_keys(user: impl Into<String>, keys: ClientKeys) -> Result<ScramClient, VerifierError> {
        Ok(ScramClient { plus: true, ..ScramClient::from_keys(user, keys)? })
    }

    /// What the password was stretched to for the last login, if there was any: what it takes to log in again without
    /// stretching it again, here or in another process.
    pub fn keys(&self) -> Option<ClientKeys> {
        self.locked_keys().clone()
    }

    fn make(
        user: String,
        password: Option<Arc<Zeroizing<String>>>,
        keys: Option<ClientKeys>,
    ) -> Result<ScramClient, VerifierError> {
        if !is_user(&user) {
            return Err(VerifierError("the user's name is empty or has more than 1,024 bytes"));
        }
        Ok(ScramClient { plus: false, user, password, keys: Arc::new(Mutex::new(keys)) })
    }

    fn locked_keys(&self) -> MutexGuard<'_, Option<ClientKeys>> {
        // Held to copy the keys only.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClient")
            .field("user", &self.user)
            .field("plus", &self.plus)
            .finish_non_exhaustive()
    }
}

impl MechanismFactory for ScramClient {
    fn name(&self) -> &'static str {
        if self.plus { PLUS_NAME } else { PLAIN_NAME }
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Client)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_proves_server(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Client { config: self.clone(), state: State::Start })
    }
}

struct Client {
    config: ScramClient,
    state: State,
}

enum State {
    Start,
    ExpectWelcome { flag: BindingFlag, nonce: String, first_bare: String },
    Deriving { welcomed: Welcomed, work: JoinHandle<ClientKeys> },
    Derived { welcomed: Welcomed, keys: Option<ClientKeys> },
    ExpectReady { signature: [u8; 32] },
    Ended,
}

/// What is known after WELCOME.
struct Welcomed {
    flag: BindingFlag,
    nonce: String,
    /// The two first messages, as they are signed.
    transcript: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl Mechanism for Client {
    fn step(&mut self, received: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Start => self.hello(context),
            State::ExpectWelcome { flag, nonce, first_bare } => {
                let (text, rest) = split_body(expect(received, "WELCOME")?.body, "WELCOME")?;
                if !rest.is_empty() {
                    return Err(Refusal::Malformed { token: "WELCOME", problem: "bytes follow its message" });
                }
                let server = read_server_first(&text, &nonce)?;
                if !(FEWEST_ITERATIONS..=MOST_ITERATIONS).contains(&server.iterations) {
                    let problem = "it asks for less than 4,096 or more than 10,000,000 iterations";
                    return Err(Refusal::Malformed { token: "WELCOME", problem });
                }
                let welcomed = Welcomed {
                    flag,
                    nonce: server.nonce.to_owned(),
                    transcript: format!("{first_bare},{text}"),
                    salt: server.salt,
                    iterations: server.iterations,
                };
                let kept =
                    self.config.keys().filter(|keys| keys.are_for(&welcomed.salt, welcomed.iterations));
                if let Some(keys) = kept {
                    return self.initiate(&welcomed, &keys, context);
                }
                let Some(password) = self.config.password.clone() else {
                    let reason = "the kept keys are of another salt or iteration count than the server's: \
                                  log in with the password";
                    return Err(Refusal::Other { reason: reason.to_owned(), tell: false });
                };
                let (salt, iterations) = (welcomed.salt.clone(), welcomed.iterations);
                // It takes a tenth of a second or more, and other tasks must go on.
                let work = move || ClientKeys::derive(&password, &salt, iterations);
                self.state = State::Deriving { welcomed, work: tokio::task::spawn_blocking(work) };
                Ok(Step::Wait)
            }
            State::Derived { welcomed, keys } => {
                let keys =
                    keys.ok_or_else(|| Refusal::Unavailable { problem: "deriving the keys failed".into() })?;
                *self.config.locked_keys() = Some(keys.clone());
                self.initiate(&welcomed, &keys, context)
            }
            State::ExpectReady { signature } => {
                let (text, rest) = split_body(expect(received, "READY")?.body, "READY")?;
                // The signature is no secret any more, but comparing in constant time costs nothing.
                if !super::keys::Key(signature).is(&read_server_final(&text)?) {
                    let reason =
                        "the server does not know this user's password: its signature is wrong".to_owned();
                    return Err(Refusal::Other { reason, tell: false });
                }
                let claims = properties::decode(rest, "READY")?;
                let name = self.config.user.clone();
                let proof = Proof::User { name, mechanism: self.config.name() };
                Ok(Step::Done { send: None, outcome: Outcome::new().with_proof(proof).with_claims(claims) })
            }
            State::Deriving { .. } | State::Ended => {
                let found = received.map_or_else(|| "nothing".to_owned(), |token| token.name);
                Err(Refusal::Unexpected { found, expected: "nothing" })
            }
        }
    }

    fn poll_wait(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Deriving { welcomed, mut work } => {
                let poll = std::pin::Pin::new(&mut work).poll(cx);
                if poll.is_pending() {
                    self.state = State::Deriving { welcomed, work };
                    return Poll::Pending;
                }
                State::Derived { welcomed, keys: ready!(poll).ok() }
            }
            other => other,
        };
        Poll::Ready(())
    }
}

impl Client {
    fn hello(&mut self, context: &Context<'_>) -> Result<Step, Refusal> {
        let bindable = context.evidence.channel_binding().is_some_and(|binding| binding.kind == BINDING);
        let flag = match (self.config.plus, bindable) {
            (true, true) => BindingFlag::Bound,
            (true, false) => {
                let reason =
                    format!("{PLUS_NAME} needs a stream with the channel binding {BINDING}: TLS 1.3");
                return Err(Refusal::Other { reason, tell: false });
            }
            (false, true) => BindingFlag::ServerCannot,
            (false, false) => BindingFlag::None,
        };
        let nonce = new_nonce()?;
        let first_bare = write_client_first_bare(&self.config.user, &nonce);
        let hello = token("HELLO", &format!("{}{first_bare}", flag.header()), None);
        self.state = State::ExpectWelcome { flag, nonce, first_bare };
        Ok(Step::Send(hello))
    }

    fn initiate(
        &mut self,
        welcomed: &Welcomed,
        keys: &ClientKeys,
        context: &Context<'_>,
    ) -> Result<Step, Refusal> {
        let value = context.evidence.channel_binding().map_or(&[][..], |binding| &binding.value);
        let without_proof = write_client_final_without_proof(&binding(welcomed.flag, value), &welcomed.nonce);
        let signed = format!("{},{without_proof}", welcomed.transcript);
        let client_signature = hmac(&sha256(&keys.client_key.0).0, signed.as_bytes());
        let proof = keys.client_key.xor(&client_signature);
        self.state = State::ExpectReady { signature: hmac(&keys.server_key.0, signed.as_bytes()).0 };
        let message = write_client_final(&without_proof, &proof.0);
        Ok(Step::Send(token("INITIATE", &message, Some(context.own_claims))))
    }
}

/// 144 random bits.
pub(super) fn new_nonce() -> Result<String, Refusal> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)
        .map_err(|_| Refusal::Unavailable { problem: "the system has no random bytes".to_owned() })?;
    Ok(BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::claims::Claims;
    use crate::evidence::{Evidence, Protection};

    /// The exchange of RFC 7677 Section 3, with the server's last message as it is and altered.
    #[tokio::test]
    async fn the_vectors_of_the_rfc_hold() {
        const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        let (evidence, claims) = (Evidence::new(Protection::SameHost), Claims::new());
        let context = Context::new(Role::Client, &evidence, &claims, Instant::now());
        let no_claims = Some(&claims);
        for (last, right) in [(SIGNATURE.to_owned(), true), (SIGNATURE.replace("6r", "7r"), false)] {
            let (nonce, first_bare) = ("rOprNGfwEbeRWgbNEkqO", "n=user,r=rOprNGfwEbeRWgbNEkqO");
            assert_eq!(write_client_first_bare("user", nonce), first_bare);
            let state = State::ExpectWelcome {
                flag: BindingFlag::None,
                nonce: nonce.to_owned(),
                first_bare: first_bare.to_owned(),
            };
            let mut client = Client { config: ScramClient::new("user", "pencil").unwrap(), state };

            let welcome =
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
            let step = client.step(Some(token("WELCOME", welcome, None)), &context).unwrap();
            assert!(matches!(step, Step::Wait), "the password is stretched elsewhere");
            std::future::poll_fn(|cx| client.poll_wait(cx)).await;
            let Step::Send(initiate) = client.step(None, &context).unwrap() else { panic!("INITIATE") };
            let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
            assert_eq!(initiate, token("INITIATE", proof, no_claims));

            let done = client.step(Some(token("READY", &last, no_claims)), &context);
            assert_eq!(matches!(done, Ok(Step::Done { .. })), right, "{done:?}");
        }
    }
}
