//! Connections: whole messages, in order, between peers who know each other.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::{Message, ServerEvent};

use crate::establish::{client_of, connected, serve};
use crate::harness::Harness;
use crate::pattern::{number_of, numbered, pattern};

/// Each side knows the other by the name that this transport proves, and the server's events say the same.
pub async fn identities_are_as_expected(harness: impl Harness) {
    let expected = harness.expected();
    let mut server = serve(&harness).await;
    let mut events = server.events();
    let client = client_of(&harness, &server.local_address().clone());
    let (near, far) = tokio::join!(client, server.accept());
    let (near, far) = (near.expect("connect"), far.expect("the server goes on"));
    assert_eq!(near.identity().to_string(), expected.server);
    assert_eq!(far.identity().to_string(), expected.client);
    assert_eq!((near.protection(), far.protection()), (expected.protection, expected.protection));
    match events.recv().await.expect("an event") {
        ServerEvent::Accepted { identity, source, .. } => {
            assert_eq!(identity.to_string(), expected.client);
            assert_eq!(source, *far.source());
        }
        other => panic!("{other:?}"),
    }
}

/// Text, nothing, a MiB, many parts and empty parts come back as they went out, through connections and halves.
pub async fn messages_of_every_shape_make_the_round_trip(harness: impl Harness) {
    let (_server, mut near, mut far) = connected(&harness).await;
    let echo = tokio::spawn(async move {
        while let Some(message) = far.recv().await.expect("recv") {
            far.send(&message).await.expect("send back");
        }
    });
    let shapes = shapes();
    for message in &shapes {
        near.send(message).await.expect("send");
        let answer = near.recv().await.expect("recv").expect("an answer");
        assert!(answer == *message, "{} parts came back changed", message.part_count());
    }
    let (sender, mut receiver) = near.split();
    for message in &shapes {
        sender.send(message).await.expect("send");
        let answer = receiver.recv().await.expect("recv").expect("an answer");
        assert!(answer == *message, "{} parts came back changed", message.part_count());
    }
    drop((sender, receiver));
    echo.await.expect("the echo ends with its peer");
}

/// Messages of eight senders arrive whole, and those of each sender in its order.
pub async fn messages_of_several_senders_stay_in_order(harness: impl Harness) {
    const SENDERS: usize = 8;
    const EACH: usize = 400;
    let (_server, near, mut far) = connected(&harness).await;
    let (sender, _receiver) = near.split();
    for first in 0..SENDERS {
        let sender = sender.clone();
        tokio::spawn(async move {
            for i in 0..EACH {
                // A few are large enough to be shared by reference instead of copied.
                let length = if i % 50 == 0 { 40_000 } else { i % 300 };
                let message = numbered(first + i * SENDERS, length);
                sender.send(&message).await.expect("send");
            }
        });
    }
    let mut next = [0; SENDERS];
    for _ in 0..SENDERS * EACH {
        let message = far.recv().await.expect("recv").expect("a message");
        let number = number_of(&message);
        let (sender, i) = (number % SENDERS, number / SENDERS);
        assert_eq!(i, next[sender], "of sender {sender}");
        next[sender] += 1;
    }
    assert_eq!(next, [EACH; SENDERS]);
}

/// A `recv` that loses a race is dropped again and again, also in the middle of messages, and nothing is lost.
pub async fn a_dropped_recv_loses_nothing(harness: impl Harness) {
    const MESSAGES: usize = 300;
    let (_server, mut near, far) = connected(&harness).await;
    assert!(poll_once(near.recv()).is_none(), "nothing was sent yet");
    let sending = tokio::spawn(async move {
        let (sender, receiver) = far.split();
        for number in 0..MESSAGES {
            let length = if number % 10 == 0 { 300_000 } else { number };
            sender.send(&numbered(number, length)).await.expect("send");
        }
        sender.flush().await.expect("flush");
        (sender, receiver)
    });
    for number in 0..MESSAGES / 2 {
        let message = loop {
            tokio::select! {
                biased;
                message = near.recv() => break message,
                () = tokio::task::yield_now() => {}
            }
        };
        assert_eq!(number_of(&message.expect("recv").expect("a message")), number);
    }
    let (_sender, mut receiver) = near.split();
    for number in MESSAGES / 2..MESSAGES {
        let message = loop {
            tokio::select! {
                biased;
                message = receiver.recv() => break message,
                () = tokio::task::yield_now() => {}
            }
        };
        assert_eq!(number_of(&message.expect("recv").expect("a message")), number);
    }
    sending.await.expect("the sender");
}

/// `recv_many` takes what has arrived, no more than asked for, in order, and reports the end as nothing.
pub async fn several_messages_are_received_at_once(harness: impl Harness) {
    const MESSAGES: usize = 500;
    let (_server, mut near, mut far) = connected(&harness).await;
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            near.feed(&numbered(number, number)).await.expect("feed");
        }
        near.close().await.expect("close");
    });
    let mut messages = Vec::new();
    assert_eq!(far.recv_many(&mut messages, 0).await.expect("recv"), 0);
    loop {
        let before = messages.len();
        let received = far.recv_many(&mut messages, 7).await.expect("recv");
        assert!(received <= 7 && messages.len() == before + received);
        if received == 0 {
            break;
        }
    }
    let numbers: Vec<_> = messages.iter().map(number_of).collect();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
    drop(far);
    sending.await.expect("the sender");
}

/// A connection that spins before it waits receives the same messages, and sees the end.
pub async fn spinning_receives_the_same_messages(harness: impl Harness) {
    let mut server = serve(&harness).await;
    let client = client_of(&harness, server.local_address()).spin(Duration::from_micros(200));
    let (near, far) = tokio::join!(client, server.accept());
    let (mut near, mut far) = (near.expect("connect"), far.expect("the server goes on"));
    let echo = tokio::spawn(async move {
        while let Some(message) = far.recv().await.expect("recv") {
            far.send(&message).await.expect("send back");
        }
        far.close().await.expect("close");
    });
    for number in 0..100 {
        // Some are longer than what is read at once while spinning.
        let message = numbered(number, number * 100);
        near.send(&message).await.expect("send");
        let answer = near.recv().await.expect("recv").expect("an answer");
        assert!(answer == message, "message {number} came back changed");
    }
    near.close().await.expect("close");
    echo.await.expect("the echo");
}

/// A connection gives its stream and the bytes that came early back, so that another protocol can go on.
pub async fn a_connection_can_be_taken_apart(harness: impl Harness) {
    let (_server, mut near, mut far) = connected(&harness).await;
    near.send("go on").await.expect("send");
    let (mut near, early) = near.into_stream().expect("nothing is queued");
    assert!(early.is_empty());
    near.write_all(b"raw bytes").await.expect("write");
    near.shutdown().await.expect("shutdown");
    let last = far.recv().await.expect("recv").expect("a message");
    assert_eq!(last.to_text(), Some("go on"));
    let (mut far, early) = far.into_stream().expect("nothing is queued");
    let mut bytes = early.to_vec();
    far.read_to_end(&mut bytes).await.expect("read");
    assert_eq!(bytes, b"raw bytes");
}

/// A connection goes on in another runtime when the one that made it is gone; or it says that it cannot, and goes on where
/// it is.
pub async fn a_connection_moves_to_another_runtime_or_stays(harness: impl Harness) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let test = std::thread::spawn(move || {
        let (first, second) = (runtime(), runtime());
        let (mut near, mut far) = first.block_on(async {
            let (_server, near, far) = connected(&harness).await;
            (near, far)
        });
        let moved = second.block_on(async { near.move_to_runtime().and_then(|()| far.move_to_runtime()) });
        let goes_on = async move {
            near.send("still there").await.expect("send");
            assert!(far.recv().await.expect("recv").is_some());
            far.send("and back").await.expect("send");
            assert!(near.recv().await.expect("recv").is_some());
        };
        match moved {
            Ok(()) => {
                drop(first);
                second.block_on(goes_on);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                first.block_on(goes_on);
            }
        }
    });
    let joined = tokio::task::spawn_blocking(|| test.join()).await.expect("a thread to wait in");
    joined.expect("the connection goes on");
}

fn shapes() -> Vec<Message> {
    let lengths = [0, 1, 2, 254, 255, 256, 16_383, 16_384, 16_385, 65_536, 100_000, 0, 3, 0, 1, 0];
    let sixteen = lengths.iter().map(|length| pattern(7, 0, *length)).collect();
    vec![
        Message::from("hello"),
        Message::from(""),
        ["to", "", "all"].into_iter().collect(),
        ["", "", ""].into_iter().collect(),
        Message::new(pattern(8, 0, 1 << 20)),
        sixteen,
    ]
}

/// Polls a future once and drops it.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
