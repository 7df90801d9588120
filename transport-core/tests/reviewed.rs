//! Faults that a review found, each as a test of the behaviour that was missing.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::*;
use tokio::io::AsyncWriteExt as _;
use transport_core::framing::{Seal, Token};
use transport_core::mechanism::{self, Mechanism, MechanismFactory, MechanismProperties, Step};
use transport_core::mem::MemTransport;
use transport_core::tcp::TcpTransport;
use transport_core::{Connect, Limits, Listen, ListenError, Policy, Refusal, Role, Transports};

#[tokio::test]
async fn silent_strangers_do_not_take_the_places_of_authenticated_peers() {
    let mut server = listen().limits(patient().with_connections(4)).start().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(silent_peer(&server).await);
    }
    // Long before the time of the silent ones is over.
    let (_peer, _connection) = authenticated_peer(&mut server).await;
}

#[tokio::test]
async fn at_the_cap_of_connections_the_next_peer_gets_in_when_one_leaves() {
    let mut server = listen().limits(patient().with_connections(1)).start().await.unwrap();
    let (_peer, first) = authenticated_peer(&mut server).await;
    let mut second = silent_peer(&server).await;
    second.write_all(&[greeting("NULL"), ready()].concat()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), server.accept()).await.is_err());
    drop(first);
    assert!(tokio::time::timeout(NET, server.accept()).await.unwrap().is_some());
}

/// A mechanism that says it seals.
struct Sealing;

impl MechanismFactory for Sealing {
    fn name(&self) -> &'static str {
        "SEALING"
    }

    fn properties(&self) -> MechanismProperties {
        MechanismProperties::default().with_seals(true)
    }

    fn mechanism(&self, _role: Role) -> Box<dyn Mechanism> {
        struct Never;
        impl Mechanism for Never {
            fn step(&mut self, _: Option<Token>, _: &mechanism::Context<'_>) -> Result<Step, Refusal> {
                let _never: Option<Seal> = None;
                Ok(Step::Expect)
            }
        }
        Box::new(Never)
    }
}

#[tokio::test]
async fn raw_streams_are_not_protected_by_a_mechanism_that_they_do_not_use() {
    let transports = Transports::new().with(TcpTransport::new());
    let at =
        || Listen::new(&transports, "tcp://0.0.0.0:0").mechanism(Sealing).policy(Policy::danger_anyone());
    at().start().await.unwrap();
    assert!(matches!(at().start_raw().await, Err(ListenError::Unprotected(_))));
    at().danger_plaintext().start_raw().await.unwrap();
}

#[tokio::test]
async fn bytes_that_the_application_has_received_do_not_count_as_unread() {
    let limits = patient().with_unread_per_listener(100 << 10);
    let mut server = listen().limits(limits).start().await.unwrap();
    let mut open = Vec::new();
    for _ in 0..8 {
        let (mut peer, mut connection) = authenticated_peer(&mut server).await;
        let message = [&[0x02][..], &(30u64 << 10).to_be_bytes(), &[0; 30 << 10]].concat();
        peer.write_all(&message).await.unwrap();
        assert!(connection.recv().await.unwrap().is_some());
        open.push((peer, connection));
    }
    for (peer, connection) in &mut open {
        peer.write_all(b"\x00\x01a").await.unwrap();
        assert!(connection.recv().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_connection_that_only_sends_is_cut_too() {
    let mut server = listen().start().await.unwrap();
    let (mut peer, mut connection) = authenticated_peer(&mut server).await;
    let handle = server.handle();
    let ticking = tokio::spawn(async move {
        while connection.send("tick").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let reading = tokio::spawn(async move { read_to_end(&mut peer).await });
    assert_eq!(handle.shutdown(Duration::from_millis(20)).await.cut, 1);
    tokio::time::timeout(NET, ticking).await.unwrap().unwrap();
    assert!(!reading.await.unwrap().is_empty());
}

#[tokio::test]
async fn messages_that_were_decoded_already_go_along_into_a_framed_stream() {
    use futures_util::StreamExt as _;
    let transports = Transports::new().with(MemTransport::new());
    let at = || Listen::new(&transports, "mem://into").policy(Policy::same_process());
    let mut server = at().start().await.unwrap();
    let mut client = Connect::new(&transports, "mem://into").server(Policy::same_process()).await.unwrap();
    let mut connection = server.accept().await.unwrap();
    for text in ["one", "two", "three"] {
        client.feed(text).await.unwrap();
    }
    client.flush().await.unwrap();
    assert_eq!(connection.recv().await.unwrap().unwrap().to_text(), Some("one"));
    let mut framed = connection.into_framed();
    for text in ["two", "three"] {
        let message = tokio::time::timeout(NET, framed.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(message.to_text(), Some(text));
    }
}

#[tokio::test]
async fn a_stream_without_a_socket_yields_what_has_arrived_when_its_server_drains() {
    let transports = Transports::new().with(MemTransport::new());
    let mut server =
        Listen::new(&transports, "mem://drain").policy(Policy::same_process()).start().await.unwrap();
    let mut client = Connect::new(&transports, "mem://drain").server(Policy::same_process()).await.unwrap();
    let mut connection = server.accept().await.unwrap();
    client.send("in the pipe").await.unwrap();
    let handle = server.handle();
    let received = tokio::spawn(async move {
        let draining = tokio::spawn(async move { handle.shutdown(NET).await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        // Uses up what this task may do before others get their turn.
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        (0..1000).for_each(|i| sender.send(i).unwrap());
        while tokio::task::coop::has_budget_remaining() {
            receiver.recv().await;
        }
        let received = connection.recv().await;
        drop(connection);
        draining.await.unwrap();
        received
    });
    let received = tokio::time::timeout(NET, received).await.unwrap().unwrap();
    assert_eq!(received.unwrap().unwrap().to_text(), Some("in the pipe"));
}

#[tokio::test(start_paused = true)]
async fn times_that_mean_for_ever_are_taken_for_that() {
    let transports = Transports::new().with(MemTransport::new());
    let for_ever = Limits::default()
        .with_connect_time(Duration::MAX)
        .with_handshake_time(Duration::MAX)
        .with_ping_after(Duration::MAX)
        .with_dead_after(Duration::MAX)
        .with_write_time(Duration::MAX)
        .with_close_time(Duration::MAX);
    let never_ping = Limits::default().with_ping_after(Duration::ZERO);
    for limits in [for_ever, never_ping] {
        let listen =
            Listen::new(&transports, "mem://ever").policy(Policy::same_process()).limits(limits.clone());
        let mut server = listen.start().await.unwrap();
        let connect = Connect::new(&transports, "mem://ever").server(Policy::same_process()).limits(limits);
        let mut client = connect.await.unwrap();
        let mut connection = server.accept().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(100_000), connection.recv()).await.is_err());
        client.send("x").await.unwrap();
        assert!(connection.recv().await.unwrap().is_some());
        let (closed, end) = tokio::join!(client.close(), async move { connection.recv().await.unwrap() });
        closed.unwrap();
        assert!(end.is_none());
        server.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_buffer_that_a_large_message_needed_is_given_back() {
    let mut server = listen().start().await.unwrap();
    let (mut peer, mut connection) = authenticated_peer(&mut server).await;
    let message = [&[0x02][..], &(8u64 << 20).to_be_bytes(), &vec![0; 8 << 20]].concat();
    let (written, received) = tokio::join!(peer.write_all(&message), connection.recv());
    written.unwrap();
    let large = received.unwrap().unwrap();
    let parts = large.into_parts().next().unwrap();
    // While the message lives its memory is shared with the connection's buffer at most until the next read.
    peer.write_all(b"\x00\x01a").await.unwrap();
    assert!(connection.recv().await.unwrap().is_some());
    peer.write_all(b"\x00\x01b").await.unwrap();
    assert!(connection.recv().await.unwrap().is_some());
    assert!(parts.is_unique(), "nobody else holds the 8 MiB");
}
