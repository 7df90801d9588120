//! Servers: who gets in, and who does not.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::{
    ConnectError, HandshakeError, Limits, Listen, Policy, Server, ServerEvent, ServerEvents,
};

use crate::establish::{client_of, connect, listen, serve};
use crate::harness::Harness;

/// While one peer says nothing, another is authenticated and served.
pub async fn a_silent_peer_holds_up_no_connection(harness: impl Harness) {
    let mut server = serve(&harness).await;
    let _silent = harness.silent_peer(server.local_address().clone()).await;
    greet(&harness, &mut server).await;
}

/// Handshakes that the client gives up, wherever they are, leave the server as it was.
pub async fn abandoned_handshakes_are_harmless(harness: impl Harness) {
    let mut server = serve(&harness).await;
    for turns in 0..30 {
        let turns = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = client_of(&harness, server.local_address()).into_future() => {}
            () = turns => {}
        }
    }
    greet(&harness, &mut server).await;
}

/// A client whom the server's policy denies is told so or sees the end, and the server tells whom it refused and why.
pub async fn denial_is_seen_on_both_sides(harness: impl Harness) {
    let listen = Listen::new(&harness.transports(), harness.address()).policy(Policy::nobody());
    let mut server = listen.start().await.expect("listen");
    let mut events = server.events();
    let client = client_of(&harness, server.local_address());
    let error = client.await.expect_err("nobody is allowed");
    // A transport with a handshake of its own may have told it so in that one's words.
    let seen = matches!(
        error,
        ConnectError::Handshake(
            HandshakeError::RefusedByPeer { .. } | HandshakeError::Closed | HandshakeError::Io(_)
        )
    );
    assert!(seen, "{error:?}");

    let client = harness.expected().client;
    let (identity, reason) = refused(&mut events).await;
    assert!(identity.is_none_or(|identity| identity == client));
    let denied = "is not allowed by the policy (nobody)";
    assert!(reason.starts_with(&client) && reason.ends_with(denied), "{reason}");
}

/// A client leaves a server that its own policy denies, and the server goes on for others.
pub async fn a_client_refuses_a_server_that_its_policy_denies(harness: impl Harness) {
    let mut server = serve(&harness).await;
    let mut events = server.events();
    let client = client_of(&harness, server.local_address()).server(Policy::nobody());
    let error = client.await.expect_err("no server will do");
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Denied(_))), "{error:?}");
    let named = harness.expected().server;
    assert!(error.to_string().starts_with(&named), "{error}");
    refused(&mut events).await;
    greet(&harness, &mut server).await;
}

/// A raw server hands over the stream, with all its abilities, and whose it is, and counts it until it is dropped.
pub async fn a_raw_server_hands_over_stream_and_identity(harness: impl Harness) {
    let expected = harness.expected();
    let listen = Listen::new(&harness.transports(), harness.address()).policy(Policy::danger_anyone());
    let mut server = listen.start_raw().await.expect("listen");
    let handle = server.handle();
    let address = server.local_address().clone();
    let (near, far) = tokio::join!(connect(&harness, &address), server.accept());
    let (mut near, far) = (near.expect("connect").stream, far.expect("the server goes on"));
    assert_eq!(far.identity().to_string(), expected.client);

    let mut far = far.into_stream();
    assert_eq!(far.is_write_vectored(), expected.vectored);
    assert_eq!(far.plain_socket().is_some(), expected.plain_socket);
    assert_eq!(handle.connection_count(), 1);
    near.write_all(b"question").await.expect("write");
    near.shutdown().await.expect("shutdown");
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.expect("read");
    assert_eq!(heard, "question");
    far.write_all(b"answer").await.expect("write");
    far.shutdown().await.expect("shutdown");
    drop(far);
    assert_eq!(handle.connection_count(), 0);
    let mut heard = String::new();
    near.read_to_string(&mut heard).await.expect("read");
    assert_eq!(heard, "answer");
}

/// At the cap a further peer waits, and is served when another has gone.
pub async fn peers_beyond_the_cap_wait_until_there_is_room(harness: impl Harness) {
    let listen = Listen::new(&harness.transports(), harness.address()).policy(Policy::danger_anyone());
    let limits = Limits::default().with_connections(1);
    let mut server = listen.limits(limits).start().await.expect("listen");
    let handle = server.handle();
    let first = client_of(&harness, server.local_address());
    let (_first, served) = tokio::join!(first, server.accept());
    let served = served.expect("the server goes on");

    let mut second = client_of(&harness, server.local_address()).into_future();
    let early = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
    assert!(early.is_err(), "there was no room, and yet: {early:?}");
    assert_eq!(handle.connection_count(), 1);
    drop(served);
    let (second, served) = tokio::join!(second, server.accept());
    second.expect("connect");
    served.expect("the server goes on");
}

/// A server can be made of a listener of the transport, and is at its address.
pub async fn a_server_goes_on_with_a_listener_that_there_is(harness: impl Harness) {
    let listener = listen(&harness).await;
    let address = listener.local_address().clone();
    let mut server = Listen::on(listener).policy(Policy::danger_anyone()).start().await.expect("start");
    assert_eq!(*server.local_address(), address);
    greet(&harness, &mut server).await;
}

/// A new client connects and is heard; those that came before and say nothing are passed over.
async fn greet(harness: &impl Harness, server: &mut Server) {
    let client = client_of(harness, server.local_address());
    let greeting = async {
        let mut near = client.await.expect("connect");
        near.send("still here").await.expect("send");
        near.close().await.expect("close");
    };
    let heard = async {
        loop {
            let mut far = server.accept().await.expect("the server goes on");
            if let Ok(Some(message)) = far.recv().await {
                assert_eq!(message.to_text(), Some("still here"));
                return;
            }
        }
    };
    tokio::join!(greeting, heard);
}

/// Whom the server refused next, and why.
async fn refused(events: &mut ServerEvents) -> (Option<String>, String) {
    match events.recv().await.expect("an event") {
        ServerEvent::Refused { identity, reason, .. } => {
            (identity.map(|identity| identity.to_string()), reason.to_string())
        }
        other => panic!("{other:?}"),
    }
}
