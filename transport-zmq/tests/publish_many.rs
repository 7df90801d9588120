//! Slices of messages that are published at once: to everyone what single messages would be.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::{Places, config, connected, within};
use transport_core::Message;
use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
use transport_zmq::{HighWaterMark, PubSocket, Security, SubSocket, XPubSocket};

/// A message of this topic, and its number in a part of its own.
fn message(topic: &str, number: u32) -> Message {
    [topic.as_bytes().to_vec(), number.to_be_bytes().to_vec()].into_iter().collect()
}

fn numbers_of(topic: &str, count: u32) -> Vec<Message> {
    (0..count).map(|number| message(topic, number)).collect()
}

async fn receive(subscriber: &mut SubSocket, count: usize) -> Vec<Message> {
    let mut received = Vec::new();
    while received.len() < count {
        received.push(within(subscriber.recv()).await);
    }
    received
}

async fn all_subscribed(publisher: &PubSocket, count: usize) {
    within(async {
        while publisher.subscribers() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn each_subscriber_gets_its_topics_of_a_mixed_slice_in_order() {
    let places = Places::new();
    for place in places.all() {
        let mut publisher = PubSocket::new(&places.transports, config());
        let address = publisher.bind(&place).await.unwrap();
        let wanted = [&[""][..], &["a"], &["a.b", "c"], &["nothing of it"], &["c", "c.d"]];
        let mut subscribers = Vec::new();
        for topics in wanted {
            let mut subscriber = SubSocket::new(&places.transports, config());
            topics.iter().for_each(|topic| subscriber.subscribe(topic));
            subscriber.subscribe("end");
            subscriber.connect(&address).unwrap();
            subscribers.push(subscriber);
        }
        all_subscribed(&publisher, wanted.len()).await;
        // Runs of all lengths, and messages that are shared rather than copied among them.
        let topics = ["a", "a", "a.b", "c.d", "b", "a", "c", "c", "c", "a.bc", "", "d"];
        let mut slice: Vec<Message> = (0u32..600)
            .map(|number| message(topics[number as usize % (1 + number as usize / 50)], number))
            .collect();
        slice[77] = [b"a".to_vec(), vec![7; 100_000]].into_iter().collect();
        slice.push(Message::from("end"));
        publisher.send_many(&slice).await.unwrap();
        for (topics, subscriber) in wanted.iter().zip(&mut subscribers) {
            let is_wanted = |message: &&Message| {
                topics.iter().chain(&["end"]).any(|topic| message[0].starts_with(topic.as_bytes()))
            };
            let expected: Vec<Message> = slice.iter().filter(is_wanted).cloned().collect();
            assert_eq!(receive(subscriber, expected.len()).await, expected, "{topics:?}");
            assert!(subscriber.try_recv().is_none());
        }
        assert_eq!(publisher.dropped(), 0);
    }
}

/// As many as fit from the front; what does not is counted, for the peer and for the socket, and others get all.
#[tokio::test]
async fn who_has_room_for_a_part_of_a_slice_gets_its_front() {
    let places = Places::new();
    let by_messages = HighWaterMark::new(10, 1 << 20);
    // Each message is 9 bytes on the wire.
    let by_bytes = HighWaterMark::new(1000, 85);
    for mark in [by_messages, by_bytes] {
        let mut publisher = PubSocket::new(&places.transports, config().with_send_mark(mark));
        let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut subscribers: Vec<_> = (0..2).map(|_| SubSocket::new(&places.transports, config())).collect();
        subscribers[0].subscribe("a");
        subscribers[1].subscribe("");
        for subscriber in &subscribers {
            subscriber.connect(&address).unwrap();
        }
        all_subscribed(&publisher, 2).await;
        // Nobody writes in between.
        assert_eq!(publisher.try_send_many(&numbers_of("z", 4)).unwrap(), 4);
        assert_eq!(publisher.try_send_many(&numbers_of("a", 25)).unwrap(), 25);
        let first = receive(&mut subscribers[0], 10).await;
        assert_eq!(first, numbers_of("a", 10));
        let second = receive(&mut subscribers[1], 10).await;
        assert_eq!(second, [numbers_of("z", 4), numbers_of("a", 6)].concat());
        assert_eq!(publisher.dropped(), 15 + 19);
        let mut by_peer: Vec<u64> = publisher.peers().iter().map(|peer| peer.dropped()).collect();
        by_peer.sort_unstable();
        assert_eq!(by_peer, [15, 19]);
        assert!(subscribers.iter_mut().all(|subscriber| subscriber.try_recv().is_none()));
    }
}

#[tokio::test]
async fn the_newest_of_a_slice_is_kept_when_conflating() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config().with_conflate(true));
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("");
    subscriber.connect(publisher.bind("inproc://newest").await.unwrap()).unwrap();
    within(publisher.subscribed("")).await;
    assert_eq!(publisher.try_send_many(&numbers_of("a", 30)).unwrap(), 30);
    assert_eq!(within(subscriber.recv()).await, message("a", 29));
    assert!(subscriber.try_recv().is_none());
}

#[tokio::test]
async fn a_slice_waits_for_room_where_nothing_is_dropped() {
    let places = Places::new();
    let mark = HighWaterMark::new(10, 1 << 20);
    let small = || config().with_send_mark(mark).with_receive_mark(mark);
    let mut publisher = XPubSocket::new(&places.transports, small()).with_drop(false);
    let mut subscriber = SubSocket::new(&places.transports, small());
    subscriber.subscribe("a");
    subscriber.connect(publisher.bind("tcp://127.0.0.1:0").await.unwrap()).unwrap();
    assert_eq!(within(publisher.recv()).await[0], b"\x01a"[..]);
    let slice = numbers_of("a", 5000);
    assert_eq!(publisher.try_send_many(&slice[..25]).unwrap(), 10);
    let (sent, received) = within(async {
        tokio::join!(publisher.send_many(&slice[10..]), receive(&mut subscriber, slice.len()))
    })
    .await;
    sent.unwrap();
    assert_eq!(received, slice);
    assert_eq!(publisher.dropped(), 0);
}

#[tokio::test]
async fn a_slice_is_sealed_for_those_with_curve_and_plain_for_others() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config());
    let mut events = publisher.events();
    let (server, client) = (CurveSecretKey::generate(), CurveSecretKey::generate());
    let (server_key, client_key) = (server.public_key(), client.public_key());
    let here = Security::new(client_key.policy()).with_mechanism(CurveServer::new(server));
    let there = Security::new(server_key.policy()).with_mechanism(CurveClient::new(client, server_key));
    let sealed = publisher.bind_with("tcp://127.0.0.1:0", here).await.unwrap();
    let plain = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut subscribers: Vec<_> = (0..4).map(|_| SubSocket::new(&places.transports, config())).collect();
    for (i, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.subscribe("a");
        match i % 2 {
            0 => subscriber.connect_with(&sealed, there.clone()).unwrap(),
            _ => subscriber.connect(&plain).unwrap(),
        };
    }
    connected(&mut events, 4).await;
    all_subscribed(&publisher, 4).await;
    let slice = numbers_of("a", 900);
    publisher.send_many(&slice).await.unwrap();
    for subscriber in &mut subscribers {
        assert_eq!(receive(subscriber, slice.len()).await, slice);
    }
    assert_eq!(publisher.dropped(), 0);
}

/// Subscribers come, go and change their minds between slices and while they are on their way.
#[tokio::test]
async fn slices_reach_those_who_are_there() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut stays = SubSocket::new(&places.transports, config());
    stays.subscribe("a");
    stays.connect(&address).unwrap();
    within(publisher.subscribed("a")).await;
    for round in 0..20 {
        let mut visitor = SubSocket::new(&places.transports, config());
        visitor.subscribe("a");
        visitor.connect(&address).unwrap();
        all_subscribed(&publisher, 2).await;
        publisher.send_many(&numbers_of("a", 500)).await.unwrap();
        if round % 2 == 0 {
            assert_eq!(receive(&mut visitor, 500).await, numbers_of("a", 500));
        }
        drop(visitor);
        publisher.send_many(&numbers_of("ab", 100)).await.unwrap();
        within(async {
            while publisher.subscribers() > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let expected = [numbers_of("a", 500), numbers_of("ab", 100)].concat();
        assert_eq!(receive(&mut stays, 600).await, expected);
    }
}
