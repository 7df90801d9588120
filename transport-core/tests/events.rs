//! What a server tells of its connections, from their coming to their end.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use common::{NET, authenticated_peer, listen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::mem::MemTransport;
use transport_core::{
    CloseReason, Closed, Connect, Connection, ConnectionId, Cut, Limits, Listen, Message, Policy, Server,
    ServerEvent, ServerEvents, Transports,
};

/// A server whose events are watched, and a client for each call of `connect`.
struct Watched {
    transports: Transports,
    server: Server,
    events: ServerEvents,
}

impl Watched {
    async fn start(limits: Limits) -> Watched {
        let transports = Transports::new().with(MemTransport::new());
        let listen = Listen::new(&transports, "mem://events").policy(Policy::same_process()).limits(limits);
        let mut server = listen.start().await.unwrap();
        let events = server.events();
        Watched { transports, server, events }
    }

    /// The connecting end, the accepted one, and what the event called it.
    async fn connect(&mut self) -> (Connection, Connection, ConnectionId) {
        let client =
            Connect::new(&self.transports, "mem://events").server(Policy::same_process()).await.unwrap();
        let accepted = self.server.accept().await.unwrap();
        let id = match next(&mut self.events).await {
            ServerEvent::Accepted { connection, source, identity } => {
                assert_eq!(source, *accepted.source());
                assert_eq!(identity.to_string(), "process");
                connection
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((accepted.id(), client.id()), (Some(id), None));
        (client, accepted, id)
    }

    async fn closed(&mut self) -> Arc<Closed> {
        closed(&mut self.events).await
    }
}

async fn next(events: &mut ServerEvents) -> ServerEvent {
    tokio::time::timeout(NET, events.recv()).await.expect("there is an event").expect("the server goes on")
}

async fn closed(events: &mut ServerEvents) -> Arc<Closed> {
    match next(events).await {
        ServerEvent::Closed(closed) => closed,
        other => panic!("{other:?}"),
    }
}

/// A message of so many bytes; its frame has 2 more.
fn message(bytes: usize) -> Message {
    vec![7; bytes].into()
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_is_told_with_who_it_was_and_what_went_over_it() {
    let mut watched = Watched::start(Limits::default()).await;
    let (mut client, mut accepted, id) = watched.connect().await;
    for size in [10, 20, 30] {
        client.send(&message(size)).await.unwrap();
    }
    // One by one, and as a batch.
    accepted.recv().await.unwrap().unwrap();
    let mut rest = 0;
    while rest < 2 {
        rest += accepted.recv_each(|_| ()).await.unwrap();
    }
    accepted.send(&message(100)).await.unwrap();
    accepted.feed(&message(200)).await.unwrap();
    accepted.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(client);
    assert!(accepted.recv().await.unwrap().is_none());
    drop(accepted);
    let closed = watched.closed().await;
    assert_eq!((closed.connection, closed.identity.to_string()), (id, "process".to_owned()));
    assert_eq!(closed.reason, CloseReason::PeerClosed);
    assert_eq!((closed.traffic.messages_in, closed.traffic.bytes_in), (3, 66));
    assert_eq!((closed.traffic.messages_out, closed.traffic.bytes_out), (2, 304));
    assert_eq!(closed.lasted.as_secs(), 3);
    let (.., second) = watched.connect().await;
    assert_ne!(second, id);
}

#[tokio::test]
async fn a_message_that_was_only_queued_is_not_told_as_sent() {
    let mut watched = Watched::start(Limits::default()).await;
    let (_client, mut accepted, _) = watched.connect().await;
    accepted.feed("never written").await.unwrap();
    drop(accepted);
    let closed = watched.closed().await;
    assert_eq!((closed.traffic.messages_out, closed.traffic.bytes_out), (0, 0));
    assert_eq!(closed.reason, CloseReason::ThisSide);
}

#[tokio::test]
async fn a_split_connection_is_told_when_its_last_half_is_dropped() {
    let mut watched = Watched::start(Limits::default()).await;
    let (mut client, accepted, _) = watched.connect().await;
    let (sender, mut receiver) = accepted.split();
    client.send("in").await.unwrap();
    receiver.recv().await.unwrap().unwrap();
    drop(receiver);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    sender.send(&message(8)).await.unwrap();
                }
            })
        })
        .collect();
    let mut received = 0;
    while received < 800 {
        received += client.recv_each(|_| ()).await.unwrap();
    }
    for task in tasks {
        task.await.unwrap();
    }
    sender.flush().await.unwrap();
    assert_eq!(watched.server.handle().connection_count(), 1);
    drop(sender);
    let traffic = watched.closed().await.traffic;
    assert_eq!((traffic.messages_in, traffic.bytes_in), (1, 4));
    assert_eq!((traffic.messages_out, traffic.bytes_out), (800, 8000));
}

#[tokio::test]
async fn a_connection_that_was_taken_apart_is_told_with_the_bytes_that_went_on() {
    let mut watched = Watched::start(Limits::default()).await;
    let (client, mut accepted, _) = watched.connect().await;
    accepted.send(&message(10)).await.unwrap();
    let (mut near, _) = client.into_stream().unwrap();
    let (mut far, _) = accepted.into_stream().unwrap();
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    far.write_all(b"abc").await.unwrap();
    drop(near);
    assert_eq!(far.read(&mut [0; 5]).await.unwrap(), 0);
    let (read, write) = far.into_split();
    drop(write);
    drop(read);
    let closed = watched.closed().await;
    assert_eq!(closed.reason, CloseReason::PeerClosed);
    assert_eq!((closed.traffic.messages_out, closed.traffic.bytes_out), (1, 15));
    assert_eq!((closed.traffic.messages_in, closed.traffic.bytes_in), (0, 5));

    let (_client, accepted, _) = watched.connect().await;
    drop(accepted.into_framed());
    assert_eq!(watched.closed().await.reason, CloseReason::ThisSide);
}

#[tokio::test]
async fn a_raw_connection_is_told_as_any_other() {
    let transports = Transports::new().with(MemTransport::new());
    let listen = Listen::new(&transports, "mem://raw-events").policy(Policy::same_process());
    let mut server = listen.start_raw().await.unwrap();
    let mut events = server.events();
    let address = "mem://raw-events".parse().unwrap();
    let mut near = transports.lookup("mem").unwrap().connect(&address).await.unwrap().stream;
    near.write_all(b"hello").await.unwrap();
    let accepted = server.accept().await.unwrap();
    let id = accepted.id();
    let ServerEvent::Accepted { connection, .. } = next(&mut events).await else { panic!("it was accepted") };
    assert_eq!(id, Some(connection));
    let mut far = accepted.into_stream();
    far.read_exact(&mut [0; 5]).await.unwrap();
    drop(far);
    let closed = closed(&mut events).await;
    assert_eq!((closed.connection, closed.traffic.bytes_in), (connection, 5));
    assert_eq!(closed.reason, CloseReason::ThisSide);
}

#[tokio::test]
async fn a_violation_is_told_with_what_it_was() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    for batch in [false, true] {
        let (mut peer, mut connection) = authenticated_peer(&mut server).await;
        next(&mut events).await;
        // A message, and a frame of 2^63 bytes.
        peer.write_all(b"\x00\x01a\x02\x80\0\0\0\0\0\0\0").await.unwrap();
        if batch {
            while connection.recv_each(|_| ()).await.is_ok() {}
        } else {
            while connection.recv().await.is_ok() {}
        }
        drop(connection);
        let closed = closed(&mut events).await;
        assert!(matches!(closed.reason, CloseReason::Violation(_)), "{:?}", closed.reason);
        assert_eq!(closed.traffic.messages_in, 1);
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_message_and_a_reset_are_told_apart() {
    let mut server = listen().start().await.unwrap();
    let mut events = server.events();
    let (mut peer, mut connection) = authenticated_peer(&mut server).await;
    next(&mut events).await;
    peer.write_all(b"\x00\x05ab").await.unwrap();
    peer.shutdown().await.unwrap();
    assert!(connection.recv().await.is_err());
    drop(connection);
    assert_eq!(closed(&mut events).await.reason, CloseReason::Truncated);

    let (peer, mut connection) = authenticated_peer(&mut server).await;
    next(&mut events).await;
    // Closing with unread bytes resets.
    connection.send("unread").await.unwrap();
    peer.readable().await.unwrap();
    drop(peer);
    assert!(connection.recv().await.is_err());
    drop(connection);
    assert_eq!(closed(&mut events).await.reason, CloseReason::Io(io::ErrorKind::ConnectionReset));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_and_one_that_takes_nothing_are_told_with_how_long() {
    let limits = Limits::default().with_write_time(Duration::from_secs(7));
    let mut watched = Watched::start(limits).await;
    let (_client, mut accepted, _) = watched.connect().await;
    assert!(accepted.recv().await.is_err());
    drop(accepted);
    let reason = watched.closed().await.reason.clone();
    assert!(matches!(reason, CloseReason::Silent(_)), "{reason}");

    let (_client, mut accepted, _) = watched.connect().await;
    assert!(accepted.send(&message(1 << 20)).await.is_err());
    drop(accepted);
    assert_eq!(watched.closed().await.reason, CloseReason::Stalled(Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn what_a_shutdown_ends_is_told_as_drained_or_cut() {
    let mut watched = Watched::start(Limits::default()).await;
    let (_one, mut ends, _) = watched.connect().await;
    let (_two, lazy, _) = watched.connect().await;
    let (_three, mut late, _) = watched.connect().await;
    tokio::spawn(async move { while ends.recv().await.unwrap().is_some() {} });
    let handle = watched.server.handle();
    assert_eq!(handle.shutdown(Duration::from_secs(1)).await.cut, 2);
    assert!(matches!(next(&mut watched.events).await, ServerEvent::Stopped));
    // Told before the shutdown was over.
    assert_eq!(watched.closed().await.reason, CloseReason::Drained);
    drop(lazy);
    assert_eq!(watched.closed().await.reason, CloseReason::Cut(Cut::Stopped));
    assert!(late.send("x").await.is_err());
    drop(late);
    assert_eq!(watched.closed().await.reason, CloseReason::Cut(Cut::Stopped));
    drop((handle, watched.server));
    assert!(watched.events.recv().await.is_none());
}

#[tokio::test]
async fn a_connection_that_was_never_handed_over_is_told_as_closed_too() {
    let mut watched = Watched::start(Limits::default()).await;
    let connect = Connect::new(&watched.transports, "mem://events").server(Policy::same_process());
    let _client = connect.await.unwrap();
    let ServerEvent::Accepted { connection, .. } = next(&mut watched.events).await else { panic!() };
    watched.server.shutdown(NET).await;
    let mut told = false;
    while let Some(event) = watched.events.recv().await {
        if let ServerEvent::Closed(closed) = event {
            told = closed.connection == connection;
        }
    }
    assert!(told);
}
