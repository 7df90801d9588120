//! The end of connections.

use tokio::io::AsyncWriteExt as _;
use transport_core::{CloseReason, Connection, RecvError, ServerEvent};

use crate::establish::connected;
use crate::harness::Harness;
use crate::pattern::{number_of, numbered};

/// A thousand messages that were sent before a close all arrive, and then the end.
pub async fn close_delivers_what_was_sent(harness: impl Harness) {
    let (_server, near, mut far) = connected(&harness).await;
    let closing = tokio::spawn(send_and_close(near));
    receive_all(&mut far).await;
    drop(far);
    closing.await.expect("the side that closes");
}

/// They do so as well while the peer sends things that nobody receives any more.
pub async fn close_delivers_what_was_sent_while_the_peer_sends(harness: impl Harness) {
    let (_server, near, mut far) = connected(&harness).await;
    // Unread at the side that closes: a socket that is closed over it takes back what it had sent.
    for number in 0..20 {
        far.send(&numbered(number, LENGTH)).await.expect("send");
    }
    let closing = tokio::spawn(send_and_close(near));
    receive_all(&mut far).await;
    drop(far);
    closing.await.expect("the side that closes");
}

/// A closed sender ends its direction only: the peer sees the end and its answers still arrive.
pub async fn closing_a_sender_leaves_the_receiver_open(harness: impl Harness) {
    let (_server, near, mut far) = connected(&harness).await;
    let (sender, mut receiver) = near.split();
    let other = sender.clone();
    sender.send("the last question").await.expect("send");
    sender.close().await.expect("close");
    other.send("too late").await.expect_err("the direction is closed");

    let question = far.recv().await.expect("recv").expect("a message");
    assert_eq!(question.to_text(), Some("the last question"));
    assert!(far.recv().await.expect("recv").is_none());
    far.send("the last answer").await.expect("send");
    far.close().await.expect("close");
    let answer = receiver.recv().await.expect("recv").expect("a message");
    assert_eq!(answer.to_text(), Some("the last answer"));
    assert!(receiver.recv().await.expect("recv").is_none());
}

/// When the stream ends within a message, the receiver is told that something is missing.
pub async fn a_peer_that_vanishes_mid_message_is_noticed(harness: impl Harness) {
    let (_server, mut near, mut far) = connected(&harness).await;
    near.send("whole").await.expect("send");
    let (mut stream, _early) = near.into_stream().expect("nothing is queued");
    // A ZMTP frame of 1,000 bytes, of which 10 come.
    let cut = [&[2, 0, 0, 0, 0, 0, 0, 3, 0xe8], &[7; 10][..]].concat();
    stream.write_all(&cut).await.expect("write");
    stream.flush().await.expect("flush");
    drop(stream);

    let whole = far.recv().await.expect("recv").expect("a message");
    assert_eq!(whole.to_text(), Some("whole"));
    let error = far.recv().await.expect_err("a part is missing");
    assert!(matches!(error, RecvError::Truncated), "{error:?}");
}

async fn send_and_close(mut connection: Connection) {
    for number in 0..MESSAGES {
        connection.feed(&numbered(number, LENGTH)).await.expect("feed");
    }
    connection.close().await.expect("close");
}

async fn receive_all(connection: &mut Connection) {
    for number in 0..MESSAGES {
        let message = connection.recv().await.expect("recv").expect("a message");
        assert_eq!(number_of(&message), number);
    }
    assert!(connection.recv().await.expect("recv").is_none());
}

const MESSAGES: usize = 1000;
const LENGTH: usize = 1000;

/// The server's events tell of a connection that has ended: which one it was, that the peer closed it, and what went over
/// it.
pub async fn a_closed_connection_is_told_with_what_went_over_it(harness: impl Harness) {
    let (mut server, mut near, mut far) = connected(&harness).await;
    let mut events = server.events();
    let id = far.id().expect("a server's connection has a number");
    near.send("one").await.expect("send");
    near.send("two").await.expect("send");
    for _ in 0..2 {
        far.recv().await.expect("recv").expect("a message");
    }
    far.send("three").await.expect("send");
    near.recv().await.expect("recv").expect("a message");
    let ((), closed_by_client) = tokio::join!(
        async {
            assert!(far.recv().await.expect("an end").is_none());
            drop(far);
        },
        near.close()
    );
    closed_by_client.expect("close");
    let closed = loop {
        match events.recv().await.expect("the server goes on") {
            ServerEvent::Closed(closed) => break closed,
            ServerEvent::Accepted { connection, .. } => assert_eq!(connection, id),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((closed.connection, &closed.reason), (id, &CloseReason::PeerClosed));
    let traffic = closed.traffic;
    assert_eq!((traffic.messages_in, traffic.messages_out), (2, 1));
    // As ZMTP frames.
    assert_eq!((traffic.bytes_in, traffic.bytes_out), (10, 7));
}
