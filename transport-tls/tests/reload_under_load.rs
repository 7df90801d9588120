//! The certificate is replaced while clients connect as fast as they can: none fails, and each sees the right one.
//!
//! An ordinary run takes seconds. `just reload-under-load` is the long one: 10,000 connections, 50 replacements, 10 of them
//! broken, optimized.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certgen::Credentials;
use common::{Authority, write, write_new};
use transport_core::{Address, Connect, Connection, Listen, Policy, Proof, Server, Transports};
use transport_tls::{TlsConfig, TlsEvent, TlsTransport, Trust};

struct Size {
    connections: usize,
    replacements: usize,
    /// Every so many replacements one is broken.
    broken_each: usize,
}

const ORDINARY: Size = Size { connections: 400, replacements: 10, broken_each: 5 };
const LONG: Size = Size { connections: 10_000, replacements: 50, broken_each: 5 };

/// What the clients and the one who replaces share.
struct Load {
    address: Address,
    /// The pins of all good certificates, in the order in which they were put in place.
    pins: Mutex<Vec<String>>,
    /// So many of them are known to be in use: whoever connects from now on sees the last of these, or a later one.
    in_use: AtomicUsize,
    connections: AtomicUsize,
    over: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_fails_while_the_certificate_is_replaced() {
    let size = if std::env::var_os("RELOAD_LONG").is_some() { LONG } else { ORDINARY };
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let own = authority.leaf("db.example");
    let path = write_new(directory.path(), "own.pem", &own.combined_pem());
    let config = TlsConfig::new().with_certificate(&*path).with_trust(Trust::ca_file(write_new(
        directory.path(),
        "ca.pem",
        &authority.pem(),
    )));
    let tls = TlsTransport::with_config(config).unwrap();
    let listen = Listen::new(&Transports::new(), "tls://127.0.0.1:0").transport(tls.clone());
    let server = listen.policy(Policy::san_dns("alice")).start().await.unwrap();
    let load = Arc::new(Load {
        address: server.local_address().with_parameter("name", "db.example"),
        pins: Mutex::new(vec![pin(&own)]),
        in_use: AtomicUsize::new(1),
        connections: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    tokio::spawn(echo(server));

    let start = Instant::now();
    let alice = authority.leaf("alice");
    // Some resume what they can, the others never do.
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let shared = (number % 2 == 0).then(|| authority.tls(&alice));
            let config = authority.config(&alice).with_watch(false);
            let own = move || TlsTransport::with_config(config.clone()).unwrap();
            let next = move || shared.clone().unwrap_or_else(&own);
            tokio::spawn(connect_until_the_end(Arc::clone(&load), next))
        })
        .collect();
    replace(&load, &tls, &authority, &path, &size).await;
    load.over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let (made, took) = (load.connections.load(Ordering::SeqCst), start.elapsed());
    assert!(made >= size.connections);
    println!(
        "{made} connections in {took:.1?} ({:.0} a second), {} replacements",
        made as f64 / took.as_secs_f64(),
        size.replacements
    );
}

async fn replace(load: &Load, tls: &TlsTransport, authority: &Authority, path: &Path, size: &Size) {
    let mut events = tls.events();
    for number in 1..=size.replacements {
        let due = size.connections * number / size.replacements;
        while load.connections.load(Ordering::SeqCst) < due {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let new = authority.leaf("db.example");
        let is_broken = number % size.broken_each == 0;
        if is_broken {
            let mixed = format!("{}{}", new.certificate().pem(), *authority.leaf("db.example").key().pem());
            write(path, &mixed);
        } else {
            load.pins.lock().unwrap().push(pin(&new));
            write(path, &new.combined_pem());
        }
        let event = tokio::time::timeout(NET, events.recv()).await.expect("no event").unwrap();
        match event {
            TlsEvent::Reloaded { .. } if !is_broken => {
                load.in_use.fetch_add(1, Ordering::SeqCst);
            }
            TlsEvent::ReloadFailed { .. } if is_broken => {}
            other => panic!("{other:?} after replacement {number}"),
        }
    }
}

async fn connect_until_the_end(load: Arc<Load>, next: impl Fn() -> TlsTransport) {
    while !load.over.load(Ordering::SeqCst) {
        let oldest = load.in_use.load(Ordering::SeqCst) - 1;
        let connect = Connect::new(&Transports::new(), &load.address).transport(next());
        let connecting = tokio::time::timeout(NET, connect.server(Policy::san_dns("db.example")));
        let mut connection = connecting.await.expect("it hangs").expect("no connection fails");
        let seen = seen(&connection);
        let pins = load.pins.lock().unwrap().clone();
        let right = pins[oldest..].contains(&seen);
        assert!(right, "certificate {:?} instead of {oldest}", pins.iter().position(|pin| *pin == seen));
        connection.send("hello").await.unwrap();
        let answer = tokio::time::timeout(NET, connection.recv()).await.expect("it hangs").unwrap();
        assert_eq!(answer.unwrap().to_text(), Some("hello"));
        load.connections.fetch_add(1, Ordering::SeqCst);
    }
}

async fn echo(mut server: Server) {
    while let Some(mut connection) = server.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(message)) = connection.recv().await {
                connection.send(&message).await.unwrap();
            }
        });
    }
}

fn pin(credentials: &Credentials) -> String {
    format!("pin:{}", credentials.certificate().pin())
}

fn seen(connection: &Connection) -> String {
    let mut pins = connection.identity().proofs().iter().filter_map(|proof| match proof {
        Proof::Certificate(certificate) => Some(Policy::spki_pin(certificate.spki_sha256).to_string()),
        _ => None,
    });
    pins.next().unwrap()
}

/// Nothing here takes this long unless it hangs.
const NET: Duration = Duration::from_secs(30);
