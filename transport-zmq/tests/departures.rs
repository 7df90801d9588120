//! What is left of a peer that has gone: nothing that counts.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, connected, curve, event, raw, within};
use transport_core::framing::Role;
use transport_core::mem::MemTransport;
use transport_core::test_util::{Direction, FaultPlan, FaultyTransport, virtual_time};
use transport_core::{Limits, Message, Policy, Transports};
use transport_zmq::{
    DealerSocket, HighWaterMark, PubSocket, PullSocket, PushSocket, Security, SocketConfig, SocketEvent,
    SocketEvents, SubSocket,
};

/// Events keep the peers that they tell of, and an application may do so too: that must not keep a connection open.
#[tokio::test]
async fn a_peer_that_was_turned_out_sees_the_end_although_the_application_keeps_it() {
    let places = Places::new();
    let publisher = PubSocket::new(&places.transports, config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut flooding = raw::joined(&address, "SUB", b"").await;
    let flood: Vec<u8> =
        (0..40).flat_map(|number| raw::message(&[&[&[1][..], &[number; 30_000]].concat()])).collect();
    let _reset = tokio::io::AsyncWriteExt::write_all(&mut flooding, &flood).await;
    let mut events = publisher.events();
    let kept = event(&mut events, |event| match event {
        SocketEvent::Disconnected { peer, .. } => Some(peer),
        _ => None,
    });
    let kept = kept.await;
    within(raw::read_to_end(&mut flooding)).await;
    assert_eq!(kept.identity().to_string(), "anonymous");
}

/// What waits to be received has a bound over all peers, of those that have gone too.
#[tokio::test]
async fn a_peer_that_comes_and_goes_again_and_again_leaves_no_more_behind_than_the_budget() {
    const BUDGET: usize = 1 << 20;
    let places = Places::new();
    for empty in [false, true] {
        let config = config().with_limits(Limits::default().with_unread_per_listener(BUDGET));
        let mut pull = PullSocket::new(&places.transports, config);
        let address = pull.bind("tcp://127.0.0.1:0").await.unwrap();
        let (count, message) = if empty { (1000, vec![]) } else { (100, vec![7; 5000]) };
        let messages = raw::message(&[&message]).repeat(count);
        for _visit in 0..60 {
            let mut peer = raw::joined(&address, "PUSH", b"").await;
            tokio::io::AsyncWriteExt::write_all(&mut peer, &messages).await.unwrap();
        }
        // Whoever can be read has been read by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut waiting = 0;
        // No other task runs meanwhile.
        while let Some(message) = pull.try_recv() {
            waiting += 64 + message.byte_count();
        }
        assert!((BUDGET / 2..2 * BUDGET).contains(&waiting), "{waiting} bytes wait");
        // As soon as there is room the others are read, and none of their messages is lost.
        let mut received = waiting / (64 + message.len());
        while received < 60 * count {
            within(pull.recv()).await;
            received += 1;
        }
    }
}

#[test]
fn an_endpoint_that_is_disconnected_from_at_any_moment_has_no_connection_afterwards() {
    virtual_time(1, async |_| {
        let transports = Transports::new().with(MemTransport::new());
        for moment in 0..40 {
            for _again in 0..5 {
                let pull = PullSocket::new(&transports, config());
                let push = PushSocket::new(&transports, config());
                pull.bind("inproc://moments").await.unwrap();
                push.connect("inproc://moments").unwrap();
                for _ in 0..moment {
                    tokio::task::yield_now().await;
                }
                push.disconnect("inproc://moments").unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
                assert!(push.peers().is_empty() && pull.peers().is_empty(), "after {moment} turns");
                pull.close().await;
            }
        }
    });
}

/// Messages that wait for an endpoint go out on its first connection; wherever that breaks, those of which the stream has
/// taken no byte go out on the next one, sealed anew if they were sealed.
#[test]
fn what_waits_for_an_endpoint_is_kept_wherever_its_connection_breaks() {
    let null = || [(); 2].map(|()| config());
    // READY of a PUSH has more than 20 bytes, and its INITIATE more than 270.
    breaks_while_sending(null, 84, 12, (100..1600).step_by(7));
    breaks_while_sending(curve, 64 + 202 + 270, 45, (600..5000).step_by(29));
}

/// The client's stream breaks after each of these numbers of bytes: its handshake has `handshake` at least, and each message `length`.
fn breaks_while_sending(
    configs: impl Fn() -> [SocketConfig; 2],
    handshake: u64,
    length: u64,
    breaks: impl Iterator<Item = u64>,
) {
    for breaks in breaks {
        let [binding, connecting] = configs();
        virtual_time(1, async |_| {
            let faulty = FaultyTransport::new(MemTransport::new());
            faulty.control().plan(move |role, number| match (role, number) {
                (Role::Client, 0) => FaultPlan::new().outgoing(Direction::new().reset_after(breaks)),
                _ => FaultPlan::new(),
            });
            let transports = Transports::new().with(faulty);
            let mut push = PushSocket::new(&transports, connecting);
            let mut pull = PullSocket::new(&transports, binding);
            push.connect("inproc://breaks").unwrap();
            for number in 0..100u32 {
                push.send(format!("{number:010}").as_bytes()).await.unwrap();
            }
            pull.bind("inproc://breaks").await.unwrap();
            let mut received = Vec::new();
            while let Ok(message) = tokio::time::timeout(Duration::from_secs(20), pull.recv()).await {
                received.push(message.to_text().unwrap().parse::<u64>().unwrap());
            }
            assert!(received.is_sorted_by(|a, b| a < b), "each once and in order: {received:?}");
            let missing = 100 - received.len() as u64;
            assert!(
                missing <= breaks.saturating_sub(handshake) / length + 1,
                "{missing} after {breaks} bytes"
            );
            let before = received.iter().zip(0..).take_while(|(number, i)| **number == *i).count();
            let after = 100 - (received.len() - before) as u64;
            assert!(received[before..].iter().copied().eq(after..100), "{received:?}");
        });
    }
}

/// Both applications send, so that neither receives and each one's messages wait for the other's: when one closes, what it has
/// sent is delivered all the same.
#[test]
fn a_socket_that_closes_while_both_sides_only_send_delivers_what_it_has_sent() {
    virtual_time(1, async |_| {
        let transports = Transports::new().with(MemTransport::new());
        let config = config().with_linger(Duration::from_secs(30));
        let mut stays = DealerSocket::new(&transports, config.clone());
        let mut closes = DealerSocket::new(&transports, config);
        stays.bind("inproc://busy").await.unwrap();
        closes.connect("inproc://busy").unwrap();
        let message = Message::from(vec![7; 10_000]);
        let mut sent = 0;
        let pause = Duration::from_secs(1);
        // To the last place in any queue.
        while tokio::time::timeout(pause, closes.send(&message)).await.is_ok() {
            sent += 1;
        }
        while tokio::time::timeout(pause, stays.send(&message)).await.is_ok() {}
        let since = tokio::time::Instant::now();
        let (_, received) = tokio::join!(closes.close(), async {
            stays.send(&message).await.unwrap();
            let mut received = 0;
            while tokio::time::timeout(pause, stays.recv()).await.is_ok() {
                received += 1;
            }
            received
        });
        assert_eq!(received, sent);
        assert!(since.elapsed() < Duration::from_secs(10), "it took {:?}", since.elapsed());
    });
}

/// What was taken for sending and is not sent is told of, however that comes about.
#[tokio::test]
async fn messages_that_go_to_nobody_are_counted_in_an_event() {
    let places = Places::new();
    let soon = config().with_linger(Duration::from_millis(50));
    let unsent = async |events: &mut SocketEvents| {
        event(events, |event| match event {
            SocketEvent::Unsent { messages, .. } => Some(messages),
            _ => None,
        })
        .await
    };

    // The endpoint is not connected to any more.
    let mut push = PushSocket::new(&places.transports, config());
    let mut events = push.events();
    push.connect("inproc://nobody").unwrap();
    for _ in 0..3 {
        push.send("kept").await.unwrap();
    }
    push.disconnect("inproc://nobody").unwrap();
    assert_eq!(unsent(&mut events).await, 3);

    // Its error does not mend itself: who is there is not who should be.
    let pull = PullSocket::new(&places.transports, config());
    let address = pull.bind(places.ipc("stranger")).await.unwrap();
    for _ in 0..2 {
        push.connect_with(&address, Security::new(Policy::uid(4242))).unwrap();
        push.send("kept").await.unwrap();
        assert_eq!(unsent(&mut events).await, 1);
    }

    // The socket closes, and nobody comes while it lingers.
    let mut push = PushSocket::new(&places.transports, soon.clone());
    let mut events = push.events();
    push.connect("inproc://nobody").unwrap();
    push.send("kept").await.unwrap();
    push.close().await;
    assert_eq!(unsent(&mut events).await, 1);

    // A peer that came by itself reads nothing and goes.
    let mut push = PushSocket::new(&places.transports, soon);
    let mut events = push.events();
    let address = push.bind("tcp://127.0.0.1:0").await.unwrap();
    let deaf = raw::joined(&address, "PULL", b"").await;
    let sent = fill(&mut push).await;
    drop(deaf);
    let unsent_of_it = unsent(&mut events).await;
    assert!((sent / 10..=sent).contains(&unsent_of_it), "{unsent_of_it} of {sent}");

    // Sealed messages are counted too.
    let [binding, connecting] = curve();
    let mut push = PushSocket::new(&places.transports, binding);
    let mut events = push.events();
    let address = push.bind("tcp://127.0.0.1:0").await.unwrap();
    let one = HighWaterMark::new(1, 1);
    let deaf = PullSocket::new(&places.transports, connecting.with_receive_mark(one));
    deaf.connect(&address).unwrap();
    let sent = fill(&mut push).await;
    drop(deaf);
    let unsent = unsent(&mut events).await;
    assert!((sent / 10..=sent).contains(&unsent), "{unsent} of {sent}");
}

/// Sends to a peer that is about to come until it takes no more; tells how many messages.
async fn fill(push: &mut PushSocket) -> usize {
    let mut sent = 0;
    while push.try_send(vec![0; 100_000].as_slice()).unwrap() || push.peers().is_empty() {
        sent += usize::from(!push.peers().is_empty());
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test]
async fn a_publisher_that_takes_no_subscriptions_is_turned_out_and_a_good_one_is_told() {
    let places = Places::new();
    let config = config().with_send_mark(HighWaterMark::new(100, 1 << 20));
    let mut subscriber = SubSocket::new(&places.transports, config.clone());
    let mut events = subscriber.events();
    let address = subscriber.bind("tcp://127.0.0.1:0").await.unwrap();
    let _deaf = raw::joined(&address, "PUB", b"").await;
    let mut good = PubSocket::new(&places.transports, config);
    good.connect(&address).unwrap();
    connected(&mut events, 2).await;
    let churning = async {
        for number in 0u64.. {
            let topic = [&number.to_be_bytes()[..], &[0; 5000]].concat();
            subscriber.subscribe(&topic);
            subscriber.unsubscribe(&topic);
            tokio::task::yield_now().await;
        }
    };
    let turned_out = event(&mut events, |event| match event {
        SocketEvent::Disconnected { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    let reason = tokio::select! {
        reason = turned_out => reason,
        () = churning => unreachable!("it goes on"),
    };
    assert_eq!(reason, "it takes no subscriptions");
    subscriber.subscribe("end");
    within(good.subscribed("end")).await;
    good.send("end").await.unwrap();
    assert_eq!(within(subscriber.recv()).await.to_text(), Some("end"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_socket_has_closed_another_can_bind_at_once() {
    let places = Places::new();
    for place in ["inproc://again".to_owned(), places.ipc("again"), "tcp://127.0.0.1:0".to_owned()] {
        let mut place = place;
        for _ in 0..20 {
            let pull = PullSocket::new(&places.transports, config());
            place = pull.bind(&*place).await.unwrap().to_string();
            let push = PushSocket::new(&places.transports, config());
            push.connect(&*place).unwrap();
            within(pull.close()).await;
            drop(push);
        }
    }
}

#[tokio::test]
async fn peers_of_different_sockets_are_never_the_same() {
    let places = Places::new();
    let sockets = ["inproc://one", "inproc://other"]
        .map(|place| (place, DealerSocket::new(&places.transports, config())));
    let mut peers = Vec::new();
    for (place, socket) in &sockets {
        let peer = DealerSocket::new(&places.transports, config());
        peer.bind(*place).await.unwrap();
        socket.connect(*place).unwrap();
        connected(&mut socket.events(), 1).await;
        peers.push((socket.peers().remove(0), peer));
    }
    assert_eq!(peers[0].0, sockets[0].1.peers()[0]);
    assert_ne!(peers[0].0, peers[1].0);
}
