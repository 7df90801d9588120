//! What subscribers behind a proxy can do to each other's subscriptions.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::raw::{joined, message};
use common::{Places, config, connected, within};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use transport_core::Address;
use transport_zmq::{SubSocket, XPubSocket, XSubSocket, proxy};

/// A publisher, an XSUB that it is connected to, and an XPUB for subscribers: the proxy does not run yet.
struct Stage {
    places: Places,
    publisher: XPubSocket,
    frontend: XSubSocket,
    backend: XPubSocket,
    address: Address,
}

impl Stage {
    async fn new(settings: impl Fn(XPubSocket) -> XPubSocket) -> Stage {
        let places = Places::new();
        let frontend = XSubSocket::new(&places.transports, config());
        let backend = settings(XPubSocket::new(&places.transports, config()));
        let address = backend.bind("tcp://127.0.0.1:0").await.unwrap();
        let publisher = XPubSocket::new(&places.transports, config());
        let mut events = publisher.events();
        publisher.connect(frontend.bind("inproc://publishers").await.unwrap()).unwrap();
        connected(&mut events, 1).await;
        Stage { places, publisher, frontend, backend, address }
    }

    fn subscriber(&self, topic: &str) -> SubSocket {
        let mut subscriber = SubSocket::new(&self.places.transports, config());
        subscriber.subscribe(topic);
        subscriber.connect(&self.address).unwrap();
        subscriber
    }

    async fn raw_peer(&self) -> TcpStream {
        joined(&self.address, "SUB", b"").await
    }

    /// Lets the proxy run until the publisher has been told of all up to this topic.
    async fn run_until(self, last: &[u8]) -> XPubSocket {
        let Stage { mut publisher, frontend, backend, .. } = self;
        let mut proxy = proxy(frontend, backend);
        tokio::spawn(async move { proxy.run().await });
        let last = [b"\x01", last].concat();
        while within(publisher.recv()).await[0] != last[..] {}
        publisher
    }
}

async fn gets(subscriber: &mut SubSocket, publisher: &mut XPubSocket, text: &str) {
    publisher.send(text).await.unwrap();
    assert_eq!(within(subscriber.recv()).await.to_text(), Some(text));
}

#[tokio::test]
async fn a_cancel_of_what_only_others_have_subscribed_to_takes_nothing_from_them() {
    for settings in [|it| it, XPubSocket::verbose, XPubSocket::verboser] {
        let stage = Stage::new(settings).await;
        let mut subscriber = stage.subscriber("news");
        within(stage.backend.subscribed("news")).await;
        let mut other = stage.raw_peer().await;
        other.write_all(&[message(&[b"\x00news"]), message(&[b"\x01end"])].concat()).await.unwrap();
        within(stage.backend.subscribed("end")).await;
        let mut publisher = stage.run_until(b"end").await;
        gets(&mut subscriber, &mut publisher, "news of today").await;
    }
}

/// Each subscriber has its turn, so that what one of them did before may be passed on after it.
#[tokio::test]
async fn a_subscription_outlives_the_end_of_an_earlier_one_that_is_passed_on_later() {
    let stage = Stage::new(|it| it).await;
    let mut other = stage.raw_peer().await;
    let steps = [&b"\x01news"[..], b"\x00news", b"\x01end"];
    let busy = [message(&[b"upstream"]).repeat(100), steps.map(|step| message(&[step])).concat()].concat();
    other.write_all(&busy).await.unwrap();
    within(stage.backend.subscribed("end")).await;
    let mut subscriber = stage.subscriber("news");
    within(stage.backend.subscribed("news")).await;
    let mut publisher = stage.run_until(b"end").await;
    gets(&mut subscriber, &mut publisher, "news of today").await;
}

#[tokio::test]
async fn who_leaves_takes_nothing_from_others_although_every_end_is_told() {
    let stage = Stage::new(XPubSocket::verboser).await;
    let mut subscriber = stage.subscriber("news");
    within(stage.backend.subscribed("news")).await;
    let mut other = stage.raw_peer().await;
    let steps = [&b"\x01news"[..], b"\x00news", b"\x01end"].map(|step| message(&[step]));
    other.write_all(&steps.concat()).await.unwrap();
    within(stage.backend.subscribed("end")).await;
    let mut publisher = stage.run_until(b"end").await;
    gets(&mut subscriber, &mut publisher, "news of today").await;
}
