//! What a login with SCRAM costs the server, without a stream: its two steps, beside the two HMACs that are in them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench, not an API")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use transport::core::framing::Token;
use transport::core::mechanism::scram::{Accounts, ScramClient, ScramServer, Verifier};
use transport::core::mechanism::{Context, Mechanism, MechanismFactory as _, Step};
use transport::core::{Claims, Evidence, Protection, Role};

/// A mechanism, and what it takes to make a step.
struct Side {
    mechanism: Box<dyn Mechanism>,
    role: Role,
    evidence: Evidence,
    claims: Claims,
}

impl Side {
    fn new(mechanism: Box<dyn Mechanism>, role: Role) -> Side {
        let claims = Claims::new().with("Socket-Type", "DEALER").with("Identity", "");
        Side { mechanism, role, evidence: Evidence::new(Protection::SameHost), claims }
    }

    fn step(&mut self, token: Option<Token>) -> Option<Token> {
        let context = Context::new(self.role, &self.evidence, &self.claims, Instant::now());
        match self.mechanism.step(token, &context).unwrap() {
            Step::Send(token) => Some(token),
            Step::Done { send, .. } => send,
            Step::Expect => None,
            other => panic!("{other:?}"),
        }
    }
}

/// One login; the answer is the time that the server's side took.
fn login(server: &ScramServer, client: &ScramClient) -> Duration {
    let mut client = Side::new(client.mechanism(Role::Client), Role::Client);
    let hello = client.step(None);
    let started = Instant::now();
    let mut server = Side::new(server.mechanism(Role::Server), Role::Server);
    server.step(None);
    let welcome = server.step(hello);
    let mut elapsed = started.elapsed();
    let initiate = client.step(welcome);
    let started = Instant::now();
    let ready = server.step(initiate);
    elapsed += started.elapsed();
    client.step(ready);
    elapsed
}

/// The keys of an earlier login, for the same user and password as the account's.
fn sides() -> (ScramServer, ScramClient) {
    let accounts = Accounts::new().unwrap().with_user("alice", Verifier::new("pencil", 4096).unwrap());
    let server = ScramServer::new(accounts);
    let client = ScramClient::new("alice", "pencil").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut first = Side::new(client.mechanism(Role::Client), Role::Client);
        let mut other = Side::new(server.mechanism(Role::Server), Role::Server);
        other.step(None);
        let welcome = other.step(first.step(None));
        let context = Context::new(first.role, &first.evidence, &first.claims, Instant::now());
        assert!(matches!(first.mechanism.step(welcome, &context).unwrap(), Step::Wait));
        std::future::poll_fn(|cx| first.mechanism.poll_wait(cx)).await;
        first.step(None);
    });
    (server, client)
}

fn server(c: &mut Criterion) {
    let (server, client) = sides();
    let mut group = c.benchmark_group("scram");
    group.bench_function("server", |b| {
        b.iter_custom(|count| (0..count).map(|_| login(&server, &client)).sum());
    });
    // As long as what a login signs.
    let (key, signed) = ([7; 32], [b'x'; 180]);
    group.bench_function("two-hmacs", |b| {
        b.iter(|| {
            for _ in 0..2 {
                let mut hmac = Hmac::<Sha256>::new_from_slice(black_box(&key)).unwrap();
                hmac.update(black_box(&signed));
                black_box(hmac.finalize());
            }
        });
    });
}

criterion_group! {
    name = logins;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = server
}
criterion_main!(logins);
