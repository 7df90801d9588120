//! SCRAM as a client and a server see it: over mem, and step by step.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use transport_core::framing::Token;
use transport_core::mechanism::scram::{
    AccountStore, Accounts, Lookup, PasswordFile, PasswordFileError, ScramClient, ScramServer, Verifier,
};
use transport_core::mechanism::{
    Context, Mechanism, MechanismFactory, PasswordVerifier as _, PlainClient, PlainServer, Step, Verdict,
};
use transport_core::mem::MemTransport;
use transport_core::{
    ChannelBinding, Claims, Connect, Evidence, Listen, Policy, Protection, Refusal, Role, Transports,
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

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_password_file_is_made_edited_and_read_again() {
    let folder = folder();
    let path = folder.path().join("passwords");
    let verifier = |password| Verifier::new(password, FEW).unwrap();
    PasswordFile::set(&path, "alice", Some(&verifier("one"))).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = PasswordFile::open(&path).unwrap();
    let secret = file.secret().to_owned();
    assert!(matches!(file.lookup("alice"), Lookup::Now(Some(_))));
    PasswordFile::set(&path, "b:ob", Some(&verifier("two"))).unwrap();
    PasswordFile::set(&path, "alice", None).unwrap();
    assert!(matches!(file.lookup("b:ob"), Lookup::Now(Some(_))));
    assert!(matches!(file.lookup("alice"), Lookup::Now(None)));
    assert_eq!(PasswordFile::open(&path).unwrap().secret(), secret, "made-up salts outlive restarts");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");

    // A broken file: the users that were read last stay.
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(file.lookup("b:ob"), Lookup::Now(Some(_))));
    let error = PasswordFile::open(&path).unwrap_err();
    assert!(matches!(error, PasswordFileError::Line { line: 1, .. }), "{error}");
}

#[tokio::test]
async fn plain_can_check_against_the_same_file() {
    let folder = folder();
    let path = folder.path().join("passwords");
    PasswordFile::set(&path, "alice", Some(&Verifier::new("secret", FEW).unwrap())).unwrap();
    let file = PasswordFile::open(&path).unwrap();
    let accepts = async |user: &str, password: &[u8]| match file.verify(user, password) {
        Verdict::Now(accepted) => accepted,
        Verdict::Later(verdict) => verdict.await.unwrap(),
    };
    assert!(accepts("alice", b"secret").await);
    assert!(
        !accepts("alice", b"wrong").await
            && !accepts("nobody", b"secret").await
            && !accepts("nobody", b"nobody").await
    );
    assert!(!accepts("alice", b"\xff").await);

    let transports = Transports::new().with(MemTransport::new());
    let listen = Listen::new(&transports, "mem://plain").mechanism(PlainServer::new(file));
    let mut server = listen.policy(Policy::user("alice")).start().await.unwrap();
    let plain = PlainClient::new("alice", "secret").unwrap();
    let _client = Connect::new(&transports, "mem://plain")
        .mechanism(plain)
        .server(Policy::same_process())
        .await
        .unwrap();
    assert_eq!(server.accept().await.unwrap().identity().to_string(), "user:alice");
}

#[test]
fn a_password_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let folder = folder();
    let path = folder.path().join("passwords");
    PasswordFile::set(&path, "alice", Some(&Verifier::new("secret", FEW).unwrap())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = PasswordFile::open(&path).unwrap_err().to_string();
    assert!(error.ends_with(&format!("chmod 600 {}", path.display())), "{error}");
    assert!(PasswordFile::set(&path, "bob", None).is_err());
    for user in ["", "#a", "!secret", "a\nb", &"a".repeat(256)] {
        assert!(matches!(PasswordFile::set(&path, user, None), Err(PasswordFileError::User)), "{user:?}");
    }
}
