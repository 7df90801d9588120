//! SCRAM as a client and a server see it: over mem, and step by step.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use transport_core::framing::Token;
use transport_core::mechanism::scram::{Accounts, ClientKeys, ScramClient, ScramServer, Verifier};
use transport_core::mechanism::{Context, Mechanism, MechanismFactory, Step};
use transport_core::mem::MemTransport;
use transport_core::{
    ChannelBinding, Claims, Connect, Evidence, Listen, Policy, Protection, Refusal, Role, ServerEvent,
    Transport as _, Transports,
};

const FEW: u32 = 4096;

fn accounts() -> Accounts {
    let verifier = |password| Verifier::new(password, FEW).unwrap();
    Accounts::new().unwrap().with_user("alice", verifier("wonder,land=")).with_user("a,b=c", verifier("x"))
}

/// A mechanism and the stream that it believes to run over.
struct Side {
    mechanism: Box<dyn Mechanism>,
    role: Role,
    evidence: Evidence,
}

impl Side {
    fn new(factory: &dyn MechanismFactory, role: Role, binding: Option<&[u8]>) -> Side {
        let mut evidence = Evidence::new(Protection::SameHost);
        if let Some(value) = binding {
            evidence =
                evidence.with_channel_binding(ChannelBinding { kind: "tls-exporter", value: value.to_vec() });
        }
        Side { mechanism: factory.mechanism(role), role, evidence }
    }

    async fn step(&mut self, mut token: Option<Token>) -> Result<Step, Refusal> {
        let own_claims = Claims::new().with("X-Side", format!("{:?}", self.role));
        loop {
            let context = Context::new(self.role, &self.evidence, &own_claims, Instant::now());
            match self.mechanism.step(token.take(), &context)? {
                Step::Wait => std::future::poll_fn(|cx| self.mechanism.poll_wait(cx)).await,
                step => return Ok(step),
            }
        }
    }

    async fn send(&mut self, token: Option<Token>) -> Result<Token, Refusal> {
        match self.step(token).await? {
            Step::Send(token) | Step::Done { send: Some(token), .. } => Ok(token),
            other => panic!("{other:?}"),
        }
    }
}

/// Runs an exchange with one token altered on its way; the error says who refused.
async fn exchange(
    client: &ScramClient,
    server: &ScramServer,
    bindings: (Option<&[u8]>, Option<&[u8]>),
    alter: impl Fn(Token) -> Token,
) -> Result<(), (Role, Refusal)> {
    let mut client = Side::new(client, Role::Client, bindings.0);
    let mut server = Side::new(server, Role::Server, bindings.1);
    let by = |role| move |refusal| (role, refusal);
    assert!(matches!(server.step(None).await.unwrap(), Step::Expect));
    let hello = client.send(None).await.map_err(by(Role::Client))?;
    let welcome = server.send(Some(alter(hello))).await.map_err(by(Role::Server))?;
    let initiate = client.send(Some(alter(welcome))).await.map_err(by(Role::Client))?;
    let ready = server.send(Some(alter(initiate))).await.map_err(by(Role::Server))?;
    let Step::Done { send: None, outcome } =
        client.step(Some(alter(ready))).await.map_err(by(Role::Client))?
    else {
        panic!("the client is done");
    };
    assert_eq!(outcome.claims.text("X-Side"), Some("Server"));
    Ok(())
}

/// Replaces text within the message of one token.
fn replace<'a>(name: &'a str, from: &'a str, to: &'a str) -> impl Fn(Token) -> Token + 'a {
    move |token| {
        if token.name != name {
            return token;
        }
        let length = usize::try_from(u32::from_be_bytes(*token.body.first_chunk().unwrap())).unwrap();
        let (message, rest) = token.body[4..].split_at(length);
        let message = String::from_utf8(message.to_vec()).unwrap();
        assert!(message.contains(from), "{message}");
        let message = message.replacen(from, to, 1);
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Token::new(token.name, [&length, message.as_bytes(), rest].concat())
    }
}

/// Changes the first bit of what a field holds in base64.
fn flip_first_bit(token: &Token, field: &str) -> Token {
    let at = 4 + String::from_utf8_lossy(&token.body[4..]).find(field).unwrap() + field.len();
    let mut body = token.body.to_vec();
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    body[at] = ALPHABET[ALPHABET.iter().position(|byte| *byte == body[at]).unwrap() ^ 0x20];
    Token::new(token.name.clone(), body)
}

async fn login(client: ScramClient, policy: Policy) -> Result<String, String> {
    let transports = Transports::new().with(MemTransport::new());
    let listen = Listen::new(&transports, "mem://scram").mechanism(ScramServer::new(accounts()));
    let mut server = listen.policy(Policy::user("alice").or(Policy::user("a,b=c"))).start().await.unwrap();
    let connected = Connect::new(&transports, "mem://scram").mechanism(client).server(policy).await;
    let connected = connected.map_err(|error| error.to_string())?;
    let accepted = server.accept().await.unwrap();
    assert_eq!(accepted.identity(), connected.identity());
    Ok(accepted.identity().to_string())
}

#[tokio::test]
async fn both_sides_know_each_other_by_the_user() {
    let alice = ScramClient::new("alice", "wonder,land=").unwrap();
    assert_eq!(login(alice.clone(), Policy::user("alice")).await.unwrap(), "user:alice");
    let strange = ScramClient::new("a,b=c", "x").unwrap();
    assert_eq!(login(strange, Policy::user("a,b=c")).await.unwrap(), "user:a,b=c");
    let error = login(alice, Policy::user("bob")).await.unwrap_err();
    assert_eq!(error, "user:alice is not allowed by the policy (user:bob)");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_alike() {
    let mut welcomes = Vec::new();
    let server = ScramServer::new(accounts());
    for (user, password) in [("alice", "wrong"), ("nobody", "wonder,land="), ("nobody", "x")] {
        let client = ScramClient::new(user, password).unwrap();
        let refused = exchange(&client, &server, (None, None), |token| token).await.unwrap_err();
        assert_eq!(refused, (Role::Server, Refusal::Credentials { user: user.into() }));
        let mut side = Side::new(&server, Role::Server, None);
        side.step(None).await.unwrap();
        let hello = Side::new(&client, Role::Client, None).send(None).await.unwrap();
        let welcome = String::from_utf8(side.send(Some(hello)).await.unwrap().body[4..].to_vec()).unwrap();
        welcomes.push(welcome.split_once(",s=").unwrap().1.to_owned());
    }
    assert!(
        welcomes.iter().all(|welcome| welcome.len() == welcomes[0].len() && welcome.ends_with(",i=4096"))
    );
    assert_eq!(welcomes[1], welcomes[2], "the made-up salt of a name is always the same");
    assert_ne!(welcomes[0], welcomes[1]);
}

#[tokio::test]
async fn whatever_is_altered_on_the_way_is_noticed() {
    let client = ScramClient::new("alice", "wonder,land=").unwrap();
    let server = ScramServer::new(accounts());
    let altered = async |name: &str, from: &str, to: &str| {
        exchange(&client, &server, (None, None), replace(name, from, to)).await.unwrap_err()
    };
    assert!(exchange(&client, &server, (None, None), |token| token).await.is_ok());
    let (by, refusal) = altered("HELLO", "r=", "r=x").await;
    assert_eq!((by, refusal.to_string().contains("nonce does not go on")), (Role::Client, true));
    let (by, refusal) = altered("WELCOME", "r=", "r=x").await;
    assert_eq!((by, refusal.to_string().contains("nonce does not go on")), (Role::Client, true));
    for count in ["i=1", "i=2147483648", "i=4294967296", "i=-1", "i=10000001"] {
        let (by, refusal) = altered("WELCOME", "i=4096", count).await;
        assert!(
            by == Role::Client && matches!(refusal, Refusal::Malformed { token: "WELCOME", .. }),
            "{refusal}"
        );
    }
    // A longer stretching than the server's gives another proof.
    assert!(matches!(
        altered("WELCOME", "i=4096", "i=4097").await,
        (Role::Server, Refusal::Credentials { .. })
    ));
    // A proof and a signature of the right form, with one bit of theirs changed.
    let bit = async |name: &str, field: &str| {
        let flip = |token: Token| if token.name == name { flip_first_bit(&token, field) } else { token };
        exchange(&client, &server, (None, None), flip).await.unwrap_err()
    };
    let wrong = Refusal::Credentials { user: "alice".into() };
    assert_eq!(bit("INITIATE", ",p=").await, (Role::Server, wrong));
    let (by, refusal) = bit("READY", "v=").await;
    assert!(by == Role::Client && refusal.to_string().contains("its signature is wrong"), "{refusal}");
    assert!(matches!(altered("INITIATE", "p=", "p=A").await, (Role::Server, Refusal::Malformed { .. })));
    assert!(matches!(altered("INITIATE", ",r=", ",x=y,r=").await, (Role::Server, Refusal::Malformed { .. })));
    let (by, refusal) = altered("INITIATE", "c=biws", "c=eSws").await;
    assert!(by == Role::Server && refusal.to_string().contains("another stream"), "{refusal}");
    let (by, refusal) = altered("READY", "v=", "v=A").await;
    assert!(by == Role::Client && matches!(refusal, Refusal::Malformed { .. }), "{refusal}");
}

#[tokio::test]
async fn a_proof_of_another_exchange_is_of_no_use() {
    let client = ScramClient::new("alice", "wonder,land=").unwrap();
    let server = ScramServer::new(accounts());
    let mut recorded = Side::new(&client, Role::Client, None);
    let hello = recorded.send(None).await.unwrap();
    let mut first = Side::new(&server, Role::Server, None);
    first.step(None).await.unwrap();
    let initiate = recorded.send(Some(first.send(Some(hello.clone())).await.unwrap())).await.unwrap();
    assert!(first.send(Some(initiate.clone())).await.is_ok());
    let mut second = Side::new(&server, Role::Server, None);
    second.step(None).await.unwrap();
    second.send(Some(hello)).await.unwrap();
    assert!(matches!(second.send(Some(initiate)).await, Err(Refusal::Malformed { token: "INITIATE", .. })));
}

#[tokio::test]
async fn keys_of_an_earlier_login_serve_instead_of_the_password() {
    let accounts_of_one = Arc::new(accounts());
    let server = ScramServer::new(Arc::clone(&accounts_of_one));
    let client = ScramClient::new("alice", "wonder,land=").unwrap();
    assert!(client.keys().is_none());
    exchange(&client, &server, (None, None), |token| token).await.unwrap();
    // As text, for another process.
    let text = client.keys().unwrap().to_text();
    let keys = || text.parse::<ClientKeys>().unwrap();
    let again = ScramClient::from_keys("alice", keys()).unwrap();
    exchange(&again, &server, (None, None), |token| token).await.unwrap();
    let bound = ScramClient::plus_from_keys("alice", keys()).unwrap();
    let (plus, binding) = (ScramServer::plus(accounts_of_one), Some(&b"one"[..]));
    exchange(&bound, &plus, (binding, binding), |token| token).await.unwrap();
    // Another user's, and those for a password that has been set anew.
    let other = ScramClient::from_keys("a,b=c", keys()).unwrap();
    let (by, refusal) = exchange(&other, &server, (None, None), |token| token).await.unwrap_err();
    assert!(by == Role::Client && refusal.to_string().contains("log in with the password"), "{refusal}");
    let (by, refusal) =
        exchange(&again, &ScramServer::new(accounts()), (None, None), |token| token).await.unwrap_err();
    assert!(by == Role::Client && refusal.to_string().contains("log in with the password"), "{refusal}");
}

#[tokio::test]
async fn names_of_64_kib_are_refused_on_both_sides() {
    let long = "a".repeat(64 << 10);
    assert!(ScramClient::new(long.clone(), "x").is_err() && ScramClient::new("", "x").is_err());
    let mut server = Side::new(&ScramServer::new(accounts()), Role::Server, None);
    server.step(None).await.unwrap();
    let message = format!("n,,n={long},r=nonce");
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let hello = Token::new("HELLO", [&length, message.as_bytes()].concat());
    assert!(matches!(server.send(Some(hello)).await, Err(Refusal::Malformed { token: "HELLO", .. })));

    // Over a connection it does not come so far: before authentication a frame has at most 4 KiB.
    let mem = Arc::new(MemTransport::new());
    let transports = Transports::new().with(Arc::clone(&mem));
    let listen = Listen::new(&transports, "mem://long").mechanism(ScramServer::new(accounts()));
    let mut server = listen.policy(Policy::user("alice")).start().await.unwrap();
    let mut events = server.events();
    let mut stream = mem.connect(&"mem://long".parse().unwrap()).await.unwrap().stream;
    let mut greeting = [0; 64];
    greeting[..11].copy_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3]);
    greeting[12..25].copy_from_slice(b"SCRAM-SHA-256");
    let frame =
        [&[6][..], &(6 + 4 + message.len() as u64).to_be_bytes(), b"\x05HELLO", &length, message.as_bytes()];
    let _the_server_may_have_left_by_then =
        stream.write_all(&[&greeting[..], &frame.concat()].concat()).await;
    let refused = async {
        loop {
            if let Some(ServerEvent::Refused { reason, .. }) = events.recv().await {
                return reason.to_string();
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    assert!(reason.contains("4096"), "{reason}");
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_is_noticed() {
    // It knows the salt and the stored key, but not the server key: a stolen half of the verifier.
    let verifier = Verifier::new("wonder,land=", FEW).unwrap();
    let text = verifier.to_string();
    let (front, _) = text.rsplit_once(':').unwrap();
    let half: Verifier = format!("{front}:{}=", "A".repeat(43)).parse().unwrap();
    let server = ScramServer::new(Accounts::new().unwrap().with_user("alice", half));
    let client = ScramClient::new("alice", "wonder,land=").unwrap();
    let (by, refusal) = exchange(&client, &server, (None, None), |token| token).await.unwrap_err();
    assert!(by == Role::Client && refusal.to_string().contains("its signature is wrong"), "{refusal}");
}

#[tokio::test]
async fn plus_binds_to_the_stream_and_cannot_be_downgraded() {
    let (client, plus_client) = (
        ScramClient::new("alice", "wonder,land=").unwrap(),
        ScramClient::plus("alice", "wonder,land=").unwrap(),
    );
    let (server, plus_server) = (ScramServer::new(accounts()), ScramServer::plus(accounts()));
    let (one, other) = (Some(&b"one"[..]), Some(&b"other"[..]));
    let same = |token| token;
    assert!(exchange(&plus_client, &plus_server, (one, one), same).await.is_ok());
    // Somebody in between has two streams.
    let (by, refusal) = exchange(&plus_client, &plus_server, (one, other), same).await.unwrap_err();
    assert!(by == Role::Server && refusal.to_string().contains("another stream"), "{refusal}");
    // On a stream that can be bound, only what is bound is taken.
    for (client, server) in [(&client, &server), (&client, &plus_server), (&plus_client, &server)] {
        let (by, refusal) = exchange(client, server, (one, one), same).await.unwrap_err();
        assert!(by == Role::Server && refusal.to_string().contains("did not bind"), "{refusal}");
    }
    let (by, _) = exchange(&plus_client, &plus_server, (one, one), replace("HELLO", "p=tls-exporter", "y"))
        .await
        .unwrap_err();
    assert_eq!(by, Role::Server);
    // Without a binding there is nothing to bind to.
    let (by, refusal) = exchange(&plus_client, &plus_server, (None, None), same).await.unwrap_err();
    assert!(by == Role::Client && refusal.to_string().contains("TLS"), "{refusal}");
}
