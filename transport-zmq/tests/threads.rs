//! Sockets that are used and dropped on threads that belong to no runtime.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::thread;

use common::{Places, config, connected, within};
use tokio::runtime::{Builder, Runtime};
use transport_core::Message;
use transport_zmq::{HighWaterMark, PubSocket, PullSocket, PushSocket, SubSocket};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn sockets_that_do_not_wait_send_from_any_thread_and_close() {
    let runtime = runtime();
    let places = Places::new();
    let config = config().with_send_mark(HighWaterMark::new(10_000, usize::MAX));
    let message = Message::from(vec![7; 10_000]);
    let (mut publisher, mut push, mut subscriber, mut pull) = runtime.block_on(async {
        let publisher = PubSocket::new(&places.transports, config.clone());
        let push = PushSocket::new(&places.transports, config.clone());
        let mut subscriber = SubSocket::new(&places.transports, config.clone());
        let pull = PullSocket::new(&places.transports, config);
        subscriber.subscribe("");
        subscriber.connect(publisher.bind(places.ipc("published")).await.unwrap()).unwrap();
        pull.connect(push.bind(places.ipc("pushed")).await.unwrap()).unwrap();
        within(publisher.subscribed("")).await;
        connected(&mut push.events(), 1).await;
        (publisher, push, subscriber, pull)
    });
    for _ in 0..500 {
        publisher.send_now(&message).unwrap();
        assert!(push.try_send(&message).unwrap());
    }
    runtime.block_on(async {
        for _ in 0..500 {
            assert_eq!(within(subscriber.recv()).await, message);
            assert_eq!(within(pull.recv()).await, message);
        }
        within(publisher.close()).await;
        within(push.close()).await;
    });
}

#[test]
fn a_socket_that_is_dropped_on_any_thread_lingers_as_long_as_its_runtime_goes_on() {
    let runtime = runtime();
    let places = Places::new();
    let mut push = runtime.block_on(async { PushSocket::new(&places.transports, config()) });
    runtime.block_on(async { push.connect(places.ipc("later")).unwrap() });
    assert!(push.try_send("kept").unwrap());
    thread::spawn(move || drop(push)).join().unwrap();
    runtime.block_on(async {
        let mut pull = PullSocket::new(&places.transports, config());
        pull.bind(places.ipc("later")).await.unwrap();
        assert_eq!(within(pull.recv()).await.to_text(), Some("kept"));
    });
}
