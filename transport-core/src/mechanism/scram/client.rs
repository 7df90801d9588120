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
    BindingFlag, binding, read_server_final, read_server_first, split_body, token, write_client_final,
    write_client_final_without_proof, write_client_first_bare,
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
/// client no more than a few hashes.
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
    password: Arc<Zeroizing<String>>,
    derived: Arc<Mutex<Option<Derived>>>,
}

/// Keys and what they were derived with.
struct Derived {
    salt: Vec<u8>,
    iterations: u32,
    keys: ClientKeys,
}

impl ScramClient {
    /// The mechanism `SCRAM-SHA-256`, for streams without channel binding: unix and mem.
    ///
    /// # Errors
    ///
    /// When the password is empty or has characters that SASLprep (RFC 4013) prohibits.
    pub fn new(user: impl Into<String>, password: &str) -> Result<ScramClient, VerifierError> {
        let password = Arc::new(prepare_password(password)?);
        Ok(ScramClient { plus: false, user: user.into(), password, derived: Arc::default() })
    }

    /// The mechanism `SCRAM-SHA-256-PLUS`, bound to the TLS stream that it runs over.
    ///
    /// # Errors
    ///
    /// As [`ScramClient::new`].
    pub fn plus(user: impl Into<String>, password: &str) -> Result<ScramClient, VerifierError> {
        Ok(ScramClient { plus: true, ..ScramClient::new(user, password)? })
    }

    fn derived(&self) -> MutexGuard<'_, Option<Derived>> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys_for(&self, salt: &[u8], iterations: u32) -> Option<ClientKeys> {
        let derived = self.derived();
        let derived = derived.as_ref().filter(|d| d.salt == salt && d.iterations == iterations)?;
        Some(derived.keys.clone())
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
                match self.config.keys_for(&welcomed.salt, welcomed.iterations) {
                    Some(keys) => self.initiate(&welcomed, &keys, context),
                    None => {
                        let (password, salt) = (Arc::clone(&self.config.password), welcomed.salt.clone());
                        let iterations = welcomed.iterations;
                        // It takes a tenth of a second or more, and other tasks must go on.
                        let work = move || ClientKeys::derive(&password, &salt, iterations);
                        self.state = State::Deriving { welcomed, work: tokio::task::spawn_blocking(work) };
                        Ok(Step::Wait)
                    }
                }
            }
            State::Derived { welcomed, keys } => {
                let keys =
                    keys.ok_or_else(|| Refusal::Unavailable { problem: "deriving the keys failed".into() })?;
                *self.config.derived() = Some(Derived {
                    salt: welcomed.salt.clone(),
                    iterations: welcomed.iterations,
                    keys: keys.clone(),
                });
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
