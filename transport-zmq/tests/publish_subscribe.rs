//! PUB, SUB, XPUB and XSUB.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, connected, event, within};
use futures_util::{FutureExt as _, StreamExt as _};
use transport_core::Message;
use transport_zmq::{
    Disconnected, HighWaterMark, PubSocket, Rejection, SocketEvent, SubSocket, XPubSocket, XSubSocket,
};

#[tokio::test]
async fn a_subscriber_gets_what_begins_with_its_topics_over_every_transport() {
    for pub_binds in [true, false] {
        let places = Places::new();
        for place in places.all() {
            let mut publisher = PubSocket::new(&places.transports, config());
            let mut subscriber = SubSocket::new(&places.transports, config());
            subscriber.subscribe("news.a");
            subscriber.subscribe("weather");
            if pub_binds {
                subscriber.connect(publisher.bind(&place).await.unwrap()).unwrap();
            } else {
                publisher.connect(subscriber.bind(&place).await.unwrap()).unwrap();
            }
            within(publisher.subscribed("weather")).await;
            for text in ["news.b", "news.", "", "news.all", "weather in vienna", "end"] {
                let message: Message = [text, "body"].into_iter().collect();
                publisher.send(&message).await.unwrap();
            }
            subscriber.subscribe("end");
            within(publisher.subscribed("end")).await;
            publisher.send("end").await.unwrap();
            let texts: Vec<Message> = within(subscriber.by_ref().take(3).collect()).await;
            assert!(texts.iter().map(|m| m.to_text().unwrap()).eq(["news.all", "weather in vienna", "end"]));
            assert!(subscriber.try_recv().is_none());
        }
    }
}

#[tokio::test]
async fn a_subscriber_is_lent_only_what_begins_with_its_topics() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config());
    let address = publisher.bind("inproc://lent").await.unwrap();
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("a");
    subscriber.subscribe("b");
    subscriber.connect(&address).unwrap();
    within(publisher.subscribed("b")).await;
    subscriber.unsubscribe("b");
    // The publisher may not know yet: the subscriber looks too.
    for text in ["b1", "a1", "b2", "a2"] {
        publisher.send(text).await.unwrap();
    }
    let mut texts = Vec::new();
    while texts.len() < 2 {
        let before = texts.len();
        let lent = subscriber.recv_each(|message, _| texts.push(message.to_message()));
        assert_eq!(within(lent).await, texts.len() - before);
    }
    assert_eq!(texts, [Message::from("a1"), Message::from("a2")]);
}

#[tokio::test]
async fn a_topic_is_taken_back_as_often_as_it_was_subscribed_to() {
    let places = Places::new();
    let mut publisher = XPubSocket::new(&places.transports, config());
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.connect(publisher.bind("tcp://127.0.0.1:0").await.unwrap()).unwrap();
    subscriber.subscribe("a");
    subscriber.subscribe("a");
    assert_eq!(within(publisher.recv()).await[0], b"\x01a"[..]);
    assert!(subscriber.unsubscribe("a"));
    publisher.send("a1").await.unwrap();
    assert_eq!(within(subscriber.recv()).await.to_text(), Some("a1"));
    assert!(subscriber.unsubscribe("a"));
    assert!(!subscriber.unsubscribe("a"));
    assert_eq!(within(publisher.recv()).await[0], b"\x00a"[..]);
    publisher.send("a2").await.unwrap();
    subscriber.subscribe("");
    assert_eq!(within(publisher.recv()).await[0], b"\x01"[..]);
    publisher.send("").await.unwrap();
    assert_eq!(within(subscriber.recv()).await.to_text(), Some(""));
}

#[tokio::test]
async fn a_slow_subscriber_loses_messages_and_stops_nobody() {
    let places = Places::new();
    for place in places.all() {
        let mark = HighWaterMark::new(100, 1 << 20);
        let mut publisher = PubSocket::new(&places.transports, config().with_send_mark(mark));
        let mut slow = SubSocket::new(&places.transports, config().with_receive_mark(mark));
        let mut fast = SubSocket::new(&places.transports, config());
        let address = publisher.bind(&place).await.unwrap();
        for subscriber in [&mut slow, &mut fast] {
            subscriber.subscribe("");
            subscriber.connect(&address).unwrap();
        }
        let mut events = publisher.events();
        connected(&mut events, 2).await;
        within(async {
            while publisher.subscribers() < 2 {
                tokio::task::yield_now().await
            }
        })
        .await;
        let receiving =
            tokio::spawn(async move { while fast.recv().await[0] != u32::MAX.to_be_bytes()[..] {} });
        let body = vec![0; 4096];
        within(async {
            for number in 0..20_000u32 {
                publisher.send(&[&number.to_be_bytes()[..], &body].concat()).await.unwrap();
            }
            while !receiving.is_finished() {
                publisher.send(&u32::MAX.to_be_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        assert!(publisher.dropped() > 1000, "{}", publisher.dropped());
        // What the slow one gets is whole and in order.
        let mut last = None;
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(100), slow.recv()).await {
            let number = u32::from_be_bytes(message[0][..4].try_into().unwrap());
            assert!(last.is_none_or(|last| number > last || number == u32::MAX), "{number} after {last:?}");
            last = Some(number);
        }
        assert!(last.is_some());
    }
}

#[tokio::test]
async fn subscriptions_are_told_again_after_the_publisher_came_back() {
    let places = Places::new();
    let publisher = PubSocket::new(&places.transports, config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("a");
    subscriber.subscribe("b");
    subscriber.connect(&address).unwrap();
    within(publisher.subscribed("b")).await;
    within(publisher.close()).await;
    let mut publisher = PubSocket::new(&places.transports, config());
    publisher.bind(&address).await.unwrap();
    within(publisher.subscribed("b")).await;
    publisher.send("a again").await.unwrap();
    assert_eq!(within(subscriber.recv()).await.to_text(), Some("a again"));
}

#[tokio::test]
async fn an_xpub_sees_the_first_and_last_of_a_topic_or_all_and_other_messages() {
    for verbose in [false, true] {
        let places = Places::new();
        let publisher = XPubSocket::new(&places.transports, config());
        let mut publisher = if verbose { publisher.verboser() } else { publisher };
        let address = publisher.bind("inproc://xpub").await.unwrap();
        let mut subscribers = [(); 2].map(|()| XSubSocket::new(&places.transports, config()));
        for (i, subscriber) in subscribers.iter_mut().enumerate() {
            subscriber.send(b"\x01topic");
            subscriber.connect(&address).unwrap();
            if i == 0 || verbose {
                assert_eq!(within(publisher.recv()).await[0], b"\x01topic"[..]);
            }
            within(async {
                while publisher.subscribers() <= i {
                    tokio::task::yield_now().await
                }
            })
            .await;
        }
        subscribers[1].send("hello upstream");
        assert_eq!(within(publisher.recv()).await.to_text(), Some("hello upstream"));
        publisher.send("topic 1").await.unwrap();
        for subscriber in &mut subscribers {
            assert_eq!(within(subscriber.recv()).await.to_text(), Some("topic 1"));
        }
        for (i, subscriber) in subscribers.iter_mut().enumerate() {
            subscriber.send(b"\x00topic");
            if i == 1 || verbose {
                assert_eq!(within(publisher.recv()).await[0], b"\x00topic"[..]);
            }
        }
    }
}

#[tokio::test]
async fn a_flood_of_subscriptions_ends_the_connection_of_the_peer() {
    let places = Places::new();
    for flood in ["many", "large"] {
        let publisher = PubSocket::new(&places.transports, config());
        let mut events = publisher.events();
        let address = publisher.bind(&*format!("inproc://{flood}")).await.unwrap();
        let mut subscriber = SubSocket::new(&places.transports, config());
        if flood == "many" {
            (0..10_001).for_each(|number| subscriber.subscribe(number.to_string()));
        } else {
            (0..40).for_each(|number| subscriber.subscribe(vec![number; 30_000]));
        }
        subscriber.connect(&address).unwrap();
        let reason = event(&mut events, |event| match event {
            SocketEvent::Disconnected { reason, .. } => Some(reason),
            _ => None,
        });
        assert!(matches!(reason.await, Disconnected::Rejected(Rejection::TooManySubscriptions)), "{flood}");
    }
}

#[tokio::test]
async fn a_message_reaches_a_subscriber_of_several_of_its_topics_once_and_knows_its_sender() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, config());
    let mut subscriber = SubSocket::new(&places.transports, config());
    for topic in ["", "a", "ab", "abc"] {
        subscriber.subscribe(topic);
    }
    subscriber.connect(publisher.bind("inproc://once").await.unwrap()).unwrap();
    within(publisher.subscribed("abc")).await;
    publisher.send("abcd").await.unwrap();
    publisher.send("end").await.unwrap();
    let (message, peer) = within(subscriber.recv_from()).await;
    assert_eq!((message.to_text(), peer.identity().to_string()), (Some("abcd"), "process".to_owned()));
    assert_eq!(within(subscriber.recv()).await.to_text(), Some("end"));
}

#[tokio::test]
async fn a_publisher_is_a_sink_that_lets_its_connections_write() {
    let places = Places::new();
    let publisher = PubSocket::new(&places.transports, config());
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("");
    subscriber.connect(publisher.bind("tcp://127.0.0.1:0").await.unwrap()).unwrap();
    within(publisher.subscribed("")).await;
    let messages =
        (0..2000u32).map(|number| Ok(Message::from([&number.to_be_bytes()[..], &[0; 8000]].concat())));
    let sending = futures_util::stream::iter(messages).forward(publisher);
    let receiving = async {
        for number in 0..2000u32 {
            assert_eq!(subscriber.recv().await[0][..4], number.to_be_bytes());
        }
    };
    let (sent, ()) = within(async { tokio::join!(sending, receiving) }).await;
    sent.unwrap();
}

/// Whoever gives up a message and sends it again must not send it twice.
#[tokio::test]
async fn a_message_whose_sending_was_cancelled_was_not_sent() {
    let places = Places::new();
    macro_rules! check {
        ($publisher:expr, $place:literal) => {{
            let mut publisher = $publisher;
            let mut subscriber = SubSocket::new(&places.transports, config());
            subscriber.subscribe("");
            subscriber.connect(publisher.bind($place).await.unwrap()).unwrap();
            within(publisher.subscribed("")).await;
            let mut cancelled = 0;
            for number in 0..100u32 {
                let message = [&number.to_be_bytes()[..], &[0; 20_000]].concat();
                while let None = publisher.send(&message).now_or_never() {
                    cancelled += 1;
                    tokio::task::yield_now().await;
                }
            }
            assert!(cancelled > 10, "{cancelled}");
            for number in 0..100 {
                assert_eq!(within(subscriber.recv()).await[0][..4], u32::to_be_bytes(number));
            }
        }};
    }
    check!(PubSocket::new(&places.transports, config()), "inproc://pub");
    check!(XPubSocket::new(&places.transports, config()), "inproc://xpub");
}
