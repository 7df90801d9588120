//! Sending when the peer does not take what is sent.

use transport_core::Connection;

use crate::establish::connected;
use crate::harness::Harness;
use crate::messages::poll_once;
use crate::pattern::{number_of, numbered};

/// A `send` that is dropped while it waits has sent its whole message or nothing of it.
pub async fn a_dropped_send_sends_all_or_nothing(harness: impl Harness) {
    let (_server, mut near, far) = connected(&harness).await;
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let message = numbered(number, LENGTH);
        drop(near.send(&message)); // not even polled
        if let Some(result) = poll_once(near.send(&message)) {
            result.expect("send");
            sent.push(number);
        }
    }
    assert!(sent.len() < MESSAGES, "the peer takes nothing, so some must have waited");
    let last = async {
        near.send(&numbered(MESSAGES, 0)).await.expect("send the last");
        near.close().await.expect("close");
    };
    let ((), received) = tokio::join!(last, numbers(far));
    all_or_nothing(&sent, &received);
}

/// The same for a [`Sender`](transport_core::Sender).
pub async fn a_dropped_send_of_a_sender_sends_all_or_nothing(harness: impl Harness) {
    let (_server, near, far) = connected(&harness).await;
    let (sender, _receiver) = near.split();
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let message = numbered(number, LENGTH);
        drop(sender.send(&message)); // not even polled
        if let Some(result) = poll_once(sender.send(&message)) {
            result.expect("send");
            sent.push(number);
        }
        tokio::task::yield_now().await; // the flusher's turn
    }
    assert!(sent.len() < MESSAGES, "the peer takes nothing, so some must have waited");
    let last = async {
        sender.send(&numbered(MESSAGES, 0)).await.expect("send the last");
        sender.close().await.expect("close");
    };
    let ((), received) = tokio::join!(last, numbers(far));
    all_or_nothing(&sent, &received);
}

/// Both sides send far more than the buffers hold while both receive, and none waits for ever.
pub async fn both_sides_send_more_than_the_buffers_hold(harness: impl Harness) {
    let (_server, near, far) = connected(&harness).await;
    tokio::join!(send_and_receive(near), send_and_receive(far));
}

async fn send_and_receive(connection: Connection) {
    let (sender, mut receiver) = connection.split();
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            sender.send(&numbered(number, LENGTH)).await.expect("send");
        }
        sender.close().await.expect("close");
    });
    for number in 0..MESSAGES {
        let message = receiver.recv().await.expect("recv").expect("a message");
        assert_eq!(number_of(&message), number);
    }
    assert!(receiver.recv().await.expect("recv").is_none());
    sending.await.expect("the sender");
}

/// The numbers of all messages up to the end.
async fn numbers(mut connection: Connection) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(message) = connection.recv().await.expect("only whole messages") {
        numbers.push(number_of(&message));
    }
    numbers
}

fn all_or_nothing(sent: &[usize], received: &[usize]) {
    assert!(received.is_sorted_by(|a, b| a < b), "in order and each once: {received:?}");
    let lost: Vec<_> = sent.iter().filter(|number| !received.contains(number)).collect();
    assert!(lost.is_empty(), "said to be sent and lost: {lost:?}");
    assert_eq!(received.last(), Some(&MESSAGES), "the one that was waited for");
}

/// So many messages of so many bytes are more than any buffer on the way holds.
const MESSAGES: usize = 60;
const LENGTH: usize = 400_000;
