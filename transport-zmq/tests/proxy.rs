//! Proxies between two sockets.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::time::Duration;

use common::{Places, config, connected, event, within};
use transport_core::Message;
use transport_zmq::{
    DealerSocket, HighWaterMark, ProxyHandle, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket,
    RouterSocket, SocketEvent, SocketProxy, SubSocket, XPubSocket, XSubSocket, proxy,
};

/// Runs until it is terminated; the sockets are dropped then.
fn start(mut proxy: SocketProxy) -> ProxyHandle {
    let handle = proxy.handle();
    tokio::spawn(async move { proxy.run().await });
    handle
}

/// Runs until it has taken some messages and can pass no more of them on; tells how many it has received and sent.
async fn run_until_stuck(proxy: &mut SocketProxy) -> (u64, u64) {
    let handle = proxy.handle();
    let mut before = (0, 0);
    loop {
        assert!(tokio::time::timeout(Duration::from_millis(100), proxy.run()).await.is_err());
        let statistics = handle.statistics();
        let now = (statistics.frontend.received.messages, statistics.backend.sent.messages);
        if now == before && now.0 > 0 {
            return now;
        }
        before = now;
    }
}

#[tokio::test]
async fn each_client_gets_the_answers_to_its_own_questions() {
    let places = Places::new();
    for place in places.all() {
        let frontend = RouterSocket::new(&places.transports, config());
        let backend = DealerSocket::new(&places.transports, config());
        let clients = frontend.bind(&place).await.unwrap();
        let services = backend.bind("tcp://127.0.0.1:0").await.unwrap();
        let mut events = backend.events();
        for _ in 0..2 {
            let mut service = RepSocket::new(&places.transports, config());
            service.connect(&services).unwrap();
            tokio::spawn(async move {
                loop {
                    let mut question = service.recv().await;
                    question.push("answered");
                    service.send(&question).await.unwrap();
                }
            });
        }
        connected(&mut events, 2).await;
        let handle = start(proxy(frontend, backend));
        let asking = (0..5u32).map(|client| {
            let mut socket = ReqSocket::new(&places.transports, config());
            socket.connect(&clients).unwrap();
            tokio::spawn(async move {
                for number in 0..100u32 {
                    let parts = [client.to_be_bytes().to_vec(), number.to_be_bytes().to_vec(), Vec::new()];
                    let question: Message = parts.iter().cloned().collect();
                    let answer = socket.request(&question).await.unwrap();
                    let expected: Message = parts.into_iter().chain([b"answered".to_vec()]).collect();
                    assert_eq!(answer, expected);
                }
            })
        });
        for client in asking {
            within(client).await.unwrap();
        }
        let statistics = handle.statistics();
        assert_eq!(statistics.frontend.received.messages, 500);
        assert_eq!(statistics.backend.sent, statistics.frontend.received);
        assert_eq!(statistics.frontend.sent, statistics.backend.received);
        assert_eq!(statistics.frontend.dropped.messages, 0);
        // The routing id of 5 bytes, the delimiter and two numbers.
        assert_eq!(statistics.frontend.received.bytes, 500 * (5 + 8));
    }
}

#[tokio::test]
async fn subscriptions_pass_through_and_end_with_the_last_subscriber() {
    let places = Places::new();
    let frontend = XSubSocket::new(&places.transports, config());
    let backend = XPubSocket::new(&places.transports, config());
    let publishers = frontend.bind("tcp://127.0.0.1:0").await.unwrap();
    let subscribers = backend.bind(places.ipc("subscribers")).await.unwrap();
    start(proxy(frontend, backend));

    let mut publisher = XPubSocket::new(&places.transports, config());
    publisher.connect(&publishers).unwrap();
    let mut two = [(); 2].map(|()| {
        let mut subscriber = SubSocket::new(&places.transports, config());
        subscriber.subscribe("news");
        subscriber.connect(&subscribers).unwrap();
        subscriber
    });
    assert_eq!(within(publisher.recv()).await[0], b"\x01news"[..]);
    for subscriber in &mut two {
        // The second one's subscription may be on its way yet.
        let sent = within(async {
            loop {
                publisher.send("news").await.unwrap();
                if let Ok(message) = tokio::time::timeout(Duration::from_millis(10), subscriber.recv()).await
                {
                    return message;
                }
            }
        });
        assert_eq!(sent.await.to_text(), Some("news"));
    }
    let [first, second] = two;
    within(first.close()).await;
    assert!(publisher.try_recv().is_none());
    drop(second);
    assert_eq!(within(publisher.recv()).await[0], b"\x00news"[..]);
    // A publisher that comes later is not told of it any more.
    let mut late = XPubSocket::new(&places.transports, config());
    late.connect(&publishers).unwrap();
    let mut subscriber = SubSocket::new(&places.transports, config());
    subscriber.subscribe("weather");
    subscriber.connect(&subscribers).unwrap();
    assert_eq!(within(late.recv()).await[0], b"\x01weather"[..]);
}

#[tokio::test]
async fn multipart_messages_pass_whole_and_in_order_however_often_running_is_cancelled() {
    let places = Places::new();
    let frontend = PullSocket::new(&places.transports, config());
    let backend = PushSocket::new(&places.transports, config());
    let jobs = frontend.bind("tcp://127.0.0.1:0").await.unwrap();
    let work = backend.bind("tcp://127.0.0.1:0").await.unwrap();
    let mut proxy = proxy(frontend, backend);
    let (mut producer, mut worker) =
        (PushSocket::new(&places.transports, config()), PullSocket::new(&places.transports, config()));
    producer.connect(&jobs).unwrap();
    worker.connect(&work).unwrap();
    let message = |number: u32| -> Message {
        (0..1 + number % 4)
            .map(|_part| vec![b'x'; 10 * (number % 50) as usize])
            .chain([number.to_be_bytes().to_vec()])
            .collect()
    };
    let producing = tokio::spawn(async move {
        for number in 0..10_000 {
            producer.send(&message(number)).await.unwrap();
        }
        producer.close().await;
    });
    let working = tokio::spawn(async move {
        for number in 0..10_000 {
            assert_eq!(worker.recv().await, message(number), "{number}");
        }
    });
    within(async {
        while !working.is_finished() {
            let _cancelled = tokio::time::timeout(Duration::from_micros(300), proxy.run()).await;
            tokio::task::yield_now().await;
        }
        producing.await.unwrap();
        working.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn while_nobody_takes_messages_behind_it_those_in_front_have_to_wait() {
    let places = Places::new();
    let small = || {
        config()
            .with_send_mark(HighWaterMark::new(10, 1 << 20))
            .with_receive_mark(HighWaterMark::new(10, 1 << 20))
    };
    let frontend = PullSocket::new(&places.transports, small());
    let backend = PushSocket::new(&places.transports, small());
    let jobs = frontend.bind("inproc://jobs").await.unwrap();
    let work = backend.bind("inproc://work").await.unwrap();
    let handle = start(proxy(frontend, backend));
    let mut producer = PushSocket::new(&places.transports, small());
    producer.connect(&jobs).unwrap();
    let mut sent = 0u32;
    let filling = async {
        loop {
            producer.send(&[&sent.to_be_bytes()[..], &[0; 8000]].concat()).await.unwrap();
            sent += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), filling).await.is_err());
    assert!((10..100).contains(&sent), "{sent}");
    assert_eq!(
        handle.statistics().frontend.received.messages,
        0,
        "nothing is taken that cannot be passed on"
    );
    let mut worker = PullSocket::new(&places.transports, config());
    worker.connect(&work).unwrap();
    for number in 0..sent {
        assert_eq!(within(worker.recv()).await[0][..4], number.to_be_bytes());
    }
    assert_eq!(handle.statistics().backend.sent.messages, u64::from(sent));
}

#[tokio::test]
async fn a_proxy_pauses_resumes_and_terminates() {
    let places = Places::new();
    let frontend = PullSocket::new(&places.transports, config());
    let backend = PushSocket::new(&places.transports, config());
    let jobs = frontend.bind("inproc://jobs").await.unwrap();
    let work = backend.bind("inproc://work").await.unwrap();
    let mut proxy = proxy(frontend, backend);
    let handle = proxy.handle();
    let running = tokio::spawn(async move {
        proxy.run().await;
        proxy
    });
    let (mut producer, mut worker) =
        (PushSocket::new(&places.transports, config()), PullSocket::new(&places.transports, config()));
    producer.connect(&jobs).unwrap();
    worker.connect(&work).unwrap();
    producer.send("before").await.unwrap();
    assert_eq!(within(worker.recv()).await.to_text(), Some("before"));
    handle.pause();
    // The order is there before the message: see `SocketProxy::run`.
    producer.send("meanwhile").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), worker.recv()).await.is_err());
    assert_eq!(handle.statistics().frontend.received.messages, 1);
    handle.resume();
    assert_eq!(within(worker.recv()).await.to_text(), Some("meanwhile"));
    handle.terminate();
    let mut proxy = within(running).await.unwrap();
    handle.resume();
    within(proxy.run()).await;
    producer.send("too late").await.unwrap();
    within(proxy.close()).await;
    assert!(worker.try_recv().is_none());
}

/// What has been taken from one socket is delivered by the other, also when there was no room for it any more.
#[tokio::test]
async fn what_a_proxy_has_taken_is_delivered_when_it_is_closed_or_dropped() {
    let places = Places::new();
    for (drops, captures) in [(false, false), (true, false), (false, true), (true, true)] {
        let small = || {
            config()
                .with_send_mark(HighWaterMark::new(10, 1 << 20))
                .with_receive_mark(HighWaterMark::new(10, 1 << 20))
        };
        let frontend = PullSocket::new(&places.transports, config());
        let backend = PushSocket::new(&places.transports, small());
        let jobs = frontend.bind("inproc://jobs").await.unwrap();
        let work = backend.bind("inproc://work").await.unwrap();
        let mut proxy = proxy(frontend, backend);
        let mut listener = SubSocket::new(&places.transports, config());
        if captures {
            let capture = PubSocket::new(&places.transports, config());
            listener.subscribe("");
            listener.connect(capture.bind("inproc://capture").await.unwrap()).unwrap();
            within(capture.subscribed("")).await;
            proxy = proxy.with_capture(capture);
        }
        let handle = proxy.handle();
        let mut producer = PushSocket::new(&places.transports, config());
        producer.connect(&jobs).unwrap();
        for number in 0..500u32 {
            producer.send(&[&number.to_be_bytes()[..], &[0; 300]].concat()).await.unwrap();
        }
        let mut worker = PullSocket::new(&places.transports, small());
        worker.connect(&work).unwrap();
        // Until the worker, who receives nothing, has all that there is room for.
        let (received, sent) = within(run_until_stuck(&mut proxy)).await;
        assert!((10..500).contains(&received), "{received}");
        assert!(captures || sent < received, "some are in hand: {sent} of {received}");
        let closing = async {
            if drops {
                // On any thread.
                std::thread::spawn(move || drop(proxy)).join().unwrap();
            } else {
                proxy.close().await;
            }
        };
        let working = async {
            for number in 0..u32::try_from(received).unwrap() {
                assert_eq!(worker.recv().await[0][..4], number.to_be_bytes());
            }
        };
        within(async { tokio::join!(closing, working) }).await;
        let statistics = handle.statistics();
        assert_eq!(statistics.backend.sent, statistics.frontend.received);
        assert!(worker.try_recv().is_none());
        for number in 0..if captures { u32::try_from(received).unwrap() } else { 0 } {
            assert_eq!(within(listener.recv()).await[0][..4], number.to_be_bytes());
        }
    }
}

/// With a message in hand, and nobody there any more who could send it to the worker that has come meanwhile: it is too large to be
/// written at once, so handing it over would start a task.
#[test]
fn a_proxy_may_outlive_its_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let proxy = runtime.block_on(async {
        let places = Places::new();
        let one = HighWaterMark::new(1, 1 << 20);
        let frontend = PullSocket::new(&places.transports, config());
        let backend = PushSocket::new(&places.transports, config().with_send_mark(one));
        let jobs = frontend.bind("inproc://jobs").await.unwrap();
        let work = backend.bind("inproc://work").await.unwrap();
        let mut events = backend.events();
        let mut proxy = proxy(frontend, backend);
        let handle = proxy.handle();
        let mut producer = PushSocket::new(&places.transports, config());
        producer.connect(&jobs).unwrap();
        let idle = PullSocket::new(&places.transports, config().with_receive_mark(one));
        idle.connect(&work).unwrap();
        connected(&mut events, 1).await;
        for _ in 0..10 {
            producer.send("small").await.unwrap();
            producer.send(&[0; 100_000]).await.unwrap();
        }
        let mut in_hand = 0;
        while in_hand == 0 {
            let _stopped = tokio::time::timeout(Duration::from_millis(50), proxy.run()).await;
            let statistics = handle.statistics();
            in_hand = statistics.frontend.received.messages - statistics.backend.sent.messages;
        }
        drop(idle);
        event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
        let worker = PullSocket::new(&places.transports, config());
        worker.connect(&work).unwrap();
        connected(&mut events, 1).await;
        proxy
    });
    drop(runtime);
    drop(proxy);
}

#[tokio::test]
async fn what_a_proxy_cannot_hand_over_to_anyone_is_counted_as_dropped() {
    let places = Places::new();
    let frontend = PullSocket::new(&places.transports, config());
    let backend =
        PushSocket::new(&places.transports, config().with_send_mark(HighWaterMark::new(1, 1 << 20)));
    let jobs = frontend.bind("inproc://jobs").await.unwrap();
    let work = backend.bind("inproc://work").await.unwrap();
    let mut events = backend.events();
    let mut proxy = proxy(frontend, backend);
    let handle = proxy.handle();
    let worker = PullSocket::new(&places.transports, config().with_receive_mark(HighWaterMark::new(1, 1000)));
    worker.connect(&work).unwrap();
    connected(&mut events, 1).await;
    let mut producer = PushSocket::new(&places.transports, config());
    producer.connect(&jobs).unwrap();
    for _ in 0..800 {
        producer.send(&[0; 300]).await.unwrap();
    }
    within(run_until_stuck(&mut proxy)).await;
    drop(worker);
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    within(proxy.close()).await;
    let statistics = handle.statistics();
    let (received, sent) = (statistics.frontend.received.messages, statistics.backend.sent.messages);
    assert!(sent < received, "{sent} of {received}");
    assert_eq!(statistics.backend.dropped.messages, received - sent);
}

#[tokio::test]
async fn a_client_that_takes_no_answers_holds_up_nobody_and_what_it_misses_is_counted() {
    let places = Places::new();
    let mark = HighWaterMark::new(50, 1 << 20);
    let frontend = RouterSocket::new(&places.transports, config().with_send_mark(mark));
    let backend = DealerSocket::new(&places.transports, config());
    let clients = frontend.bind("tcp://127.0.0.1:0").await.unwrap();
    let services = backend.bind("inproc://services").await.unwrap();
    let handle = start(proxy(frontend, backend));
    let mut service = DealerSocket::new(&places.transports, config());
    service.connect(&services).unwrap();
    tokio::spawn(async move {
        loop {
            let question = service.recv().await;
            service.send(&question).await.unwrap();
        }
    });
    let mut stalled = DealerSocket::new(&places.transports, config().with_receive_mark(mark));
    stalled.connect(&clients).unwrap();
    let mut client = ReqSocket::new(&places.transports, config());
    client.connect(&clients).unwrap();
    let large = vec![7; 100_000];
    within(async {
        while handle.statistics().frontend.dropped.messages == 0 {
            stalled.send(&large).await.unwrap();
            let answer = client.request("still there?").await.unwrap();
            assert_eq!(answer.to_text(), Some("still there?"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_for_nobody_is_dropped_and_the_proxy_goes_on() {
    let places = Places::new();
    let frontend = RouterSocket::new(&places.transports, config());
    let backend = DealerSocket::new(&places.transports, config());
    let clients = frontend.bind("inproc://clients").await.unwrap();
    let services = backend.bind("inproc://services").await.unwrap();
    let handle = start(proxy(frontend, backend));
    let mut service = DealerSocket::new(&places.transports, config());
    service.connect(&services).unwrap();
    let nobody: Message = ["nobody", "hello"].into_iter().collect();
    service.send(&nobody).await.unwrap();
    service.send("only an id").await.unwrap();
    let mut client = DealerSocket::new(&places.transports, config());
    client.connect(&clients).unwrap();
    client.send("question").await.unwrap();
    let question = within(service.recv()).await;
    assert_eq!(question.part_count(), 2);
    service.send(&question).await.unwrap();
    assert_eq!(within(client.recv()).await.to_text(), Some("question"));
    assert_eq!(handle.statistics().frontend.dropped.messages, 2);
}

#[tokio::test]
async fn copies_of_both_ways_go_to_the_capture_socket() {
    let places = Places::new();
    let frontend = RouterSocket::new(&places.transports, config());
    let backend = DealerSocket::new(&places.transports, config());
    let capture = PubSocket::new(&places.transports, config());
    let clients = frontend.bind("inproc://clients").await.unwrap();
    let services = backend.bind("inproc://services").await.unwrap();
    let mut listener = SubSocket::new(&places.transports, config());
    listener.subscribe("");
    listener.connect(capture.bind("inproc://capture").await.unwrap()).unwrap();
    within(capture.subscribed("")).await;
    start(proxy(frontend, backend).with_capture(capture));
    let mut service = RepSocket::new(&places.transports, config());
    service.connect(&services).unwrap();
    let mut client = ReqSocket::new(&places.transports, config().with_routing_id("me").unwrap());
    client.connect(&clients).unwrap();
    client.send("question").await.unwrap();
    within(service.recv()).await;
    service.send("answer").await.unwrap();
    assert_eq!(within(client.recv()).await.unwrap().to_text(), Some("answer"));
    for text in ["question", "answer"] {
        assert_eq!(within(listener.recv()).await, ["me", "", text].into_iter().collect());
    }
}

#[tokio::test]
async fn a_capture_socket_that_waits_makes_the_proxy_wait() {
    let places = Places::new();
    let frontend = PullSocket::new(&places.transports, config());
    let backend = PushSocket::new(&places.transports, config());
    let capture = PushSocket::new(&places.transports, config());
    let jobs = frontend.bind("inproc://jobs").await.unwrap();
    let work = backend.bind("inproc://work").await.unwrap();
    let journal = capture.bind("inproc://journal").await.unwrap();
    start(proxy(frontend, backend).with_capture(capture));
    let mut producer = PushSocket::new(&places.transports, config());
    producer.connect(&jobs).unwrap();
    let mut worker = PullSocket::new(&places.transports, config());
    worker.connect(&work).unwrap();
    producer.send("job").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), worker.recv()).await.is_err());
    let mut clerk = PullSocket::new(&places.transports, config());
    clerk.connect(&journal).unwrap();
    assert_eq!(within(worker.recv()).await, within(clerk.recv()).await);
}

#[tokio::test]
async fn what_subscribers_send_upstream_waits_while_a_publisher_takes_nothing() {
    let places = Places::new();
    let mark = HighWaterMark::new(20, 1 << 20);
    let small = || config().with_send_mark(mark).with_receive_mark(mark);
    let frontend = XSubSocket::new(&places.transports, small());
    let backend = XPubSocket::new(&places.transports, small());
    let publishers = frontend.bind("inproc://publishers").await.unwrap();
    let subscribers = backend.bind("inproc://subscribers").await.unwrap();
    let mut events = frontend.events();
    let handle = start(proxy(frontend, backend));
    // It receives nothing.
    let stalled = XPubSocket::new(&places.transports, small());
    stalled.connect(&publishers).unwrap();
    connected(&mut events, 1).await;
    let mut subscriber = XSubSocket::new(&places.transports, config());
    let mut peers = subscriber.events();
    subscriber.connect(&subscribers).unwrap();
    connected(&mut peers, 1).await;
    let large = vec![9; 10_000];
    for _ in 0..2000 {
        subscriber.send(&large);
        tokio::task::yield_now().await;
    }
    let passed = || handle.statistics().backend.received.messages;
    within(async {
        while passed() < 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(passed() < 200, "{}", passed());
}

#[tokio::test]
async fn a_peer_that_vanishes_takes_nothing_with_it() {
    let places = Places::new();
    let frontend = PullSocket::new(&places.transports, config());
    let backend = PushSocket::new(&places.transports, config());
    let jobs = frontend.bind("inproc://jobs").await.unwrap();
    let work = backend.bind("inproc://work").await.unwrap();
    let mut events = backend.events();
    start(proxy(frontend, backend));
    let mut producer = PushSocket::new(&places.transports, config());
    producer.connect(&jobs).unwrap();
    let worker = PullSocket::new(&places.transports, config());
    worker.connect(&work).unwrap();
    connected(&mut events, 1).await;
    within(worker.close()).await;
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    producer.send("job").await.unwrap();
    let mut worker = PullSocket::new(&places.transports, config());
    worker.connect(&work).unwrap();
    assert_eq!(within(worker.recv()).await.to_text(), Some("job"));
}

#[tokio::test]
#[should_panic(expected = "neither socket of a proxy can send what the other receives")]
async fn sockets_that_do_not_fit_are_refused() {
    let places = Places::new();
    let pull = || PullSocket::new(&places.transports, config());
    let _none = proxy(pull(), pull());
}

#[tokio::test]
#[should_panic(expected = "a capture socket must be able to send")]
async fn a_capture_socket_that_only_receives_is_refused() {
    let places = Places::new();
    let pull = || PullSocket::new(&places.transports, config());
    let _none = proxy(pull(), PushSocket::new(&places.transports, config())).with_capture(pull());
}
