//! The ends of sockets that are sinks.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::{Places, config, event, within};
use futures_util::SinkExt as _;
use transport_core::Message;
use transport_zmq::{
    DealerSocket, HighWaterMark, PubSocket, PushSocket, SocketEvent, SocketEvents, SubSocket,
};

#[tokio::test]
async fn a_sink_that_is_closed_can_be_closed_again() {
    let places = Places::new();
    macro_rules! check {
        ($socket:expr) => {{
            let mut socket = $socket;
            socket.bind("inproc://closed").await.unwrap();
            for _ in 0..3 {
                within(futures_util::SinkExt::<Message>::close(&mut socket)).await.unwrap();
            }
            within(socket.close()).await;
        }};
    }
    check!(PushSocket::new(&places.transports, config()));
    check!(PubSocket::new(&places.transports, config()));
}

async fn is_told_of_one(events: &mut SocketEvents) {
    let told = event(events, |event| match event {
        SocketEvent::Unsent { endpoint, messages } => Some((endpoint, messages)),
        _ => None,
    });
    assert_eq!(told.await, (None, 1));
}

/// A sink takes a message for which there is no room yet; flushing would wait for it.
#[tokio::test]
async fn a_message_that_a_sink_has_taken_and_not_sent_is_told_of() {
    let places = Places::new();
    for closes in [true, false] {
        let mut push = PushSocket::new(&places.transports, config());
        push.bind("inproc://nobody-pulls").await.unwrap();
        let mut events = push.events();
        push.feed(Message::from("for nobody")).await.unwrap();
        if closes {
            within(push.close()).await;
        } else {
            drop(push);
        }
        is_told_of_one(&mut events).await;
    }

    let dealer = DealerSocket::new(&places.transports, config());
    let mut events = dealer.events();
    let (mut sender, _receiver) = dealer.split();
    sender.feed(Message::from("for nobody")).await.unwrap();
    drop(sender);
    is_told_of_one(&mut events).await;

    let mark = HighWaterMark::new(1, 1 << 20);
    let small = || config().with_send_mark(mark).with_receive_mark(mark);
    let mut publisher = PubSocket::new(&places.transports, small()).with_drop(false);
    let mut events = publisher.events();
    let mut subscriber = SubSocket::new(&places.transports, small());
    subscriber.subscribe("");
    subscriber.connect(publisher.bind("inproc://full").await.unwrap()).unwrap();
    within(publisher.subscribed("")).await;
    while publisher.try_send("fills").unwrap() {}
    publisher.feed(Message::from("finds no room")).await.unwrap();
    drop(publisher);
    is_told_of_one(&mut events).await;
}
