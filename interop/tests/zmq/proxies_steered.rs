//! Our proxy, steered while libzmq's sockets talk through it.

use interop::{Place, Python, Settings, Sockets, Wire};
use tokio::task::JoinHandle;
use transport_zmq::{
    DealerSocket, HighWaterMark, ProxyEnd, ProxyHandle, PullSocket, PushSocket, RouterSocket, SocketConfig,
    SocketProxy, XPubSocket, XSubSocket, proxy,
};

use crate::set_up::{python, within};

interop::on_both_wires! {
    work_waits_while_our_proxy_is_paused_and_goes_on_in_order
    requests_and_replies_wait_while_our_proxy_is_paused
    what_is_published_waits_while_our_proxy_is_paused
    what_our_proxy_has_taken_arrives_when_it_is_closed
}

/// A proxy that runs in a task, which gives it back when it is terminated.
struct Steered {
    handle: ProxyHandle,
    running: JoinHandle<SocketProxy>,
    front: String,
    back: String,
    _places: [Place; 2],
}

/// Between two sockets of these types.
macro_rules! steered {
    ($wire:expr, $config:expr, $front:ident, $back:ident) => {{
        let (places, config) = ([$wire.place(), $wire.place()], $config);
        let front = $front::new(&transport::transports(), config.clone());
        let back = $back::new(&transport::transports(), config);
        let ends = [
            front.bind(places[0].ours()).await.unwrap().to_string(),
            back.bind(places[1].ours()).await.unwrap().to_string(),
        ];
        Steered::start(front, back, ends, places)
    }};
}

impl Steered {
    fn start(
        front: impl Into<ProxyEnd>,
        back: impl Into<ProxyEnd>,
        ends: [String; 2],
        _places: [Place; 2],
    ) -> Steered {
        let mut proxy = proxy(front, back);
        let handle = proxy.handle();
        let running = tokio::spawn(async move {
            proxy.run().await;
            proxy
        });
        let [front, back] = ends.map(|end| interop::to_zmq(&end));
        Steered { handle, running, front, back, _places }
    }

    async fn terminate(self) -> SocketProxy {
        self.handle.terminate();
        within(self.running).await.unwrap()
    }
}

/// A socket called `it` of a process of its own, connected there.
async fn theirs(python: &Python, r#type: &str, settings: Settings, to: &str) -> Sockets {
    let mut sockets = Sockets::libzmqs(python);
    sockets.open("it", r#type, settings).await;
    sockets.connect("it", to).await;
    sockets
}

/// As long as nothing shall come for, in milliseconds.
const QUIET: u64 = 150;

async fn work_waits_while_our_proxy_is_paused_and_goes_on_in_order(wire: Wire) {
    let Some(python) = python() else { return };
    let proxy = steered!(wire, SocketConfig::new(wire.policy()), PullSocket, PushSocket);
    let mut worker = theirs(&python, "PULL", Settings::new(), &proxy.back).await;
    let mut producer = theirs(&python, "PUSH", Settings::new(), &proxy.front).await;
    producer.send_numbers("it", &[], 500).await;
    worker.recv_numbers("it", 500).await;
    for round in 1..4 {
        proxy.handle.pause();
        let before = proxy.handle.statistics();
        producer.send_numbers_from(500 * round, "it", &[], 500, 0).await;
        assert_eq!(worker.recv_within("it", QUIET).await, None);
        assert_eq!(proxy.handle.statistics(), before);
        proxy.handle.resume();
        worker.recv_numbers_from(500 * round, "it", 500).await;
    }
    let handle = proxy.handle.clone();
    assert_eq!(handle.statistics().frontend.received.messages, 2000);
    assert_eq!(handle.statistics().backend.sent, handle.statistics().frontend.received);
    let proxy = proxy.terminate().await;
    producer.send("it", &["too late"]).await;
    assert_eq!(worker.recv_within("it", QUIET).await, None);
    assert_eq!(handle.statistics().frontend.received.messages, 2000);
    within(proxy.close()).await;
}

async fn requests_and_replies_wait_while_our_proxy_is_paused(wire: Wire) {
    let Some(python) = python() else { return };
    let proxy = steered!(wire, SocketConfig::new(wire.policy()), RouterSocket, DealerSocket);
    let mut answers = theirs(&python, "REP", Settings::new(), &proxy.back).await;
    let mut asks = theirs(&python, "REQ", Settings::new(), &proxy.front).await;
    for round in 0..3 {
        proxy.handle.pause();
        asks.send("it", &["question"]).await;
        assert_eq!(answers.recv_within("it", QUIET).await, None);
        proxy.handle.resume();
        assert_eq!(answers.recv("it").await, ["question"]);
        proxy.handle.pause();
        answers.send("it", &["answer"]).await;
        assert_eq!(asks.recv_within("it", QUIET).await, None);
        proxy.handle.resume();
        assert_eq!(asks.recv("it").await, ["answer"]);
        let statistics = proxy.handle.statistics();
        for volume in [statistics.frontend.received, statistics.backend.sent, statistics.backend.received] {
            assert_eq!(volume.messages, round + 1);
        }
    }
    within(proxy.terminate().await.close()).await;
}

async fn what_is_published_waits_while_our_proxy_is_paused(wire: Wire) {
    let Some(python) = python() else { return };
    let proxy = steered!(wire, SocketConfig::new(wire.policy()), XSubSocket, XPubSocket);
    let mut listens = theirs(&python, "SUB", Settings::new(), &proxy.back).await;
    let mut publishes = theirs(&python, "XPUB", Settings::new(), &proxy.front).await;
    for topic in ["a", "b"] {
        // Subscriptions wait, too.
        proxy.handle.pause();
        listens.subscribe("it", topic).await;
        assert_eq!(listens.recv_within("it", QUIET).await, None);
        assert_eq!(publishes.recv_within("it", QUIET).await, None);
        proxy.handle.resume();
        assert_eq!(publishes.recv("it").await, [format!("\u{1}{topic}")]);
        proxy.handle.pause();
        publishes.send_numbers("it", &[topic], 100).await;
        assert_eq!(listens.recv_within("it", QUIET).await, None);
        proxy.handle.resume();
        listens.recv_numbers("it", 100).await;
    }
    within(proxy.terminate().await.close()).await;
}

async fn what_our_proxy_has_taken_arrives_when_it_is_closed(wire: Wire) {
    /// Large enough that the kernel's buffers are full after a few hundred.
    const LARGE: usize = 16 << 10;
    let Some(python) = python() else { return };
    let mark = HighWaterMark::new(10, HighWaterMark::default().bytes);
    let config = SocketConfig::new(wire.policy()).with_send_mark(mark).with_receive_mark(mark);
    let proxy = steered!(wire, config, PullSocket, PushSocket);
    let marks = Settings { send_mark: Some(10), receive_mark: Some(10), ..Settings::new() };
    let mut worker = theirs(&python, "PULL", marks.clone(), &proxy.back).await;
    let mut producer = theirs(&python, "PUSH", marks, &proxy.front).await;
    // Until there is no room anywhere.
    let sent = producer.fill("it", &[], LARGE, 10_000).await;
    assert!(sent < 10_000);
    let handle = proxy.handle.clone();
    let proxy = proxy.terminate().await;
    let taken = handle.statistics().frontend.received.messages;
    assert!((1..=sent).contains(&taken), "{taken} of {sent}");
    let closing = tokio::spawn(proxy.close());
    worker.recv_numbers("it", taken).await;
    within(closing).await.unwrap();
    assert_eq!(worker.recv_within("it", QUIET).await, None);
    assert_eq!(handle.statistics().backend.sent.messages, taken);
}
