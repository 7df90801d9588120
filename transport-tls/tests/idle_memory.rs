//! What a connection costs while nothing happens on it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::Authority;
use peak_alloc::PeakAlloc;
use transport_core::{Connect, Listen, Policy, Transports};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// For each end; what the kernel and the library of ciphers hold comes on top.
const MOST: usize = 11 << 10;

#[tokio::test(flavor = "current_thread")]
async fn an_idle_connection_costs_at_most_11_kib() {
    const MANY: usize = 200;
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let listen = Listen::new(&Transports::new(), "tls://127.0.0.1:0").transport(tls.clone());
    let mut server = listen.policy(Policy::certified()).start().await.unwrap();
    let address = server.local_address().with_parameter("name", "db.example");
    let mut open = Vec::new();
    let mut before = 0;
    for number in 0..2 * MANY {
        // The first half makes what is there only once: tables, and the sessions that can be resumed.
        if number == MANY {
            before = ALLOCATED.current_usage();
        }
        let connect = Connect::new(&Transports::new(), &address).transport(tls.clone());
        let (near, far) = tokio::join!(connect.server(Policy::certified()), server.accept());
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        far.send("hello").await.unwrap();
        near.recv().await.unwrap().unwrap();
        near.send("hello").await.unwrap();
        far.recv().await.unwrap().unwrap();
        open.push((near, far));
    }
    let each = (ALLOCATED.current_usage() - before) / MANY / 2;
    println!("{each} bytes for an end");
    assert!(each <= MOST, "{each} bytes for an end");
}
