//! PUSH and PULL.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, connected, event, within};
use futures_util::{SinkExt as _, StreamExt as _};
use transport_core::Message;
use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
use transport_zmq::{HighWaterMark, PullSocket, PushSocket, Security, SocketEvent};

#[tokio::test]
async fn messages_arrive_in_order_whichever_side_binds_and_over_every_transport() {
    for push_binds in [true, false] {
        let places = Places::new();
        for place in places.all() {
            let mut push = PushSocket::new(&places.transports, config());
            let mut pull = PullSocket::new(&places.transports, config());
            if push_binds {
                let address = push.bind(&place).await.unwrap();
                pull.connect(&address).unwrap();
            } else {
                let address = pull.bind(&place).await.unwrap();
                push.connect(&address).unwrap();
            }
            let sending = async {
                for number in 0..20_000u32 {
                    push.send(&number.to_be_bytes()).await.unwrap();
                }
            };
            let receiving = async {
                for number in 0..20_000u32 {
                    assert_eq!(pull.recv().await[0], number.to_be_bytes()[..], "{place}");
                }
            };
            within(async { tokio::join!(sending, receiving) }).await;
            within(async { tokio::join!(push.close(), pull.close()) }).await;
        }
    }
}

#[tokio::test]
async fn work_is_spread_in_turns_and_taken_in_turns() {
    let places = Places::new();
    let mut push = PushSocket::new(&places.transports, config());
    let mut events = push.events();
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        let worker = PullSocket::new(&places.transports, config());
        let address = worker.bind(&*format!("inproc://{name}")).await.unwrap();
        push.connect(&address).unwrap();
        workers.push(worker);
    }
    connected(&mut events, 3).await;
    for number in 0..30u8 {
        push.send(&[number]).await.unwrap();
    }
    for (i, worker) in workers.iter_mut().enumerate() {
        let got: Vec<u8> = within(worker.take(10).map(|message| message[0][0]).collect()).await;
        let first = got[0];
        assert!(
            got.iter().eq((0..10).map(|turn| first + 3 * turn).collect::<Vec<_>>().iter()),
            "{i}: {got:?}"
        );
    }

    let mut gathering = PullSocket::new(&places.transports, config());
    let address = gathering.bind("inproc://gathering").await.unwrap();
    let mut pushers = Vec::new();
    for number in 0..3u8 {
        let mut pusher = PushSocket::new(&places.transports, config());
        pusher.connect(&address).unwrap();
        for _ in 0..100 {
            pusher.send(&[number]).await.unwrap();
        }
        pushers.push(pusher);
    }
    let mut counts = [0; 3];
    let mut behind = 0;
    // Once all have something waiting, nobody gets ahead.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..300 {
        let (message, peer) = within(gathering.recv_from()).await;
        assert_eq!(peer.identity().to_string(), "process");
        counts[usize::from(message[0][0])] += 1;
        behind = behind.max(counts.iter().max().unwrap() - counts.iter().min().unwrap());
    }
    assert_eq!(counts, [100; 3]);
    assert!(behind <= 1, "{behind}");
}

#[tokio::test]
async fn messages_are_lent_in_order_with_their_sender_whatever_their_size() {
    let places = Places::new();
    for place in places.all() {
        let mut push = PushSocket::new(&places.transports, config());
        let mut pull = PullSocket::new(&places.transports, config());
        push.connect(pull.bind(&place).await.unwrap()).unwrap();
        let sent: Vec<Message> = (0..3000u32)
            .map(|number| match number % 100 {
                0 => vec![7; 300_000].into(),
                1 => [number.to_be_bytes().to_vec(), vec![], vec![8; 20_000]].into_iter().collect(),
                _ => number.to_be_bytes().to_vec().into(),
            })
            .collect();
        let receiving = async {
            let mut received = Vec::new();
            while received.len() < sent.len() {
                // Between other ways to receive.
                let (first, sender) = pull.recv_from().await;
                received.push(first);
                let before = received.len();
                if before < sent.len() {
                    let count = pull
                        .recv_each(|message, peer| {
                            assert_eq!(*peer, sender);
                            received.push(message.to_message());
                        })
                        .await;
                    assert_eq!(received.len(), before + count);
                }
            }
            received
        };
        let (sending, received) = within(async { tokio::join!(push.send_many(&sent), receiving) }).await;
        sending.unwrap();
        assert!(received == sent, "in order and with all their parts, over {place}");
    }
}

#[tokio::test]
async fn peers_take_turns_by_batches_when_messages_are_lent() {
    let places = Places::new();
    let mut pull = PullSocket::new(&places.transports, config());
    let address = pull.bind("inproc://turns").await.unwrap();
    let mut events = pull.events();
    let mut pushes = Vec::new();
    for _ in 0..3 {
        let push = PushSocket::new(&places.transports, config());
        push.connect(&address).unwrap();
        pushes.push(push);
    }
    connected(&mut events, 3).await;
    for push in &mut pushes {
        // Far more than one batch.
        push.send_many(&vec![Message::from(vec![0; 64]); 900]).await.unwrap();
    }
    let mut turns = Vec::new();
    let mut left = 3 * 900;
    while left > 0 {
        let mut sender = None;
        left -= within(pull.recv_each(|_, peer| sender = Some(peer.clone()))).await;
        turns.push(sender.unwrap());
    }
    let first_three = &turns[..3];
    assert!(first_three.iter().all(|peer| first_three.iter().filter(|other| *other == peer).count() == 1));
}

#[tokio::test]
async fn a_full_puller_makes_the_pusher_wait_and_nothing_is_lost() {
    let places = Places::new();
    for place in places.all() {
        let mark = HighWaterMark::new(10, 1 << 20);
        let mut push = PushSocket::new(&places.transports, config().with_send_mark(mark));
        let mut pull = PullSocket::new(&places.transports, config().with_receive_mark(mark));
        let address = pull.bind(&place).await.unwrap();
        push.connect(&address).unwrap();
        let body = vec![7; 1 << 10];
        let mut sent = 0u32;
        let filling = async {
            loop {
                push.send(&[&sent.to_be_bytes()[..], &body].concat()).await.unwrap();
                sent += 1;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_millis(300), filling).await.is_err(),
            "it waits in the end"
        );
        assert!(sent >= 20, "{sent}");
        // The kernel's buffers of tcp hold some megabytes.
        assert!(sent < 20_000, "{sent}");
        for number in 0..sent {
            assert_eq!(within(pull.recv()).await[0][..4], number.to_be_bytes());
        }
        within(async { tokio::join!(push.close(), pull.close()) }).await;
    }
}

#[tokio::test]
async fn a_mark_by_bytes_holds_too() {
    let places = Places::new();
    let mark = HighWaterMark::new(1_000_000, 64 << 10);
    let mut push = PushSocket::new(&places.transports, config().with_send_mark(mark));
    let pull = PullSocket::new(&places.transports, config().with_receive_mark(mark));
    let address = pull.bind("inproc://bytes").await.unwrap();
    push.connect(&address).unwrap();
    let mut sent = 0;
    let filling = async {
        loop {
            push.send(&[0; 1000]).await.unwrap();
            sent += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(200), filling).await.is_err());
    // Queue, what is on its way, the stream's buffer and the receiver's mark, with one read more.
    assert!((64..1500).contains(&sent), "{sent}");
}

#[tokio::test]
async fn messages_wait_for_an_endpoint_that_is_not_there_yet_unless_immediate() {
    let places = Places::new();
    for place in ["inproc://late".to_owned(), places.ipc("late")] {
        let mut push = PushSocket::new(&places.transports, config());
        push.connect(&place).unwrap();
        for number in 0..100u8 {
            within(push.send(&[number])).await.unwrap();
        }
        let mut pull = PullSocket::new(&places.transports, config());
        pull.bind(&place).await.unwrap();
        for number in 0..100u8 {
            assert_eq!(within(pull.recv()).await[0], [number][..]);
        }
    }
    let mut push = PushSocket::new(&places.transports, config().with_immediate(true));
    push.connect("inproc://never").unwrap();
    assert!(!push.try_send("x").unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(100), push.send("x")).await.is_err());
}

#[tokio::test]
async fn nothing_goes_to_an_endpoint_any_more_that_was_disconnected_from() {
    let places = Places::new();
    let mut push = PushSocket::new(&places.transports, config());
    let mut pulls = [(); 2].map(|()| PullSocket::new(&places.transports, config()));
    let first = pulls[0].bind("tcp://127.0.0.1:0").await.unwrap();
    let second = pulls[1].bind("tcp://127.0.0.1:0").await.unwrap();
    let mut events = push.events();
    push.connect(&first).unwrap();
    push.connect(&second).unwrap();
    connected(&mut events, 2).await;
    push.disconnect(&first).unwrap();
    for number in 0..10u8 {
        push.send(&[number]).await.unwrap();
        assert_eq!(within(pulls[1].recv()).await[0], [number][..]);
    }
    assert!(pulls[0].try_recv().is_none());
    assert!(push.disconnect(&first).is_err());
}

#[tokio::test]
async fn what_was_not_sent_goes_out_after_the_peer_comes_back() {
    let places = Places::new();
    let mut push = PushSocket::new(&places.transports, config());
    let mut events = push.events();
    let mut pull = PullSocket::new(&places.transports, config());
    let address = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    push.connect(&address).unwrap();
    push.send("first").await.unwrap();
    assert_eq!(within(pull.recv()).await.to_text(), Some("first"));
    within(pull.close()).await;
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    for number in 0..50u8 {
        push.send(&[number]).await.unwrap();
    }
    let mut pull = PullSocket::new(&places.transports, config());
    pull.bind(&address).await.unwrap();
    for number in 0..50u8 {
        assert_eq!(within(pull.recv()).await[0], [number][..]);
    }
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_dropping_does_too() {
    for drops in [false, true] {
        let places = Places::new();
        for place in places.all() {
            let mut push = PushSocket::new(&places.transports, config());
            let mut pull = PullSocket::new(&places.transports, config());
            let address = pull.bind(&place).await.unwrap();
            push.connect(&address).unwrap();
            let message = Message::from(vec![1; 10_000]);
            for _ in 0..300 {
                push.send(&message).await.unwrap();
            }
            let closing = async {
                if drops {
                    drop(push);
                } else {
                    push.close().await;
                }
            };
            let receiving = async {
                for _ in 0..300 {
                    assert_eq!(pull.recv().await, message);
                }
            };
            within(async { tokio::join!(closing, receiving) }).await;
        }
    }
}

#[tokio::test]
async fn without_linger_closing_does_not_wait() {
    let places = Places::new();
    let mut push = PushSocket::new(&places.transports, config().with_linger(Duration::ZERO));
    push.connect("inproc://nobody").unwrap();
    push.send("lost").await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), push.close()).await.unwrap();

    let mut push = PushSocket::new(&places.transports, config().with_linger(Duration::from_millis(200)));
    push.connect("inproc://nobody").unwrap();
    push.send("lost").await.unwrap();
    let start = std::time::Instant::now();
    within(push.close()).await;
    assert!((150..2000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_pusher_does_not_mind_messages_from_its_peer_and_several_endpoints_work_at_once() {
    let places = Places::new();
    let mut pull = PullSocket::new(&places.transports, config());
    let mut pushers = Vec::new();
    for place in places.all() {
        let address = pull.bind(&place).await.unwrap();
        let mut push = PushSocket::new(&places.transports, config());
        push.connect(&address).unwrap();
        push.send(&*place).await.unwrap();
        pushers.push(push);
    }
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(within(pull.recv()).await.to_text().unwrap().to_owned());
    }
    texts.sort();
    let mut expected = places.all();
    expected.sort();
    assert_eq!(texts, expected);
    assert_eq!(pull.peers().len(), 3);
}

#[tokio::test]
async fn a_pusher_is_a_sink_that_waits_for_room_and_closes_the_socket() {
    let places = Places::new();
    let mark = HighWaterMark::new(10, 1 << 20);
    let mut pull = PullSocket::new(&places.transports, config().with_receive_mark(mark));
    let push = PushSocket::new(&places.transports, config().with_send_mark(mark));
    push.connect(pull.bind("tcp://127.0.0.1:0").await.unwrap()).unwrap();
    let numbers = (0..5000u32).map(|number| Ok(Message::from(number.to_be_bytes().to_vec())));
    let sending = futures_util::stream::iter(numbers).forward(push);
    let receiving = async {
        for number in 0..5000u32 {
            assert_eq!(pull.recv().await[0], number.to_be_bytes()[..]);
        }
    };
    let (sent, ()) = within(async { tokio::join!(sending, receiving) }).await;
    sent.unwrap();
    within(async {
        while !pull.peers().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_sink_without_peers_takes_one_message_and_sends_it_when_there_is_one() {
    let places = Places::new();
    let mut push = PushSocket::new(&places.transports, config());
    let address = push.bind("inproc://sink").await.unwrap();
    within(push.feed(Message::from("first"))).await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(50), push.feed(Message::from("second")));
    assert!(second.await.is_err());
    let mut pull = PullSocket::new(&places.transports, config());
    pull.connect(&address).unwrap();
    within(futures_util::SinkExt::send(&mut push, Message::from("third"))).await.unwrap();
    for text in ["first", "third"] {
        assert_eq!(within(pull.recv()).await.to_text(), Some(text));
    }
}

#[tokio::test]
async fn only_the_newest_message_is_kept_when_conflating() {
    let places = Places::new();
    let mut push = PushSocket::new(&places.transports, config());
    let mut pull = PullSocket::new(&places.transports, config().with_conflate(true));
    let address = pull.bind("inproc://newest").await.unwrap();
    push.connect(&address).unwrap();
    for number in 0..1000u32 {
        push.send(&number.to_be_bytes()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(within(pull.recv()).await[0], 999u32.to_be_bytes()[..]);
    assert!(pull.try_recv().is_none());
}

#[tokio::test]
async fn a_sealed_message_of_several_parts_waits_for_nothing_that_follows() {
    let places = Places::new();
    let (server, client) = (CurveSecretKey::generate(), CurveSecretKey::generate());
    let (server_key, client_key) = (server.public_key(), client.public_key());
    let here = Security::new(client_key.policy()).with_mechanism(CurveServer::new(server));
    let there = Security::new(server_key.policy()).with_mechanism(CurveClient::new(client, server_key));
    let mut pull = PullSocket::new(&places.transports, config());
    let mut push = PushSocket::new(&places.transports, config());
    push.connect_with(pull.bind_with("inproc://sealed", here).await.unwrap(), there).unwrap();
    for count in 1..5u8 {
        let message: Message = (0..count).map(|part| vec![part; 10]).collect();
        push.send(&message).await.unwrap();
        assert_eq!(within(pull.recv()).await, message);
    }
}
