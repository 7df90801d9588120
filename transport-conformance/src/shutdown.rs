//! The end of servers.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use transport_core::{Cut, Drained, Listen, Policy, RecvError, ServerEvent};

use crate::establish::{client_of, connect, connected, serve};
use crate::harness::Harness;
use crate::pattern::{number_of, numbered};

/// A server that shuts down accepts nobody else, and its connections receive what has arrived, answer and close.
pub async fn shutdown_lets_connections_finish(harness: impl Harness) {
    const MESSAGES: usize = 20;
    let (mut server, mut near, mut far) = connected(&harness).await;
    let address = server.local_address().clone();
    for number in 0..MESSAGES {
        near.feed(&numbered(number, 50)).await.expect("feed");
    }
    near.flush().await.expect("flush");
    // In one write, and small enough to have been read together: when the first one is there, all are.
    let first = far.recv().await.expect("recv").expect("a message");
    assert_eq!(number_of(&first), 0);
    let handle = server.handle();
    let stopping = tokio::spawn(async move { handle.shutdown(LONG).await });
    assert!(server.accept().await.is_none());

    for number in 1..MESSAGES {
        let message = far.recv().await.expect("recv").expect("it had arrived");
        assert_eq!(number_of(&message), number);
    }
    assert!(far.recv().await.expect("recv").is_none());
    far.send("goodbye").await.expect("send");
    let goodbye = async {
        let message = near.recv().await.expect("recv").expect("a message");
        assert_eq!(message.to_text(), Some("goodbye"));
        assert!(near.recv().await.expect("recv").is_none());
        drop(near);
    };
    let (closed, ()) = tokio::join!(far.close(), goodbye);
    closed.expect("close");
    assert_eq!(stopping.await.expect("shutdown"), Drained { cut: 0 });
    client_of(&harness, &address).await.expect_err("the server is gone");
}

/// A connection that does not end in time is cut, and told so.
pub async fn shutdown_cuts_who_does_not_finish(harness: impl Harness) {
    let (server, mut near, mut far) = connected(&harness).await;
    assert_eq!(server.shutdown(Duration::from_millis(20)).await, Drained { cut: 1 });
    let error = far.recv().await.expect_err("it was cut");
    assert!(matches!(error, RecvError::Cut(Cut::Stopped)), "{error:?}");
    drop(far);
    let _end = near.recv().await;
}

/// When a shutdown is over, the next server can listen at the address: at once, and every time.
pub async fn shutdown_frees_the_address(harness: impl Harness) {
    let transports = harness.transports();
    let (mut server, near, far) = connected(&harness).await;
    let address = server.local_address().to_string();
    drop((near, far));
    for _ in 0..50 {
        assert_eq!(server.shutdown(LONG).await, Drained { cut: 0 });
        let again = Listen::new(&transports, &address).policy(Policy::danger_anyone());
        server = again.start().await.expect("listen again");
    }
}

/// Connections that wait to be accepted when the server stops are nobody's: they end, and hold nothing up.
pub async fn shutdown_does_not_wait_for_who_was_never_handed_over(harness: impl Harness) {
    let mut server = serve(&harness).await;
    let mut events = server.events();
    let client = client_of(&harness, server.local_address());
    let mut near = client.await.expect("connect");
    let event = events.recv().await;
    assert!(matches!(event, Some(ServerEvent::Accepted { .. })), "{event:?}");
    // The server is still there, as when the task that owns it is the one that shuts it down.
    let drained = tokio::time::timeout(LONG / 4, server.handle().shutdown(LONG)).await;
    assert_eq!(drained.expect("there is nobody to wait for"), Drained { cut: 0 });
    assert!(matches!(near.recv().await, Ok(None) | Err(_)));
}

/// However a server is shut down, its events end with the one that says so.
pub async fn the_last_event_says_that_the_server_stopped(harness: impl Harness) {
    for by_handle in [true, false] {
        let mut server = serve(&harness).await;
        let mut events = server.events();
        if by_handle {
            server.handle().shutdown(LONG).await;
            drop(server);
        } else {
            server.shutdown(LONG).await;
        }
        let event = events.recv().await;
        assert!(matches!(event, Some(ServerEvent::Stopped)), "{event:?}, by handle: {by_handle}");
        assert!(events.recv().await.is_none());
    }
}

/// Connections that were handed over outlive a server that is dropped.
pub async fn dropping_a_server_leaves_its_connections_open(harness: impl Harness) {
    let (server, mut near, mut far) = connected(&harness).await;
    drop(server);
    near.send("still here").await.expect("send");
    let message = far.recv().await.expect("recv").expect("a message");
    assert_eq!(message.to_text(), Some("still here"));
    far.send(&message).await.expect("send");
    assert_eq!(near.recv().await.expect("recv"), Some(message));
}

/// A server that retires frees its address and hands over who has come, also who was still in its handshake.
pub async fn a_server_that_retires_turns_nobody_away(harness: impl Harness) {
    let mut server = serve(&harness).await;
    let address = server.local_address().clone();
    let mut slow = connect(&harness, &address).await.expect("connect").stream;
    // Taken in behind the slow one, and waits to be handed over.
    let mut near = client_of(&harness, &address).await.expect("connect");
    let handle = server.handle();
    let retiring = tokio::spawn(async move { handle.retire().await });
    let mut far = server.accept().await.expect("it had come");
    let gone = async {
        while client_of(&harness, &address).await.is_ok() {
            server.accept().await.expect("it was let in");
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("the address is not free");

    slow.write_all(&greeting_and_ready()).await.expect("write");
    slow.write_all(b"\0\x06late I").await.expect("write");
    slow.flush().await.expect("flush");
    let mut late = server.accept().await.expect("it had come too");
    let message = late.recv().await.expect("recv").expect("a message");
    assert_eq!(message.to_text(), Some("late I"));
    retiring.await.expect("retire");
    assert!(server.accept().await.is_none());
    near.send("still here").await.expect("send");
    let message = far.recv().await.expect("recv").expect("a message");
    assert_eq!(message.to_text(), Some("still here"));
}

/// All that a ZMTP client sends to be let in by NULL.
fn greeting_and_ready() -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL".to_vec();
    bytes.resize(64, 0);
    bytes.extend_from_slice(b"\x04\x06\x05READY");
    bytes
}

/// Far more than it takes.
const LONG: Duration = Duration::from_secs(40);
