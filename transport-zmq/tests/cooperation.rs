//! Tasks that always find something to receive, on a runtime of one thread.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::raw::{joined, message, read_frame};
use common::{Places, config, within};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use transport_zmq::{PubSocket, PullSocket, PushSocket, ReqSocket, SubSocket};

/// Counts how often another task has run.
fn other_task() -> Arc<AtomicU32> {
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    tokio::spawn(async move {
        loop {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    runs
}

/// Nothing but this waits: what has been sent has arrived.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

const COUNT: u32 = 900;

#[tokio::test]
async fn whoever_receives_a_lot_lets_other_tasks_run_however_it_does() {
    let places = Places::new();
    let mut pull = PullSocket::new(&places.transports, config());
    let mut push = PushSocket::new(&places.transports, config());
    push.connect(pull.bind("inproc://work").await.unwrap()).unwrap();
    macro_rules! check {
        ($name:literal, $receive:expr) => {{
            for _ in 0..COUNT {
                within(push.send("work")).await.unwrap();
            }
            settle().await;
            let runs = other_task();
            for _ in 0..COUNT {
                $receive;
            }
            assert!(runs.load(Ordering::Relaxed) > 0, $name);
        }};
    }
    check!("recv", pull.recv().await);
    let mut messages = Vec::new();
    check!("recv_many", pull.recv_many(&mut messages, 1).await);
    check!("a stream", pull.next().await);

    let mut publisher = PubSocket::new(&places.transports, config());
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("");
    subscriber.connect(publisher.bind("inproc://news").await.unwrap()).unwrap();
    within(publisher.subscribed("")).await;
    for _ in 0..COUNT {
        publisher.send("news").await.unwrap();
    }
    settle().await;
    let runs = other_task();
    for _ in 0..COUNT {
        subscriber.next().await;
    }
    assert!(runs.load(Ordering::Relaxed) > 0, "a SUB's stream");
}

/// Replies to requests that are over are dropped, which must not take a thread for itself however many they are.
#[tokio::test]
async fn a_requester_that_gets_many_late_replies_lets_other_tasks_run() {
    let places = Places::new();
    let mut req = ReqSocket::new(&places.transports, config()).correlated();
    let address = req.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut peer = joined(&address, "ROUTER", b"").await;
    within(req.send("question")).await.unwrap();
    let id = read_frame(&mut peer).await.unwrap().1;
    let late = message(&[b"late", b"", b"reply"]).repeat(COUNT as usize);
    peer.write_all(&[late, message(&[&id, b"", b"answer"])].concat()).await.unwrap();
    settle().await;
    let runs = other_task();
    assert_eq!(within(req.recv()).await.unwrap().to_text(), Some("answer"));
    assert!(runs.load(Ordering::Relaxed) > 0);
}
