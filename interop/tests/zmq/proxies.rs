//! Proxies: a stock zmq_proxy, and ours, between sockets of both sides.

use interop::{Place, Python, Settings, Sockets, Wire};
use serde_json::json;
use tokio::join;
use transport_zmq::{
    DealerSocket, PullSocket, PushSocket, RouterSocket, SocketConfig, XPubSocket, XSubSocket, proxy,
};

use crate::pair::Side;
use crate::set_up::python;

interop::on_both_wires! {
    requests_pass_through_their_proxy
    requests_pass_through_our_proxy
    requests_pass_through_their_proxy_and_ours_behind_it
    work_passes_through_their_proxy
    work_passes_through_our_proxy
    subscriptions_and_messages_pass_through_their_proxy
    subscriptions_and_messages_pass_through_our_proxy
}

/// Where the two ends of a proxy are.
struct Between {
    front: String,
    back: String,
    _places: [Place; 2],
    /// Of a proxy that is not in this process.
    _process: Option<Sockets>,
}

/// A stock zmq_proxy between two sockets of these types.
async fn theirs(python: &Python, wire: Wire, front: &str, back: &str) -> Between {
    let places = [wire.place(), wire.place()];
    let mut process = Sockets::libzmqs(python);
    let ends = places.each_ref().map(Place::zmq);
    let ends = process.ask(json!({"do": "proxy", "kinds": [front, back], "ends": ends})).await["ends"].take();
    let end = |i: usize| ends[i].as_str().unwrap().to_owned();
    Between { front: end(0), back: end(1), _places: places, _process: Some(process) }
}

/// Ours, between two sockets of these types.
macro_rules! ours {
    ($wire:expr, $front:ident, $back:ident) => {{
        let (places, config) = ([$wire.place(), $wire.place()], SocketConfig::new($wire.policy()));
        let front = $front::new(&transport::transports(), config.clone());
        let back = $back::new(&transport::transports(), config);
        let ends = [
            front.bind(places[0].ours()).await.unwrap().to_string(),
            back.bind(places[1].ours()).await.unwrap().to_string(),
        ];
        let mut proxy = proxy(front, back);
        tokio::spawn(async move { proxy.run().await });
        let [front, back] = ends.map(|end| interop::to_zmq(&end));
        Between { front, back, _places: places, _process: None }
    }};
}

async fn requests_pass_through_their_proxy(wire: Wire) {
    let Some(python) = python() else { return };
    for asks in [Side::Ours, Side::Theirs] {
        let between = theirs(&python, wire, "ROUTER", "DEALER").await;
        assert_asked(&python, wire, asks, &between.front, &between.back).await;
    }
}

async fn requests_pass_through_our_proxy(wire: Wire) {
    let Some(python) = python() else { return };
    for asks in [Side::Ours, Side::Theirs] {
        let between = ours!(wire, RouterSocket, DealerSocket);
        assert_asked(&python, wire, asks, &between.front, &between.back).await;
    }
}

async fn requests_pass_through_their_proxy_and_ours_behind_it(wire: Wire) {
    let Some(python) = python() else { return };
    for asks in [Side::Ours, Side::Theirs] {
        let first = theirs(&python, wire, "ROUTER", "DEALER").await;
        let (place, config) = (wire.place(), SocketConfig::new(wire.policy()));
        let front = RouterSocket::new(&transport::transports(), config.clone());
        let back = DealerSocket::new(&transport::transports(), config);
        front.connect(&first.back).unwrap();
        let end = back.bind(place.ours()).await.unwrap().to_string();
        let mut second = proxy(front, back);
        tokio::spawn(async move { second.run().await });
        assert_asked(&python, wire, asks, &first.front, &interop::to_zmq(&end)).await;
    }
}

async fn work_passes_through_their_proxy(wire: Wire) {
    let Some(python) = python() else { return };
    for pushes in [Side::Ours, Side::Theirs] {
        let between = theirs(&python, wire, "PULL", "PUSH").await;
        assert_worked(&python, wire, pushes, &between).await;
    }
}

async fn work_passes_through_our_proxy(wire: Wire) {
    let Some(python) = python() else { return };
    for pushes in [Side::Ours, Side::Theirs] {
        let between = ours!(wire, PullSocket, PushSocket);
        assert_worked(&python, wire, pushes, &between).await;
    }
}

async fn subscriptions_and_messages_pass_through_their_proxy(wire: Wire) {
    let Some(python) = python() else { return };
    for publishes in [Side::Ours, Side::Theirs] {
        let between = theirs(&python, wire, "XSUB", "XPUB").await;
        assert_published(&python, wire, publishes, &between).await;
    }
}

async fn subscriptions_and_messages_pass_through_our_proxy(wire: Wire) {
    let Some(python) = python() else { return };
    for publishes in [Side::Ours, Side::Theirs] {
        let between = ours!(wire, XSubSocket, XPubSocket);
        assert_published(&python, wire, publishes, &between).await;
    }
}

/// This side's sockets, and the other's.
fn both(python: &Python, first: Side) -> (Sockets, Sockets) {
    match first {
        Side::Ours => (Sockets::ours(), Sockets::libzmqs(python)),
        Side::Theirs => (Sockets::libzmqs(python), Sockets::ours()),
    }
}

/// Opens the socket of one side, and connects it.
async fn open(sockets: &mut Sockets, wire: Wire, r#type: &str, to: &str) {
    let settings = Settings { wire: Some(wire.name().to_owned()), ..Settings::new() };
    sockets.open("it", r#type, settings).await;
    sockets.connect("it", to).await;
}

async fn assert_asked(python: &Python, wire: Wire, first: Side, front: &str, back: &str) {
    let (mut asks, mut answers) = both(python, first);
    open(&mut answers, wire, "REP", back).await;
    open(&mut asks, wire, "REQ", front).await;
    for body in [&["question"][..], &[""], &["", "a", ""]] {
        asks.send("it", body).await;
        assert_eq!(answers.recv("it").await, body);
        answers.send("it", &[&["answer"], body].concat()).await;
        assert_eq!(asks.recv("it").await, [&["answer"], body].concat());
    }
    join!(asks.exchange_numbers("it", &[], 200, 1), answers.echo("it", 200));
}

async fn assert_worked(python: &Python, wire: Wire, first: Side, between: &Between) {
    let (mut pushes, mut pulls) = both(python, first);
    open(&mut pulls, wire, "PULL", &between.back).await;
    open(&mut pushes, wire, "PUSH", &between.front).await;
    join!(pushes.send_numbers("it", &[], 5000), pulls.recv_numbers("it", 5000));
}

async fn assert_published(python: &Python, wire: Wire, first: Side, between: &Between) {
    let (mut publishes, mut listens) = both(python, first);
    open(&mut listens, wire, "SUB", &between.back).await;
    open(&mut publishes, wire, "PUB", &between.front).await;
    for topic in ["a", "b"] {
        listens.subscribe("it", topic).await;
        while listens.recv_within("it", 10).await.is_none() {
            publishes.send("it", &[topic, "is this heard?"]).await;
        }
        publishes.send("it", &["c", "not this"]).await;
        publishes.send("it", &[topic, "end"]).await;
        while listens.recv("it").await != [topic, "end"] {}
        listens.unsubscribe("it", topic).await;
    }
}
