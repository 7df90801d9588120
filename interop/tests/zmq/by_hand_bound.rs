//! Servers written byte by byte that our sockets connect to: what they greet with, and where they stop.

use std::sync::Arc;

use interop::{Settings, Sockets};
use tokio::net::TcpListener;
use transport::core::HandshakeError;
use transport::{ConnectError, RecvError};
use transport_zmq::{Disconnected, SocketEvent, SocketEvents};

use crate::raw::{OLDER, PIECES, Raw, TYPES, command, frame, greeting, ready, unusual_greetings};
use crate::set_up::event;

#[tokio::test]
async fn older_versions_that_are_connected_to_are_refused_by_name_at_the_byte_that_tells() {
    for (ours, _) in TYPES {
        for (bytes, name) in OLDER {
            let mut sockets = Sockets::ours();
            let mut server = Server::met_by(&mut sockets, ours, ours, Settings::new()).await;
            let mut raw = server.accept().await;
            raw.send_in(&[1].repeat(bytes.len()), bytes).await;
            let error = server.failure().await;
            assert!(error.to_string().contains(name), "{ours}: {error}");
            raw.closed().await;
        }
    }
}

#[tokio::test]
async fn the_greeting_of_a_server_may_come_in_pieces_and_say_what_does_not_matter() {
    for greeting in unusual_greetings() {
        for pieces in PIECES {
            let mut sockets = Sockets::ours();
            let server = Server::met_by(&mut sockets, "PULL", "PULL", Settings::new()).await;
            let mut raw = server.accept().await;
            raw.send_in(pieces, &greeting).await;
            raw.finish_as("PUSH").await;
            raw.send(&frame(0, b"hello")).await;
            assert_eq!(sockets.recv("PULL").await, ["hello"], "{greeting:x?}");
        }
    }
}

#[tokio::test]
async fn every_type_takes_a_server_of_3_0_and_of_3_1_that_speaks_byte_by_byte() {
    for (ours, theirs) in TYPES {
        for minor in [0, 1] {
            let mut sockets = Sockets::ours();
            let mut server = Server::met_by(&mut sockets, ours, ours, Settings::new()).await;
            let mut raw = server.accept().await;
            let handshake = [greeting(minor), ready(theirs)].concat();
            raw.send_in(&[1].repeat(handshake.len()), &handshake).await;
            let connected = |event| matches!(event, SocketEvent::Connected { .. }).then_some(());
            event(&mut server.events, connected).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_closes_after_any_byte_of_its_handshake_is_told_of_and_connected_to_again() {
    let closed = |error: &HandshakeError| matches!(error, HandshakeError::Closed | HandshakeError::Io(_));
    stop_after_each_byte(Settings::new(), drop, closed).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_after_any_byte_of_its_handshake_is_given_up_and_connected_to_again() {
    let soon = Settings { handshake: Some(1000), ..Settings::new() };
    let mut silent = Vec::new();
    let late = |error: &HandshakeError| matches!(error, HandshakeError::Deadline(_));
    stop_after_each_byte(soon, |raw| silent.push(raw), late).await;
}

#[tokio::test]
async fn of_a_server_that_closes_in_the_middle_of_a_message_nothing_is_delivered() {
    let whole = frame(0, b"whole");
    let rest = [frame(1, b"first part"), frame(0, b"second part")].concat();
    let mut sockets = Sockets::ours();
    let mut server = Server::met_by(&mut sockets, "PULL", "PULL", Settings::new()).await;
    for length in 1..rest.len() {
        let mut raw = server.accept().await;
        raw.send(&greeting(1)).await;
        raw.finish_as("PUSH").await;
        raw.send(&[&whole, &rest[..length]].concat()).await;
        assert_eq!(sockets.recv("PULL").await, ["whole"]);
        drop(raw);
        let reason = event(&mut server.events, |event| match event {
            SocketEvent::Disconnected { reason, .. } => Some(reason),
            _ => None,
        });
        let reason = reason.await;
        let Disconnected::Receive(error) = &reason else { panic!("{reason:?}") };
        assert!(matches!(**error, RecvError::Truncated), "{error:?}");
    }
    assert_eq!(sockets.recv_within("PULL", 50).await, None);
}

#[tokio::test]
async fn a_server_that_says_something_else_than_ready_is_refused_by_name() {
    for (said, name) in [
        (command("PING", b"\0\0"), "the peer sent PING where READY belongs"),
        (command("HELLO", b""), "the peer sent HELLO where READY belongs"),
        (ready("PULL"), "socket, which a"),
    ] {
        let mut sockets = Sockets::ours();
        let mut server = Server::met_by(&mut sockets, "PULL", "PULL", Settings::new()).await;
        let mut raw = server.accept().await;
        raw.send(&[greeting(1), said].concat()).await;
        let error = server.failure().await;
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// For each byte of a handshake a socket connects to a server that stops behind it; all of them come again and are served.
async fn stop_after_each_byte(
    settings: Settings,
    mut stop: impl FnMut(Raw),
    expected: impl Fn(&HandshakeError) -> bool,
) {
    let handshake = [greeting(1), ready("PUSH")].concat();
    let mut sockets = Sockets::ours();
    let mut servers = Vec::new();
    for length in 0..handshake.len() {
        let name = length.to_string();
        let server = Server::met_by(&mut sockets, &name, "PULL", settings.clone()).await;
        let mut raw = server.accept().await;
        raw.send_in(&[1].repeat(length), &handshake).await;
        stop(raw);
        servers.push((name, server));
    }
    for (name, server) in &mut servers {
        let error = server.failure().await;
        let ConnectError::Handshake(reason) = &*error else { panic!("{error:?}") };
        assert!(expected(reason), "after {name} bytes: {reason:?}");
    }
    for (name, server) in &servers {
        loop {
            let mut raw = server.accept().await;
            raw.send(&[&handshake[..], &frame(0, b"hello")].concat()).await;
            // One that waited too long to be accepted has been given up too.
            if sockets.recv_within(name, 500).await.is_some() {
                break;
            }
        }
    }
}

/// Where one of our sockets connects to.
struct Server {
    listener: TcpListener,
    events: SocketEvents,
}

impl Server {
    /// Opens a socket of this name and type, and lets it connect to a new server.
    async fn met_by(sockets: &mut Sockets, name: &str, r#type: &str, settings: Settings) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        sockets.open(name, r#type, settings).await;
        let events = sockets.here().socket(name).events();
        sockets.connect(name, &format!("tcp://{}", listener.local_addr().unwrap())).await;
        Server { listener, events }
    }

    async fn accept(&self) -> Raw {
        Raw::accept(&self.listener).await
    }

    /// Why the socket was not let in, or did not let this server in.
    async fn failure(&mut self) -> Arc<ConnectError> {
        event(&mut self.events, |event| match event {
            SocketEvent::ConnectFailed { error, .. } => Some(error),
            SocketEvent::Connected { peer } => panic!("{peer:?} was taken in"),
            _ => None,
        })
        .await
    }
}
