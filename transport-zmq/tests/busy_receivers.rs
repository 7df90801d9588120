//! Applications that leave messages alone for a long time, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, connected, event};
use transport_core::mem::MemTransport;
use transport_core::test_util::FaultyTransport;
use transport_core::{RecvError, Transports};
use transport_zmq::{
    DealerSocket, Disconnected, HighWaterMark, PubSocket, PullSocket, PushSocket, RouterSocket, SocketConfig,
    SocketEvent, SocketEvents, SubSocket,
};

const MINUTE: Duration = Duration::from_secs(60);

fn small() -> SocketConfig {
    let mark = HighWaterMark::new(10, 1 << 20);
    config().with_send_mark(mark).with_receive_mark(mark)
}

/// Why a peer has gone, if one has.
async fn gone(events: &mut SocketEvents) -> Option<Disconnected> {
    let gone = event(events, |event| match event {
        SocketEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    tokio::time::timeout(Duration::from_millis(1), gone).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_puller_that_is_busy_for_an_hour_keeps_its_pusher_whether_that_waits_or_not() {
    let places = Places::new();
    for waits in [false, true] {
        let mut push = PushSocket::new(&places.transports, small());
        let mut pull = PullSocket::new(&places.transports, small());
        push.connect(pull.bind("inproc://busy").await.unwrap()).unwrap();
        let (mut sent, mut events) = (0u32, push.events());
        while sent < 15 || waits {
            let body = [&sent.to_be_bytes()[..], &[0; 10_000]].concat();
            if tokio::time::timeout(Duration::from_millis(10), push.send(&body)).await.is_err() {
                break;
            }
            sent += 1;
        }
        assert_eq!(sent > 20, waits, "{sent}");
        connected(&mut events, 1).await;
        tokio::time::sleep(60 * MINUTE).await;
        for number in 0..sent {
            assert_eq!(pull.recv().await[0][..4], number.to_be_bytes());
        }
        assert!(gone(&mut events).await.is_none());
        tokio::join!(push.close(), pull.close());
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_busy_misses_messages_and_stays() {
    let places = Places::new();
    let mut publisher = PubSocket::new(&places.transports, small());
    let mut subscriber = SubSocket::new(&places.transports, small());
    subscriber.subscribe("");
    subscriber.connect(publisher.bind("inproc://busy").await.unwrap()).unwrap();
    publisher.subscribed("").await;
    let mut events = publisher.events();
    for _ in 0..600 {
        publisher.send(&[0; 10_000]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(publisher.dropped() > 0);
    assert!(gone(&mut events).await.is_none());
    while subscriber.try_recv().is_some() {
        tokio::task::yield_now().await;
    }
    publisher.send("after all").await.unwrap();
    while subscriber.recv().await.to_text() != Some("after all") {}
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_from_a_router_is_cut_however_alive_it_is() {
    let places = Places::new();
    let mut router = RouterSocket::new(&places.transports, small());
    let dealer = DealerSocket::new(&places.transports, small().with_routing_id("busy").unwrap());
    let mut events = router.events();
    dealer.connect(router.bind("inproc://busy").await.unwrap()).unwrap();
    connected(&mut events, 1).await;
    let start = tokio::time::Instant::now();
    while router.send_to(b"busy", &[0; 10_000]).await.is_ok() {}
    let waited = start.elapsed();
    assert!((30..40).contains(&waited.as_secs()), "{waited:?}");
    assert!(matches!(gone(&mut events).await, Some(Disconnected::Send(_))));
}

#[tokio::test(start_paused = true)]
async fn a_puller_that_is_cut_off_from_the_network_is_not_waited_for() {
    let network = FaultyTransport::new(MemTransport::new());
    let (control, transports) = (network.control(), Transports::new().with(network));
    let mut push = PushSocket::new(&transports, small());
    let mut events = push.events();
    let mut pull = PullSocket::new(&transports, small());
    let address = pull.bind("inproc://busy").await.unwrap();
    push.connect(&address).unwrap();
    push.send("before").await.unwrap();
    pull.recv().await;
    control.partition(true);
    let start = tokio::time::Instant::now();
    // It finds room only when nobody is waited for any more: then messages wait for the next connection.
    let silent = loop {
        let _full = tokio::time::timeout(Duration::from_secs(1), push.send(&[0; 100_000])).await;
        if let Some(reason) = gone(&mut events).await {
            break reason;
        }
    };
    let waited = start.elapsed();
    assert!((60..120).contains(&waited.as_secs()), "{waited:?}");
    assert!(
        matches!(&silent, Disconnected::Receive(error) if matches!(**error, RecvError::Framing(_))),
        "{silent}"
    );
}
