//! The server's side of CURVE.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use subtle::ConstantTimeEq as _;
use transport_core::framing::{Role, Token};
use transport_core::mechanism::{
    Context, Mechanism, MechanismFactory, MechanismProperties, Outcome, Step, Verdict, expect, properties,
};
use transport_core::{Claims, Proof, Refusal};
use zeroize::Zeroizing;

use super::boxes::{self, SharedKey, numbered};
use super::client::COOKIE;
use super::keys::{self, CurvePublicKey, CurveSecretKey};
use super::{NAME, seal};

/// The server's side of CURVE.
///
/// It proves which key the client owns; who may in is for the [`Policy`](transport_core::Policy) to say, such as
/// [`CurvePublicKey::policy`], and for a [`KeyVerifier`] if there is one.
///
/// # Examples
///
/// See the [module](super).
#[derive(Clone)]
pub struct CurveServer {
    settings: Arc<Settings>,
}

struct Settings {
    secret: CurveSecretKey,
    public: CurvePublicKey,
    verifier: Option<Box<dyn KeyVerifier>>,
}

impl CurveServer {
    /// With this side's `secret` key, whose public key the clients must know.
    pub fn new(secret: CurveSecretKey) -> CurveServer {
        let public = secret.public_key();
        CurveServer { settings: Arc::new(Settings { secret, public, verifier: None }) }
    }

    /// As [`new`](CurveServer::new), and asks `verifier` about each client's key, before the policy: for keys that are
    /// in a store of your own.
    pub fn with_verifier(secret: CurveSecretKey, verifier: impl KeyVerifier + 'static) -> CurveServer {
        let public = secret.public_key();
        CurveServer { settings: Arc::new(Settings { secret, public, verifier: Some(Box::new(verifier)) }) }
    }

    /// The public key of this side, which clients must know.
    pub fn public_key(&self) -> CurvePublicKey {
        self.settings.public
    }
}

impl fmt::Debug for CurveServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurveServer").field("public", &self.settings.public).finish_non_exhaustive()
    }
}

impl MechanismFactory for CurveServer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Server)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_seals(true).with_proves_server(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Server { settings: Arc::clone(&self.settings), state: State::ExpectHello })
    }
}

/// Says whether the owner of a key may in: a store of your own.
///
/// A function or closure from a key to a [`Verdict`] is one.
pub trait KeyVerifier: Send + Sync {
    /// Whether the owner of this key may in. Must not block: what takes time goes into [`Verdict::Later`].
    fn verify(&self, key: &CurvePublicKey) -> Verdict;
}

impl<F: Fn(&CurvePublicKey) -> Verdict + Send + Sync> KeyVerifier for F {
    fn verify(&self, key: &CurvePublicKey) -> Verdict {
        self(key)
    }
}

pub(super) struct Server {
    settings: Arc<Settings>,
    state: State,
}

enum State {
    ExpectHello,
    /// All that is kept after WELCOME; the rest comes back in the cookie.
    ExpectInitiate {
        cookie_key: SharedKey,
        hello_number: u64,
    },
    Verifying(Pin<Box<dyn Future<Output = Result<bool, String>> + Send>>, Box<Proven>),
    Verified(Result<bool, String>, Box<Proven>),
    Over,
}

/// A client that has proven its key.
pub(super) struct Proven {
    client: CurvePublicKey,
    claims: Claims,
    session: SharedKey,
    initiate_number: u64,
}

/// What is made anew for each connection.
pub(super) struct Fresh {
    pub(super) transient: CurveSecretKey,
    pub(super) welcome_nonce: [u8; 16],
    pub(super) cookie_nonce: [u8; 16],
    pub(super) cookie_key: Zeroizing<[u8; 32]>,
}

impl Fresh {
    fn random() -> Fresh {
        let (mut welcome_nonce, mut cookie_nonce, mut cookie_key) =
            ([0; 16], [0; 16], Zeroizing::new([0; 32]));
        keys::random(&mut welcome_nonce);
        keys::random(&mut cookie_nonce);
        keys::random(&mut *cookie_key);
        Fresh { transient: CurveSecretKey::generate(), welcome_nonce, cookie_nonce, cookie_key }
    }
}

const READY_NUMBER: u64 = 1;

impl Mechanism for Server {
    fn step(&mut self, token: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ExpectHello if token.is_none() => {
                self.state = State::ExpectHello;
                Ok(Step::Expect)
            }
            State::ExpectHello => self.welcome(&expect(token, "HELLO")?.body, Fresh::random),
            State::ExpectInitiate { cookie_key, hello_number } => {
                let proven = self.prove(&expect(token, "INITIATE")?.body, &cookie_key, hello_number)?;
                match self.settings.verifier.as_ref().map(|verifier| verifier.verify(&proven.client)) {
                    None => ready(proven, Ok(true), context),
                    Some(Verdict::Now(accepted)) => ready(proven, Ok(accepted), context),
                    Some(Verdict::Later(future)) => {
                        self.state = State::Verifying(future, Box::new(proven));
                        Ok(Step::Wait)
                    }
                }
            }
            State::Verified(verdict, proven) => ready(*proven, verdict, context),
            State::Verifying(..) | State::Over => expect(token, "nothing").map(|_| Step::Expect),
        }
    }

    fn poll_wait(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Verifying(mut future, proven) => match future.as_mut().poll(cx) {
                Poll::Ready(verdict) => self.state = State::Verified(verdict, proven),
                Poll::Pending => {
                    self.state = State::Verifying(future, proven);
                    return Poll::Pending;
                }
            },
            other => self.state = other,
        }
        Poll::Ready(())
    }
}

impl Server {
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn new(server: &CurveServer) -> Server {
        Server { settings: Arc::clone(&server.settings), state: State::ExpectHello }
    }

    pub(super) fn welcome(&mut self, hello: &[u8], fresh: impl FnOnce() -> Fresh) -> Result<Step, Refusal> {
        let malformed = |problem| Refusal::Malformed { token: "HELLO", problem };
        if hello.len() != HELLO {
            return Err(malformed("it has another length"));
        }
        if hello[..2] != [1, 0] {
            return Err(malformed("its version is not 1.0"));
        }
        let (client, rest) = hello[74..].split_first_chunk().expect("HELLO has 194 bytes");
        let (number, sealed) = rest.split_first_chunk().expect("HELLO has 194 bytes");
        let (client, number) = (CurvePublicKey::from_bytes(*client), u64::from_be_bytes(*number));
        let key = SharedKey::new(&client, &self.settings.secret);
        let key = key.ok_or_else(|| malformed("its key is no key"))?;
        let opened = key.open(&numbered(b"CurveZMQHELLO---", number), sealed);
        opened
            .ok_or_else(|| malformed("its box does not open: the client has another key for this server"))?;

        let Fresh { transient, welcome_nonce, cookie_nonce, cookie_key } = fresh();
        let cookie_key = SharedKey::from_bytes(cookie_key);
        let kept = Zeroizing::new([*client.as_bytes(), *transient.as_bytes()].concat());
        let mut content = transient.public_key().as_bytes().to_vec();
        content.extend_from_slice(&cookie_nonce);
        content.extend_from_slice(&cookie_key.seal(&boxes::random(b"COOKIE--", &cookie_nonce), &kept));
        let mut body = welcome_nonce.to_vec();
        body.extend_from_slice(&key.seal(&boxes::random(b"WELCOME-", &welcome_nonce), &content));
        self.state = State::ExpectInitiate { cookie_key, hello_number: number };
        Ok(Step::Send(Token::new("WELCOME", body)))
    }

    /// Checks an INITIATE: the client has the key that it names, made this connection, and meant this server.
    pub(super) fn prove(
        &self,
        initiate: &[u8],
        cookie_key: &SharedKey,
        hello_number: u64,
    ) -> Result<Proven, Refusal> {
        let malformed = |problem| Refusal::Malformed { token: "INITIATE", problem };
        let parts = initiate.split_first_chunk::<COOKIE>().and_then(|(cookie, rest)| {
            let (number, sealed) = rest.split_first_chunk()?;
            Some((cookie, u64::from_be_bytes(*number), sealed))
        });
        let (cookie, number, sealed) = parts.ok_or_else(|| malformed("it is too short"))?;
        // libzmq does not look at it; RFC 26 wants it.
        if number <= hello_number {
            return Err(malformed("its number is not greater than that of HELLO"));
        }
        let (nonce, cookie) = cookie.split_first_chunk().expect("a cookie has 96 bytes");
        let kept = cookie_key.open(&boxes::random(b"COOKIE--", nonce), cookie);
        let kept = kept.ok_or_else(|| malformed("its cookie is not from this connection"))?;
        let (transient_client, transient) =
            kept.split_first_chunk::<32>().expect("the cookie keeps 64 bytes");
        let transient = Zeroizing::new(transient.try_into().expect("the cookie keeps 64 bytes"));
        let transient = CurveSecretKey::from_bytes(transient);
        let transient_client = CurvePublicKey::from_bytes(*transient_client);

        let session = SharedKey::new(&transient_client, &transient).expect("HELLO's key was one");
        let content = session.open(&numbered(b"CurveZMQINITIATE", number), sealed);
        let content = content.ok_or_else(|| malformed("its box does not open"))?;
        let fields = content.split_first_chunk::<32>().and_then(|(client, rest)| {
            let (nonce, rest) = rest.split_first_chunk::<16>()?;
            let (vouch, claims) = rest.split_first_chunk::<VOUCH>()?;
            Some((CurvePublicKey::from_bytes(*client), nonce, vouch, claims))
        });
        let (client, nonce, vouch, claims) = fields.ok_or_else(|| malformed("its content is too short"))?;

        let vouching = SharedKey::new(&client, &transient).ok_or_else(|| malformed("its key is no key"))?;
        let vouched = vouching.open(&boxes::random(b"VOUCH---", nonce), vouch);
        let vouched =
            vouched.ok_or_else(|| malformed("its vouch does not open: it does not have the key it names"))?;
        // libzmq does not look at S. Without it, a server could pass a client's vouch on to another server.
        let expected = [*transient_client.as_bytes(), *self.settings.public.as_bytes()].concat();
        if !bool::from(vouched.ct_eq(&expected)) {
            return Err(malformed("its vouch is for another connection or server"));
        }
        let claims = properties::decode(claims.to_vec().into(), "INITIATE")?;
        Ok(Proven { client, claims, session, initiate_number: number })
    }
}

/// The last token, if the verifier let the client in.
fn ready(proven: Proven, verdict: Result<bool, String>, context: &Context<'_>) -> Result<Step, Refusal> {
    let Proven { client, claims, session, initiate_number } = proven;
    match verdict {
        Ok(true) => {}
        Ok(false) => {
            let reason = format!("the verifier does not know the key {client}");
            return Err(Refusal::Other { reason, tell: true });
        }
        Err(problem) => return Err(Refusal::Unavailable { problem }),
    }
    let mut content = Vec::new();
    properties::encode(context.own_claims, &mut content);
    let mut body = READY_NUMBER.to_be_bytes().to_vec();
    body.extend_from_slice(&session.seal(&numbered(b"CurveZMQREADY---", READY_NUMBER), &content));
    let outcome = Outcome::new()
        .with_proof(Proof::CurveKey(*client.as_bytes()))
        .with_claims(claims)
        .with_seal(seal::seal(session, Role::Server, READY_NUMBER, initiate_number));
    Ok(Step::Done { send: Some(Token::new("READY", body)), outcome })
}

/// The data of HELLO: version, padding, key, number and box.
const HELLO: usize = 2 + 72 + 32 + 8 + 80;
/// A box of two keys.
const VOUCH: usize = 80;
