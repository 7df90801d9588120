//! What PUB and XPUB can be told to do otherwise.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::raw::{joined, message};
use common::{Places, config, connected, event, within};
use futures_util::SinkExt as _;
use tokio::io::AsyncWriteExt as _;
use transport_core::Message;
use transport_zmq::{
    Disconnected, HighWaterMark, PubSocket, Rejection, SocketEvent, SubSocket, XPubSocket, XSubSocket,
};

async fn until(mut there: impl FnMut() -> bool) {
    within(async {
        while !there() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_publisher_that_does_not_drop_waits_for_its_slowest_subscriber() {
    let places = Places::new();
    let mark = HighWaterMark::new(10, 1 << 20);
    let small = || config().with_send_mark(mark).with_receive_mark(mark);
    for sinks in [false, true] {
        let mut publisher = PubSocket::new(&places.transports, small()).with_drop(false);
        let mut subscriber = SubSocket::new(&places.transports, small());
        subscriber.subscribe("");
        subscriber.connect(publisher.bind("inproc://slow").await.unwrap()).unwrap();
        within(publisher.subscribed("")).await;
        let large = [0; 8000];
        let mut sent = 0u32;
        let filling = async {
            loop {
                let message = Message::from([&sent.to_be_bytes()[..], &large].concat());
                if sinks {
                    publisher.feed(message).await.unwrap();
                } else {
                    publisher.send(&message).await.unwrap();
                }
                sent += 1;
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(200), filling).await.is_err());
        assert!((10..100).contains(&sent), "{sent}");
        assert!(!publisher.try_send(&large).unwrap());
        let receiving = async {
            for number in 0..sent {
                assert_eq!(subscriber.recv().await[0][..4], number.to_be_bytes());
            }
        };
        // The sink has taken one message more than there was room for.
        let (flushed, ()) = within(async { tokio::join!(publisher.flush(), receiving) }).await;
        flushed.unwrap();
        assert_eq!(publisher.dropped(), 0);
        // Who is not subscribed is not waited for, nor who goes while he is waited for.
        while publisher.try_send(&large).unwrap() {}
        subscriber.close().await;
        within(publisher.send(&large)).await.unwrap();
        within(publisher.close()).await;
    }
}

#[tokio::test]
async fn subscriptions_are_told_as_the_socket_was_asked_to() {
    for (kind, expected) in [
        (0, &[&b"\x01a"[..], b"\x00a"][..]),
        (1, &[b"\x01a", b"\x01a", b"\x01a", b"\x00a"]),
        (2, &[b"\x01a", b"\x01a", b"\x01a", b"\x00a", b"\x00a"]),
    ] {
        let places = Places::new();
        let publisher = XPubSocket::new(&places.transports, config());
        let mut publisher = match kind {
            0 => publisher,
            1 => publisher.verbose(),
            _ => publisher.verboser(),
        };
        let address = publisher.bind("inproc://told").await.unwrap();
        let mut two = [(); 2].map(|()| XSubSocket::new(&places.transports, config()));
        let mut events = publisher.events();
        for subscriber in &two {
            subscriber.connect(&address).unwrap();
        }
        connected(&mut events, 2).await;
        for subscriber in &mut two {
            subscriber.send(b"\x01a");
        }
        until(|| publisher.subscribers() == 2).await;
        // Once more of the same peer.
        two[0].send(b"\x01a");
        two[0].send("between");
        let mut told = Vec::new();
        loop {
            let message = within(publisher.recv()).await;
            if message.to_text() == Some("between") {
                break;
            }
            told.push(message);
        }
        for subscriber in &mut two {
            subscriber.send(b"\x00a");
        }
        two[1].send("end");
        until(|| publisher.subscribers() == 0).await;
        loop {
            let message = within(publisher.recv()).await;
            if message.to_text() == Some("end") {
                break;
            }
            told.push(message);
        }
        assert!(told.iter().map(|message| &message[0][..]).eq(expected.iter().copied()), "{kind}: {told:?}");
    }
}

#[tokio::test]
async fn of_a_peer_that_is_turned_out_each_subscription_is_told_with_its_end() {
    let places = Places::new();
    let mut publisher = XPubSocket::new(&places.transports, config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut peer = joined(&address, "SUB", b"").await;
    let too_many: Vec<u8> =
        (0..10_001u32).flat_map(|number| message(&[&[&[1], &number.to_be_bytes()[..]].concat()])).collect();
    let _reset = within(peer.write_all(&too_many)).await;
    for kind in [1, 0] {
        let mut told = HashSet::new();
        for _ in 0..10_000 {
            let message = within(publisher.recv()).await;
            assert_eq!(message[0][0], kind, "{}", told.len());
            told.insert(message);
        }
        assert_eq!(told.len(), 10_000);
    }
}

#[tokio::test]
async fn the_application_decides_which_subscription_counts() {
    let places = Places::new();
    let mut publisher = XPubSocket::new(&places.transports, config()).manual();
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("");
    subscriber.connect(publisher.bind("inproc://manual").await.unwrap()).unwrap();
    let (request, peer) = within(publisher.recv_from()).await;
    assert_eq!(request[0], b"\x01"[..]);
    assert_eq!(publisher.subscribers(), 0);
    assert!(publisher.subscribe(&peer, "public"));
    assert!(publisher.send_to_peer(&peer, "public last value").unwrap());
    for text in ["secret", "public 1"] {
        publisher.send(text).await.unwrap();
    }
    for text in ["public last value", "public 1"] {
        assert_eq!(within(subscriber.recv()).await.to_text(), Some(text));
    }
    assert!(publisher.unsubscribe(&peer, "public") && !publisher.unsubscribe(&peer, "public"));
    assert_eq!(publisher.subscribers(), 0);
    // What it asked for ends with it, whatever it was subscribed to.
    publisher.subscribe(&peer, "other");
    subscriber.subscribe("taken back");
    subscriber.unsubscribe("taken back");
    subscriber.subscribe("ignored");
    for request in [&b"\x01taken back"[..], b"\x00taken back", b"\x01ignored"] {
        assert_eq!(within(publisher.recv()).await[0], request);
    }
    subscriber.close().await;
    let mut ends = [within(publisher.recv()).await, within(publisher.recv()).await];
    ends.sort_by(|a, b| a[0].cmp(&b[0]));
    assert_eq!((&ends[0][0][..], &ends[1][0][..]), (&b"\x00"[..], &b"\x00ignored"[..]));
    assert!(publisher.try_recv().is_none() && publisher.subscribers() == 0);
    assert!(!publisher.subscribe(&peer, "too late"));
}

#[tokio::test]
async fn requests_that_the_application_decides_on_are_capped_as_subscriptions_are() {
    let places = Places::new();
    let mut publisher = XPubSocket::new(&places.transports, config()).manual();
    let mut events = publisher.events();
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let many = (0..10_001u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>();
    let large = (0..40u8).map(|number| vec![number; 30_000]).collect();
    for topics in [many, large] {
        let mut peer = joined(&address, "SUB", b"").await;
        let flood: Vec<u8> =
            topics.iter().flat_map(|topic| message(&[&[&[1], &topic[..]].concat()])).collect();
        let flooding = async {
            let _reset = peer.write_all(&flood).await;
        };
        let turned_out = event(&mut events, |event| match event {
            SocketEvent::Disconnected { reason, .. } => Some(reason),
            _ => None,
        });
        let receiving = async {
            loop {
                publisher.recv().await;
            }
        };
        tokio::select! {
            ((), reason) = async { tokio::join!(flooding, turned_out) } => {
                assert!(matches!(reason, Disconnected::Rejected(Rejection::TooManySubscriptions)), "{reason}");
            }
            () = receiving => {}
        }
    }
}

#[tokio::test]
async fn a_welcome_comes_first_to_who_has_subscribed_to_it() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config()).with_welcome("welcome to vienna");
    let address = publisher.bind("inproc://welcome").await.unwrap();
    let mut both = ["w", "x"].map(|topic| {
        let mut subscriber = SubSocket::new(&places.transports, config());
        subscriber.subscribe(topic);
        subscriber.subscribe("end");
        subscriber.connect(&address).unwrap();
        subscriber
    });
    until(|| publisher.subscribers() == 2).await;
    within(publisher.subscribed("end")).await;
    assert_eq!(within(both[0].recv()).await.to_text(), Some("welcome to vienna"));
    // Its topics may still be on their way.
    let end = async {
        loop {
            publisher.send("end").await.unwrap();
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(10), both[1].recv()).await {
                return message;
            }
        }
    };
    assert_eq!(within(end).await.to_text(), Some("end"));
}

#[tokio::test]
async fn matching_can_be_inverted_on_both_sides() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config()).with_inverted(true);
    let mut subscriber = SubSocket::new(&places.transports, config()).with_inverted(true);
    subscriber.subscribe("noise");
    subscriber.subscribe("noise.loud");
    subscriber.connect(publisher.bind("inproc://inverted").await.unwrap()).unwrap();
    within(publisher.subscribed("noise.loud")).await;
    for text in ["noise", "noise.loud.1", "news"] {
        publisher.send(text).await.unwrap();
    }
    assert_eq!(within(subscriber.recv()).await.to_text(), Some("news"));
}

#[tokio::test]
async fn only_the_first_part_of_a_message_is_a_subscription() {
    let places = Places::new();
    let mut publisher = XPubSocket::new(&places.transports, config());
    let mut subscriber = XSubSocket::new(&places.transports, config());
    let mut events = subscriber.events();
    subscriber.connect(publisher.bind("inproc://parts").await.unwrap()).unwrap();
    connected(&mut events, 1).await;
    let report: Message = [&b"report"[..], b"\x01binary"].into_iter().collect();
    subscriber.send(&report);
    assert_eq!(within(publisher.recv()).await, report);
    assert_eq!(publisher.subscribers(), 0);
}
