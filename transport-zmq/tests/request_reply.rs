//! REQ, REP, DEALER and ROUTER.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, connected, event, within};
use transport_core::Message;
use transport_zmq::{
    DealerSocket, Disconnected, Handover, HighWaterMark, PubSocket, PullSocket, PushSocket, Rejection,
    RepSocket, ReplyError, ReqSocket, RequestError, RouteError, RouterSocket, RoutingIdRefused, SocketEvent,
    SubSocket,
};

fn message(parts: &[&'static str]) -> Message {
    parts.iter().map(|part| bytes::Bytes::from_static(part.as_bytes())).collect()
}

#[tokio::test]
async fn questions_and_answers_go_in_lock_step_over_every_transport() {
    for req_binds in [true, false] {
        let places = Places::new();
        for place in places.all() {
            let mut req = ReqSocket::new(&places.transports, config());
            let mut rep = RepSocket::new(&places.transports, config());
            if req_binds {
                rep.connect(req.bind(&place).await.unwrap()).unwrap();
            } else {
                req.connect(rep.bind(&place).await.unwrap()).unwrap();
            }
            let serving = async {
                for _ in 0..100 {
                    let question = rep.recv().await;
                    assert!(rep.asking().is_some());
                    rep.send(&question).await.unwrap();
                }
            };
            let asking = async {
                for number in 0..100u8 {
                    let question: Message = [vec![number], vec![], vec![number; 300]].into_iter().collect();
                    assert_eq!(req.request(&question).await.unwrap(), question);
                }
            };
            within(async { tokio::join!(serving, asking) }).await;
        }
    }
}

#[tokio::test]
async fn sockets_that_spin_let_others_work_and_sleep_in_the_end() {
    let places = Places::new();
    let patient = config().with_spin(Duration::from_secs(3600));
    for place in places.all() {
        // On one thread: if spinning kept the peers' tasks from working, nothing would ever come.
        let mut req = ReqSocket::new(&places.transports, patient.clone());
        let mut rep = RepSocket::new(&places.transports, patient.clone());
        req.connect(rep.bind(&place).await.unwrap()).unwrap();
        let serving = async {
            for _ in 0..10 {
                let question = rep.recv().await;
                rep.send(&question).await.unwrap();
            }
        };
        let asking = async {
            for _ in 0..10 {
                assert_eq!(req.request("ping").await.unwrap().to_text(), Some("ping"));
            }
        };
        within(async { tokio::join!(serving, asking) }).await;
    }
    let mut lazy = RepSocket::new(&places.transports, config().with_spin(Duration::from_micros(1)));
    let polls = std::cell::Cell::new(0);
    let receiving = lazy.recv();
    tokio::pin!(receiving);
    let counted = std::future::poll_fn(|cx| {
        polls.set(polls.get() + 1);
        receiving.as_mut().poll(cx)
    });
    assert!(tokio::time::timeout(Duration::from_millis(50), counted).await.is_err(), "nobody asks");
    assert!(polls.get() < 10, "it sleeps when it has looked for long enough: {} looks", polls.get());
}

#[tokio::test]
async fn out_of_turn_is_an_error() {
    let places = Places::new();
    let mut req = ReqSocket::new(&places.transports, config());
    let mut rep = RepSocket::new(&places.transports, config());
    req.connect(rep.bind("inproc://turns").await.unwrap()).unwrap();
    assert!(matches!(req.recv().await, Err(RequestError::NothingAsked)));
    assert!(matches!(rep.send("x").await, Err(ReplyError::NothingAsked)));
    req.send("one").await.unwrap();
    assert!(matches!(req.send("two").await, Err(RequestError::StillAsking)));
    assert_eq!(within(rep.recv()).await.to_text(), Some("one"));
    rep.send("1").await.unwrap();
    assert!(matches!(rep.send("again").await, Err(ReplyError::NothingAsked)));
    assert_eq!(within(req.recv()).await.unwrap().to_text(), Some("1"));
    req.send("two").await.unwrap();
}

#[tokio::test]
async fn a_relaxed_requester_drops_the_late_reply_to_an_earlier_request() {
    let places = Places::new();
    let mut req = ReqSocket::new(&places.transports, config()).relaxed();
    let mut rep = RepSocket::new(&places.transports, config());
    req.connect(rep.bind("inproc://relaxed").await.unwrap()).unwrap();
    req.send("one").await.unwrap();
    assert_eq!(within(rep.recv()).await.to_text(), Some("one"));
    req.send("two").await.unwrap();
    rep.send("1").await.unwrap();
    assert_eq!(within(rep.recv()).await.to_text(), Some("two"));
    rep.send("2").await.unwrap();
    assert_eq!(within(req.recv()).await.unwrap().to_text(), Some("2"));
}

#[tokio::test]
async fn requests_are_spread_in_turns() {
    let places = Places::new();
    let mut req = ReqSocket::new(&places.transports, config());
    let mut events = req.events();
    for name in ["a", "b"] {
        let mut rep = RepSocket::new(&places.transports, config());
        req.connect(rep.bind(&*format!("inproc://{name}")).await.unwrap()).unwrap();
        tokio::spawn(async move {
            loop {
                rep.recv().await;
                rep.send(name).await.unwrap();
            }
        });
    }
    connected(&mut events, 2).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(within(req.request("who?")).await.unwrap().to_text().unwrap().to_owned());
    }
    assert_eq!(answers[..2], answers[2..]);
    assert_ne!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_peer_that_goes_with_the_question_is_noticed() {
    let places = Places::new();
    let mut req = ReqSocket::new(&places.transports, config());
    let mut rep = RepSocket::new(&places.transports, config());
    let address = rep.bind("tcp://127.0.0.1:0").await.unwrap();
    req.connect(&address).unwrap();
    req.send("one").await.unwrap();
    within(rep.recv()).await;
    drop(rep);
    assert!(matches!(within(req.recv()).await, Err(RequestError::PeerLost)));
    req.send("two").await.unwrap();
    let mut rep = RepSocket::new(&places.transports, config());
    within(async { while rep.bind(&address).await.is_err() {} }).await;
    assert_eq!(within(rep.recv()).await.to_text(), Some("two"));
    rep.send("2").await.unwrap();
    assert_eq!(within(req.recv()).await.unwrap().to_text(), Some("2"));
}

#[tokio::test]
async fn a_reply_that_is_none_ends_the_connection_and_other_peers_are_not_listened_to() {
    let places = Places::new();
    let req = ReqSocket::new(&places.transports, config());
    let mut events = req.events();
    let mut req = req;
    let mut router = RouterSocket::new(&places.transports, config());
    req.connect(router.bind("inproc://router").await.unwrap()).unwrap();
    req.send("question").await.unwrap();
    let (asked, peer) = within(router.recv()).await;
    assert_eq!(asked, message(&["", "question"]));
    router.send_to_peer(&peer, "no envelope").await.unwrap();
    let waiting = tokio::spawn(async move { (req.recv().await, req) });
    let reason = event(&mut events, |event| match event {
        SocketEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(reason.await, Disconnected::Rejected(Rejection::MalformedReply)));
    assert!(matches!(within(waiting).await.unwrap().0, Err(RequestError::PeerLost)));
}

#[tokio::test]
async fn a_replier_drops_what_has_no_envelope_and_returns_all_of_it() {
    let places = Places::new();
    let mut rep = RepSocket::new(&places.transports, config());
    let mut dealer = DealerSocket::new(&places.transports, config());
    dealer.connect(rep.bind("inproc://envelopes").await.unwrap()).unwrap();
    dealer.send("no envelope").await.unwrap();
    dealer.send(&message(&["hop 1", "hop 2", "", "question"])).await.unwrap();
    assert_eq!(within(rep.recv()).await, message(&["question"]));
    rep.send(&message(&["answer", "more"])).await.unwrap();
    assert_eq!(within(dealer.recv()).await, message(&["hop 1", "hop 2", "", "answer", "more"]));
}

#[tokio::test]
async fn a_router_knows_its_peers_by_the_ids_that_they_bring_or_that_it_makes() {
    let places = Places::new();
    let mut router = RouterSocket::new(&places.transports, config());
    let place = router.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut named = DealerSocket::new(&places.transports, config().with_routing_id("named").unwrap());
    let mut other = DealerSocket::new(&places.transports, config());
    named.connect(&place).unwrap();
    other.connect(&place).unwrap();
    named.send("from named").await.unwrap();
    let (text, peer) = within(router.recv()).await;
    assert_eq!((text.to_text(), &peer.routing_id()[..]), (Some("from named"), &b"named"[..]));
    other.send("from other").await.unwrap();
    let routed = within(router.recv_routed()).await;
    assert_eq!((routed[0][0], routed[0].len(), &routed[1][..]), (0, 5, &b"from other"[..]));

    let answer: Message = [routed[0].clone(), "to other".into()].into_iter().collect();
    router.send_routed(answer).await.unwrap();
    assert_eq!(within(other.recv()).await.to_text(), Some("to other"));
    router.send_to(b"named", "to named").await.unwrap();
    assert_eq!(within(named.recv()).await.to_text(), Some("to named"));
    assert!(matches!(router.send_routed("named".into()).await, Err(RouteError::NoBody)));
}

#[tokio::test]
async fn a_router_says_when_a_peer_is_not_there_and_drops_only_when_told_to() {
    let places = Places::new();
    let mut router = RouterSocket::new(&places.transports, config());
    let error = router.send_to(b"nobody", "x").await.unwrap_err();
    assert_eq!(error.to_string(), "no peer has the routing id nobody");
    let mut dealer = DealerSocket::new(&places.transports, config().with_routing_id("d").unwrap());
    let address = router.bind("inproc://vanishing").await.unwrap();
    dealer.connect(&address).unwrap();
    dealer.send("here").await.unwrap();
    let (_, peer) = within(router.recv()).await;
    let mut events = router.events();
    drop(dealer);
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    assert!(matches!(router.send_to(b"d", "x").await, Err(RouteError::NoSuchPeer { .. })));
    assert!(matches!(router.send_to_peer(&peer, "x").await, Err(RouteError::Peer(_))));
    let mut router = router.with_drop(true);
    router.send_to(b"d", "x").await.unwrap();
    assert_eq!(router.dropped(), 1);
}

#[tokio::test]
async fn a_full_peer_makes_a_router_wait_or_drop() {
    let places = Places::new();
    let mark = HighWaterMark::new(10, 64 << 10);
    for drops in [false, true] {
        let router = RouterSocket::new(&places.transports, config().with_send_mark(mark));
        let mut router = router.with_drop(drops);
        let dealer_config = config().with_receive_mark(mark).with_routing_id("slow").unwrap();
        let mut dealer = DealerSocket::new(&places.transports, dealer_config);
        let address = router.bind(&*format!("inproc://full-{drops}")).await.unwrap();
        dealer.connect(&address).unwrap();
        dealer.send("here").await.unwrap();
        within(router.recv()).await;
        let filling = async {
            for _ in 0..10_000 {
                router.send_to(b"slow", &[0; 1000]).await.unwrap();
            }
        };
        let filled = tokio::time::timeout(Duration::from_millis(500), filling).await;
        assert_eq!(filled.is_ok(), drops);
        assert_eq!(router.dropped() > 0, drops);
        assert_eq!(router.peer(b"slow").unwrap().dropped(), router.dropped());
    }
}

/// However many messages are sent in a row, its connection is let write meanwhile.
#[tokio::test]
async fn a_router_that_drops_loses_nothing_for_a_peer_that_reads() {
    let places = Places::new();
    for (count, length) in [(20_000u32, 8), (500, 64 << 10)] {
        for place in places.all() {
            let mut router = RouterSocket::new(&places.transports, config()).with_drop(true);
            let mut dealer =
                DealerSocket::new(&places.transports, config().with_routing_id("reader").unwrap());
            dealer.connect(router.bind(&place).await.unwrap()).unwrap();
            dealer.send("here").await.unwrap();
            let (_, peer) = within(router.recv()).await;
            let reading = tokio::spawn(async move {
                for number in 0..count {
                    assert_eq!(dealer.recv().await[0][..4], number.to_be_bytes());
                }
            });
            let mut message = vec![0; length];
            for number in 0..count {
                message[..4].copy_from_slice(&number.to_be_bytes());
                if number % 2 == 0 {
                    router.send_to(b"reader", &message).await.unwrap();
                } else {
                    router.send_to_peer(&peer, &message).await.unwrap();
                }
            }
            assert_eq!(router.dropped(), 0, "{place}, of {length} bytes");
            within(reading).await.unwrap();
        }
    }
}

/// Over tcp nobody is anyone: two peers without a proven name are never the same.
#[tokio::test]
async fn an_id_in_use_is_not_given_to_another_peer() {
    let places = Places::new();
    for (place, handover, taken) in [
        ("tcp://127.0.0.1:0", Handover::Never, Some(RoutingIdRefused::AnothersId)),
        ("tcp://127.0.0.1:0", Handover::ToSamePrincipal, Some(RoutingIdRefused::AnothersId)),
        ("tcp://127.0.0.1:0", Handover::DangerToAnyone, None),
        ("inproc://theft-1", Handover::Never, Some(RoutingIdRefused::InUse)),
        ("inproc://theft-2", Handover::ToSamePrincipal, None),
    ] {
        let mut router = RouterSocket::new(&places.transports, config()).with_handover(handover);
        let mut events = router.events();
        let address = router.bind(place).await.unwrap();
        let dealer = |_| DealerSocket::new(&places.transports, config().with_routing_id("victim").unwrap());
        let (mut victim, mut thief) = (dealer(()), dealer(()));
        victim.connect(&address).unwrap();
        victim.send("mine").await.unwrap();
        within(router.recv()).await;
        thief.connect(&address).unwrap();
        thief.send("now mine").await.unwrap();
        if let Some(expected) = taken {
            let rejected = event(&mut events, |event| match event {
                SocketEvent::Rejected { reason, .. } => Some(reason),
                _ => None,
            });
            assert_eq!(rejected.await, Rejection::RoutingId(expected), "{place} {handover:?}");
            router.send_to(b"victim", "for the victim").await.unwrap();
            assert_eq!(within(victim.recv()).await.to_text(), Some("for the victim"));
            assert!(router.try_recv().is_none());
        } else {
            assert_eq!(within(router.recv()).await.0.to_text(), Some("now mine"));
            router.send_to(b"victim", "for the heir").await.unwrap();
            assert_eq!(within(thief.recv()).await.to_text(), Some("for the heir"));
            let reason = event(&mut events, |event| match event {
                SocketEvent::Disconnected { reason, .. } => Some(reason),
                _ => None,
            });
            assert!(matches!(reason.await, Disconnected::Rejected(Rejection::HandedOver)));
        }
    }
}

#[tokio::test]
async fn halves_of_a_dealer_work_in_different_tasks_and_the_socket_ends_with_both() {
    let places = Places::new();
    let dealer = DealerSocket::new(&places.transports, config());
    let mut rep = RepSocket::new(&places.transports, config());
    dealer.connect(rep.bind("inproc://halves").await.unwrap()).unwrap();
    let (mut sender, mut receiver) = dealer.split();
    let sending = tokio::spawn(async move {
        for number in 0..100u8 {
            sender.send(&[vec![], vec![number]].into_iter().collect::<Message>()).await.unwrap();
        }
    });
    let receiving = tokio::spawn(async move {
        for number in 0..100u8 {
            assert_eq!(receiver.recv().await[1], [number][..]);
        }
    });
    for _ in 0..100 {
        let question = within(rep.recv()).await;
        rep.send(&question).await.unwrap();
    }
    within(async { tokio::try_join!(sending, receiving) }).await.unwrap();
    let mut events = rep.events();
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
}

#[tokio::test]
async fn each_message_tells_who_sent_it() {
    let places = Places::new();
    let me = format!("uid:{}", rustix::process::geteuid().as_raw());
    let (mut pull, mut push) =
        (PullSocket::new(&places.transports, config()), PushSocket::new(&places.transports, config()));
    push.connect(pull.bind(places.ipc("pull")).await.unwrap()).unwrap();
    push.send("x").await.unwrap();
    assert_eq!(within(pull.recv_from()).await.1.identity().to_string(), me);

    let (mut rep, mut req) =
        (RepSocket::new(&places.transports, config()), ReqSocket::new(&places.transports, config()));
    req.connect(rep.bind(places.ipc("rep")).await.unwrap()).unwrap();
    req.send("x").await.unwrap();
    within(rep.recv()).await;
    assert_eq!(rep.asking().unwrap().identity().to_string(), me);

    let (mut router, mut dealer) =
        (RouterSocket::new(&places.transports, config()), DealerSocket::new(&places.transports, config()));
    dealer.connect(router.bind(places.ipc("router")).await.unwrap()).unwrap();
    dealer.send("x").await.unwrap();
    assert_eq!(within(router.recv()).await.1.identity().to_string(), me);

    let (mut publisher, mut subscriber) =
        (PubSocket::new(&places.transports, config()), SubSocket::new(&places.transports, config()));
    subscriber.subscribe("");
    subscriber.connect(publisher.bind(places.ipc("pub")).await.unwrap()).unwrap();
    within(publisher.subscribed("")).await;
    publisher.send("x").await.unwrap();
    assert_eq!(within(subscriber.recv_from()).await.1.identity().to_string(), me);
}

#[tokio::test]
async fn a_correlated_request_has_a_number_and_only_the_reply_with_it_is_taken() {
    let places = Places::new();
    let mut router = RouterSocket::new(&places.transports, config());
    let mut req = ReqSocket::new(&places.transports, config()).correlated();
    req.connect(router.bind("inproc://numbers").await.unwrap()).unwrap();
    for number in 0..3u32 {
        req.send("question").await.unwrap();
        let (request, peer) = within(router.recv()).await;
        let reply = |id: u32, text: &'static str| -> Message {
            [id.to_be_bytes().to_vec(), Vec::new(), text.into()].into_iter().collect()
        };
        assert_eq!(request, reply(number, "question"));
        router.send_to_peer(&peer, &reply(number.wrapping_sub(1), "late")).await.unwrap();
        router.send_to_peer(&peer, &reply(number, "right")).await.unwrap();
        assert_eq!(within(req.recv()).await.unwrap().to_text(), Some("right"));
    }
}
