//! The server's side.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, ready};

use super::accounts::{AccountStore, Lookup, made_up_salt};
use super::client::new_nonce;
use super::keys::{Key, Verifier, hmac, sha256};
use super::messages::{
    BindingFlag, binding, read_client_final, read_client_first, split_body, token, write_server_final,
    write_server_first,
};
use super::{BINDING, PLAIN_NAME, PLUS_NAME};
use crate::evidence::Proof;
use crate::framing::{Role, Token};
use crate::mechanism::{
    Context, Mechanism, MechanismFactory, MechanismProperties, Outcome, Refusal, Step, expect, properties,
};
use crate::transport::BoxFuture;

/// The server's side of SCRAM-SHA-256: it asks an [`AccountStore`].
///
/// # Security
///
/// Over a stream that has a channel binding (TLS 1.3), only `SCRAM-SHA-256-PLUS` is taken: a client that says it
/// cannot bind, or thinks that this side cannot, may have somebody in between.
#[derive(Clone)]
pub struct ScramServer {
    plus: bool,
    store: Arc<dyn AccountStore>,
}

impl ScramServer {
    /// The mechanism `SCRAM-SHA-256`, for streams without channel binding: unix and mem.
    pub fn new(store: impl AccountStore + 'static) -> ScramServer {
        ScramServer { plus: false, store: Arc::new(store) }
    }

    /// The mechanism `SCRAM-SHA-256-PLUS`, bound to the TLS stream that it runs over.
    pub fn plus(store: impl AccountStore + 'static) -> ScramServer {
        ScramServer { plus: true, store: Arc::new(store) }
    }
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").field("plus", &self.plus).finish_non_exhaustive()
    }
}

impl MechanismFactory for ScramServer {
    fn name(&self) -> &'static str {
        if self.plus { PLUS_NAME } else { PLAIN_NAME }
    }

    fn role(&self) -> Option<Role> {
        Some(Role::Server)
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_proves_server(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        Box::new(Server { config: self.clone(), state: State::ExpectHello })
    }
}

struct Server {
    config: ScramServer,
    state: State,
}

enum State {
    ExpectHello,
    LookingUp { hello: Hello, lookup: BoxFuture<'static, Result<Option<Verifier>, String>> },
    LookedUp { hello: Hello, found: Result<Option<Verifier>, String> },
    ExpectInitiate { hello: Hello, nonce: String, server_first: String, account: Account },
    Ended,
}

/// What is known after HELLO.
struct Hello {
    flag: BindingFlag,
    user: String,
    nonce: String,
    bare: String,
}

/// What the proof is checked against; of an unknown user made up, with the same work to do.
struct Account {
    known: bool,
    verifier: Verifier,
}

impl Mechanism for Server {
    fn step(&mut self, received: Option<Token>, context: &Context<'_>) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::ExpectHello if received.is_none() => {
                self.state = State::ExpectHello;
                Ok(Step::Expect)
            }
            State::ExpectHello => {
                let hello = self.hello(expect(received, "HELLO")?, context)?;
                match self.config.store.lookup(&hello.user) {
                    Lookup::Now(found) => self.welcome(hello, Ok(found)),
                    Lookup::Later(lookup) => {
                        self.state = State::LookingUp { hello, lookup };
                        Ok(Step::Wait)
                    }
                }
            }
            State::LookedUp { hello, found } => self.welcome(hello, found),
            State::ExpectInitiate { hello, nonce, server_first, account } => {
                let (text, rest) = split_body(expect(received, "INITIATE")?.body, "INITIATE")?;
                let signature = verify(&text, &hello, &nonce, &server_first, &account, context)?;
                let claims = properties::decode(rest, "INITIATE")?;
                let proof = Proof::User { name: hello.user, mechanism: self.config.name() };
                let outcome = Outcome::new().with_proof(proof).with_claims(claims);
                let ready = token("READY", &write_server_final(&signature.0), Some(context.own_claims));
                Ok(Step::Done { send: Some(ready), outcome })
            }
            State::LookingUp { .. } | State::Ended => {
                let found = received.map_or_else(|| "nothing".to_owned(), |token| token.name);
                Err(Refusal::Unexpected { found, expected: "nothing" })
            }
        }
    }

    fn poll_wait(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if let State::LookingUp { lookup, .. } = &mut self.state {
            let found = ready!(lookup.as_mut().poll(cx));
            if let State::LookingUp { hello, .. } = std::mem::replace(&mut self.state, State::Ended) {
                self.state = State::LookedUp { hello, found };
            }
        }
        Poll::Ready(())
    }
}

impl Server {
    fn hello(&self, received: Token, context: &Context<'_>) -> Result<Hello, Refusal> {
        let (text, rest) = split_body(received.body, "HELLO")?;
        let first = read_client_first(&text)?;
        if !rest.is_empty() {
            return Err(Refusal::Malformed { token: "HELLO", problem: "bytes follow its message" });
        }
        let bindable = context.evidence.channel_binding().is_some_and(|binding| binding.kind == BINDING);
        let refuse = |reason: String| Err(Refusal::Other { reason, tell: true });
        match (self.config.plus, bindable, first.flag) {
            (true, true, BindingFlag::Bound)
            | (false, false, BindingFlag::None | BindingFlag::ServerCannot) => {}
            (true, false, _) => {
                return refuse(format!("{PLUS_NAME} needs a stream with channel binding: TLS 1.3"));
            }
            (_, true, _) => return refuse("the client did not bind itself to the TLS stream".to_owned()),
            (false, false, BindingFlag::Bound) => {
                return Err(Refusal::Malformed {
                    token: "HELLO",
                    problem: "it binds in a mechanism that does not",
                });
            }
        }
        Ok(Hello {
            flag: first.flag,
            nonce: first.nonce.to_owned(),
            bare: first.bare.to_owned(),
            user: first.user,
        })
    }

    fn welcome(&mut self, hello: Hello, found: Result<Option<Verifier>, String>) -> Result<Step, Refusal> {
        let found = found.map_err(|problem| Refusal::Unavailable { problem })?;
        let account = match found {
            Some(verifier) => Account { known: true, verifier },
            None => {
                let salt = made_up_salt(&*self.config.store, &hello.user);
                let iterations = self.config.store.iterations();
                Account { known: false, verifier: Verifier::of_nobody(salt, iterations) }
            }
        };
        let nonce = format!("{}{}", hello.nonce, new_nonce()?);
        let server_first = write_server_first(&nonce, &account.verifier.salt, account.verifier.iterations);
        let welcome = token("WELCOME", &server_first, None);
        self.state = State::ExpectInitiate { hello, nonce, server_first, account };
        Ok(Step::Send(welcome))
    }
}

/// Checks the client's proof, and returns this side's signature: two HMACs, whatever the iterations were.
fn verify(
    text: &str,
    hello: &Hello,
    nonce: &str,
    server_first: &str,
    account: &Account,
    context: &Context<'_>,
) -> Result<Key, Refusal> {
    let last = read_client_final(text)?;
    if last.nonce != nonce {
        return Err(Refusal::Malformed { token: "INITIATE", problem: "its nonce is not this exchange's" });
    }
    let value = context.evidence.channel_binding().map_or(&[][..], |binding| &binding.value);
    if last.binding != binding(hello.flag, value) {
        let reason = "the client is bound to another stream: somebody may be in between".to_owned();
        return Err(Refusal::Other { reason, tell: true });
    }
    let signed = format!("{},{server_first},{}", hello.bare, last.without_proof);
    let client_signature = hmac(&account.verifier.stored_key.0, signed.as_bytes());
    let client_key = Key(last.proof).xor(&client_signature);
    let right = sha256(&client_key.0).is(&account.verifier.stored_key.0);
    let signature = hmac(&account.verifier.server_key.0, signed.as_bytes());
    if right & account.known { Ok(signature) } else { Err(Refusal::Credentials { user: hello.user.clone() }) }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::keys::ClientKeys;
    use super::*;
    use crate::claims::Claims;
    use crate::evidence::{Evidence, Protection};

    /// The exchange of RFC 7677 Section 3.
    #[test]
    fn the_vectors_of_the_rfc_hold() {
        const NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let first = read_client_first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        let server_first = format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let welcome = super::super::messages::read_server_first(&server_first, first.nonce).unwrap();
        assert_eq!(write_server_first(welcome.nonce, &welcome.salt, welcome.iterations), server_first);

        let last = format!("c=biws,r={NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let keys = ClientKeys::derive("pencil", &welcome.salt, welcome.iterations);
        let signed = format!("{},{server_first},c=biws,r={NONCE}", first.bare);
        let proof = keys.client_key.xor(&hmac(&sha256(&keys.client_key.0).0, signed.as_bytes()));
        assert_eq!(read_client_final(&last).unwrap().proof, proof.0);

        let verifier = Verifier::with_salt("pencil", welcome.salt.clone(), welcome.iterations).unwrap();
        let account = Account { known: true, verifier };
        let hello =
            Hello { flag: first.flag, user: first.user, nonce: first.nonce.into(), bare: first.bare.into() };
        let (evidence, claims) = (Evidence::new(Protection::SameHost), Claims::new());
        let context = Context::new(Role::Server, &evidence, &claims, Instant::now());
        let signature =
            verify(&last, &hello, NONCE, &server_first, &account, &context).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(write_server_final(&signature.0), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
