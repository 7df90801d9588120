//! The client's side of CURVE.

use std::fmt;
use std::sync::Arc;

use transport_core::framing::{Role, Token};
use transport_core::mechanism::{
    Context, Mechanism, MechanismFactory, MechanismProperties, Outcome, Step, expect, properties,
};
use transport_core::{Proof, Refusal};

use super::boxes::{self, SharedKey, numbered};
use super::keys::{self, CurvePublicKey, CurveSecretKey};
use super::{NAME, seal};

/// The client's side of CURVE: its own key, and the key that the server must have.
///
/// A server without that key cannot even answer. The client learns nothing else of it, so its policy is
/// [`CurvePublicKey::policy`] of the same key, or a stricter one that looks at the transport's proofs too.
///
/// # Examples
///
/// See the [module](super).
#[derive(Clone)]
pub struct CurveClient {
    keys: Arc<Keys>,
}

struct Keys {
    secret: CurveSecretKey,
    public: CurvePublicKey,
    server: CurvePublicKey,
}

impl CurveClient {
    /// With this side's `secret` key, for the server that owns the key `server`.
    pub fn new(secret: CurveSecretKey, server: CurvePublicKey) -> CurveClient {
        let public = secret.public_key();
        CurveClient { keys: Arc::new(Keys { secret, public, server }) }
    }

    /// The public key of this side, by which the server knows it.
    pub fn public_key(&self) -> CurvePublicKey {
        self.keys.public
    }
}

impl fmt::Debug for CurveClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurveClient")
            .field("public", &self.keys.public)
            .field("server", &self.keys.server)
            .finish_non_exhaustive()
    }
}

impl MechanismFactory for CurveClient {
    fn name(&self) -> &'static str {
        NAME
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Client)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_seals(true).with_proves_server(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Client { keys: Arc::clone(&self.keys), state: State::Start })
    }
}

pub(super) struct Client {
    keys: Arc<Keys>,
    state: State,
}

enum State {
    Start,
    HelloSent {
        transient: CurveSecretKey,
        /// `c'` and `S`.
        hello: SharedKey,
        vouch_nonce: [u8; 16],
    },
    InitiateSent {
        /// `c'` and `S'`.
        session: SharedKey,
    },
    Over,
}

/// What is made anew for each connection.
pub(super) struct Fresh {
    pub(super) transient: CurveSecretKey,
    pub(super) vouch_nonce: [u8; 16],
}

impl Fresh {
    fn random() -> Fresh {
        let mut vouch_nonce = [0; 16];
        keys::random(&mut vouch_nonce);
        Fresh { transient: CurveSecretKey::generate(), vouch_nonce }
    }
}

const HELLO_NUMBER: u64 = 1;
const INITIATE_NUMBER: u64 = 2;

impl Mechanism for Client {
    fn step(&mut self, token: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.hello(Fresh::random()),
            State::HelloSent { transient, hello, vouch_nonce } => {
                let welcome = expect(token, "WELCOME")?;
                self.initiate(&welcome.body, &transient, &hello, &vouch_nonce, context)
            }
            State::InitiateSent { session } => {
                let ready = expect(token, "READY")?;
                self.finish(&ready.body, session)
            }
            State::Over => expect(token, "nothing").map(|_| Step::Expect),
        }
    }
}

impl Client {
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn new(client: &CurveClient) -> Client {
        Client { keys: Arc::clone(&client.keys), state: State::Start }
    }

    pub(super) fn hello(&mut self, fresh: Fresh) -> Result<Step, Refusal> {
        let Fresh { transient, vouch_nonce } = fresh;
        let hello = SharedKey::new(&self.keys.server, &transient).ok_or_else(|| Refusal::Other {
            reason: "the server's key that this side was given is no key".to_owned(),
            tell: false,
        })?;
        let mut body = vec![1, 0]; // version 1.0
        body.extend_from_slice(&[0; 72]);
        body.extend_from_slice(transient.public_key().as_bytes());
        body.extend_from_slice(&HELLO_NUMBER.to_be_bytes());
        body.extend_from_slice(&hello.seal(&numbered(b"CurveZMQHELLO---", HELLO_NUMBER), &[0; 64]));
        self.state = State::HelloSent { transient, hello, vouch_nonce };
        Ok(Step::Send(Token::new("HELLO", body)))
    }

    fn initiate(
        &mut self,
        welcome: &[u8],
        transient: &CurveSecretKey,
        hello: &SharedKey,
        vouch_nonce: &[u8; 16],
        context: &Context<'_>,
    ) -> Result<Step, Refusal> {
        let malformed = |problem| Refusal::Malformed { token: "WELCOME", problem };
        let (nonce, sealed) = welcome.split_first_chunk().ok_or_else(|| malformed("it is too short"))?;
        let opened = hello.open(&boxes::random(b"WELCOME-", nonce), sealed);
        let opened = opened.ok_or_else(|| malformed("its box does not open: the server has another key"))?;
        let Some((server, cookie)) = opened.split_first_chunk().filter(|(_, cookie)| cookie.len() == COOKIE)
        else {
            return Err(malformed("its box has another length"));
        };
        let server = CurvePublicKey::from_bytes(*server);
        let keys = (SharedKey::new(&server, transient), SharedKey::new(&server, &self.keys.secret));
        let (Some(session), Some(vouching)) = keys else {
            return Err(malformed("its key is no key"));
        };

        let vouched = [*transient.public_key().as_bytes(), *self.keys.server.as_bytes()].concat();
        let mut content = Vec::new();
        content.extend_from_slice(self.keys.public.as_bytes());
        content.extend_from_slice(vouch_nonce);
        content.extend_from_slice(&vouching.seal(&boxes::random(b"VOUCH---", vouch_nonce), &vouched));
        properties::encode(context.own_claims, &mut content);

        let mut body = cookie.to_vec();
        body.extend_from_slice(&INITIATE_NUMBER.to_be_bytes());
        body.extend_from_slice(&session.seal(&numbered(b"CurveZMQINITIATE", INITIATE_NUMBER), &content));
        self.state = State::InitiateSent { session };
        Ok(Step::Send(Token::new("INITIATE", body)))
    }

    fn finish(&self, ready: &[u8], session: SharedKey) -> Result<Step, Refusal> {
        let malformed = |problem| Refusal::Malformed { token: "READY", problem };
        let (number, sealed) = ready.split_first_chunk().ok_or_else(|| malformed("it is too short"))?;
        let number = u64::from_be_bytes(*number);
        let content = session.open(&numbered(b"CurveZMQREADY---", number), sealed);
        let content = content.ok_or_else(|| malformed("its box does not open"))?;
        let claims = properties::decode(content.to_vec().into(), "READY")?;
        let outcome = Outcome::new()
            .with_proof(Proof::CurveKey(*self.keys.server.as_bytes()))
            .with_claims(claims)
            .with_seal(seal::seal(session, Role::Client, INITIATE_NUMBER, number));
        Ok(Step::Done { send: None, outcome })
    }
}

pub(super) const COOKIE: usize = 96;
