//! Sockets that keep only the newest message.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, event, within};
use transport_core::Message;
use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
use transport_zmq::{
    DealerSocket, HighWaterMark, PubSocket, PullSocket, PushSocket, RouterSocket, Security, SocketConfig,
    SocketEvent, SubSocket,
};

const SENT: u32 = 3000;

/// Few messages fit on the way to a receiver, so that most wait for it.
fn narrow() -> SocketConfig {
    config().with_receive_mark(HighWaterMark::new(2, 1 << 20))
}

fn message(number: u32) -> Message {
    [number.to_be_bytes().to_vec(), vec![1; 10_000]].into_iter().collect()
}

/// Checks a message and tells whether it was the last one that was sent.
fn is_last(message: &Message, before: &mut Option<u32>) -> bool {
    let number = u32::from_be_bytes(message[0][..].try_into().unwrap());
    assert!(before.is_none_or(|before| before < number) && message[1].len() == 10_000);
    *before = Some(number);
    number == SENT - 1
}

#[tokio::test]
async fn a_pusher_never_waits_and_the_newest_message_arrives() {
    let places = Places::new();
    for place in places.all() {
        let mut push = PushSocket::new(&places.transports, config().with_conflate(true));
        let mut pull = PullSocket::new(&places.transports, narrow());
        push.connect(pull.bind(&place).await.unwrap()).unwrap();
        push.send(&message(0)).await.unwrap();
        assert_eq!(within(pull.recv()).await, message(0));
        for number in 1..SENT {
            assert!(push.try_send(&message(number)).unwrap());
            tokio::task::yield_now().await;
        }
        let (mut before, mut received) = (None, 1);
        while !is_last(&within(pull.recv()).await, &mut before) {
            received += 1;
        }
        assert!(received < SENT / 2, "{received}");
        assert!(pull.try_recv().is_none());
    }
}

#[tokio::test]
async fn a_publisher_keeps_the_newest_message_for_a_slow_subscriber() {
    let places = Places::new();
    for place in places.all() {
        let mut publisher = PubSocket::new(&places.transports, config().with_conflate(true));
        let mut subscriber = SubSocket::new(&places.transports, narrow());
        subscriber.subscribe("");
        subscriber.connect(publisher.bind(&place).await.unwrap()).unwrap();
        within(publisher.subscribed("")).await;
        for number in 0..SENT {
            publisher.send(&message(number)).await.unwrap();
        }
        let mut before = None;
        while !is_last(&within(subscriber.recv()).await, &mut before) {}
        assert_eq!(publisher.dropped(), 0);
    }
}

#[tokio::test]
async fn a_dealer_keeps_the_newest_message_while_nobody_is_there_and_when_its_peer_went() {
    let places = Places::new();
    let mut dealer = DealerSocket::new(&places.transports, config().with_conflate(true));
    let mut events = dealer.events();
    dealer.connect("inproc://newest").unwrap();
    for turn in [0..SENT / 2, SENT / 2..SENT] {
        for number in turn.clone() {
            dealer.send(&message(number)).await.unwrap();
        }
        let mut router = RouterSocket::new(&places.transports, config());
        router.bind("inproc://newest").await.unwrap();
        assert_eq!(within(router.recv()).await.0, message(turn.end - 1));
        assert!(tokio::time::timeout(Duration::from_millis(20), router.recv()).await.is_err());
        within(router.close()).await;
        event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    }
}

#[tokio::test]
async fn requests_are_not_conflated() {
    let places = Places::new();
    let mut router = RouterSocket::new(&places.transports, config().with_conflate(true));
    let mut dealer = DealerSocket::new(&places.transports, config());
    dealer.connect(router.bind("inproc://requests").await.unwrap()).unwrap();
    for number in 0..100 {
        dealer.send(&message(number)).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(within(router.recv()).await.0, message(number));
    }
}

#[tokio::test]
async fn sealed_messages_give_way_too() {
    let places = Places::new();
    let (server, client) = (CurveSecretKey::generate(), CurveSecretKey::generate());
    let (server_key, client_key) = (server.public_key(), client.public_key());
    let here = Security::new(client_key.policy()).with_mechanism(CurveServer::new(server));
    let there = Security::new(server_key.policy()).with_mechanism(CurveClient::new(client, server_key));
    let mut push = PushSocket::new(&places.transports, config().with_conflate(true));
    let mut pull = PullSocket::new(&places.transports, narrow());
    let address = pull.bind_with("inproc://sealed", here).await.unwrap();
    push.connect_with(&address, there).unwrap();
    push.send(&message(0)).await.unwrap();
    assert_eq!(within(pull.recv()).await, message(0));
    for number in 1..SENT {
        push.send(&message(number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut before = None;
    while !is_last(&within(pull.recv()).await, &mut before) {}
}
