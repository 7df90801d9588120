//! What publishers can be told to do otherwise, on either side, with subscribers of the other.

use std::time::Duration;

use interop::{Place, Python, Settings, Sockets, Wire};
use serde_json::json;
use tokio::join;
use tokio::time::timeout;
use transport_zmq::{SocketConfig, XPubSocket};

use crate::pair::Side;
use crate::set_up::python;

interop::on_both_wires! {
    a_publisher_tells_of_subscriptions_as_it_was_asked_to
    a_publisher_that_does_not_drop_waits_for_who_is_slow
    a_welcome_comes_first_to_who_has_subscribed_to_it
    matching_can_be_inverted_on_both_sides
    our_application_decides_what_their_subscriber_hears
    their_application_decides_what_our_subscriber_hears
}

/// A publisher called `it` that has bound, and who is to subscribe at the other side.
struct Stage {
    publishes: Sockets,
    listens: Sockets,
    wire: Wire,
    endpoint: String,
    _place: Place,
}

impl Stage {
    async fn new(python: &Python, wire: Wire, side: Side, r#type: &str, settings: Settings) -> Stage {
        let (mut publishes, listens) = match side {
            Side::Ours => (Sockets::ours(), Sockets::libzmqs(python)),
            Side::Theirs => (Sockets::libzmqs(python), Sockets::ours()),
        };
        let place = wire.place();
        publishes.open("it", r#type, on(wire, settings)).await;
        let endpoint = publishes.bind("it", &place.zmq()).await;
        Stage { publishes, listens, wire, endpoint, _place: place }
    }

    /// Opens a subscriber, and connects it.
    async fn join(&mut self, name: &str, r#type: &str, settings: Settings) {
        self.listens.open(name, r#type, on(self.wire, settings)).await;
        self.listens.connect(name, &self.endpoint).await;
    }

    /// Waits until the XPUB is told of this.
    async fn is_told(&mut self, what: &str, by: &str) {
        loop {
            if let Some(told) = self.publishes.recv_within("it", 10).await {
                assert_eq!(told, [what]);
                return;
            }
            // libzmq passes subscriptions on to a new peer only while its program calls it.
            assert_eq!(self.listens.recv_within(by, 0).await, None);
        }
    }
}

fn on(wire: Wire, settings: Settings) -> Settings {
    Settings { wire: Some(wire.name().to_owned()), ..settings }
}

fn subscribed(topics: &[&str]) -> Settings {
    Settings { subscribe: topics.iter().map(|&topic| topic.to_owned()).collect(), ..Settings::new() }
}

async fn a_publisher_tells_of_subscriptions_as_it_was_asked_to(wire: Wire) {
    let Some(python) = python() else { return };
    let (verbose, verboser) =
        (Settings { verbose: true, ..Settings::new() }, Settings { verboser: true, ..Settings::new() });
    for side in [Side::Ours, Side::Theirs] {
        for (settings, is_told_of_others, is_told_of_ends) in
            [(Settings::new(), false, false), (verbose.clone(), true, false), (verboser.clone(), true, true)]
        {
            let mut stage = Stage::new(&python, wire, side, "XPUB", settings).await;
            for name in ["first", "second"] {
                // That it is there, by a topic of its own.
                stage.join(name, "XSUB", Settings::new()).await;
                stage.listens.send(name, &[&format!("\u{1}{name}")]).await;
                stage.is_told(&format!("\u{1}{name}"), name).await;
            }
            let steps = [
                ("first", "\u{1}a", true),
                ("second", "\u{1}a", is_told_of_others),
                ("first", "\0a", is_told_of_ends),
                ("second", "\0a", true),
            ];
            for (name, what, is_told) in steps {
                stage.listens.send(name, &[what]).await;
                stage.listens.send(name, &["and then"]).await;
                if is_told {
                    assert_eq!(stage.publishes.recv("it").await, [what], "{side:?}, {name}");
                }
                assert_eq!(stage.publishes.recv("it").await, ["and then"], "{side:?}, {name}, {what:?}");
            }
        }
    }
}

async fn a_publisher_that_does_not_drop_waits_for_who_is_slow(wire: Wire) {
    /// Large enough that the kernel's buffers are full after a few hundred.
    const LARGE: usize = 64 << 10;
    const MANY: u64 = 2000;
    let Some(python) = python() else { return };
    for side in [Side::Ours, Side::Theirs] {
        for subscriber in ["SUB", "XSUB"] {
            let marks = Settings { send_mark: Some(10), receive_mark: Some(10), ..Settings::new() };
            let settings = Settings { no_drop: true, ..marks.clone() };
            let mut stage = Stage::new(&python, wire, side, "XPUB", settings).await;
            stage.join("slow", subscriber, Settings { subscribe: vec![String::new()], ..marks }).await;
            if subscriber == "XSUB" {
                stage.listens.send("slow", &["\u{1}"]).await;
            }
            stage.is_told("\u{1}", "slow").await;
            let Stage { publishes, listens, .. } = &mut stage;
            let held_up_after = publishes.fill("it", &[], LARGE, MANY).await;
            assert!(held_up_after < MANY, "{side:?}");
            let rest = 50;
            join!(
                publishes.send_numbers_from(held_up_after, "it", &[], rest, LARGE),
                listens.recv_numbers("slow", held_up_after + rest)
            );
        }
    }
}

async fn a_welcome_comes_first_to_who_has_subscribed_to_it(wire: Wire) {
    let Some(python) = python() else { return };
    for side in [Side::Ours, Side::Theirs] {
        let settings = Settings { welcome: Some("welcome to vienna".to_owned()), ..Settings::new() };
        let mut stage = Stage::new(&python, wire, side, "XPUB", settings).await;
        stage.join("guest", "SUB", subscribed(&["welcome"])).await;
        // At once, since libzmq welcomes and subscribes only while its program calls it.
        let (heard, told) = join!(stage.listens.recv("guest"), stage.publishes.recv("it"));
        assert_eq!((heard, told), (vec!["welcome to vienna".to_owned()], vec!["\u{1}welcome".to_owned()]));
        stage.join("other", "SUB", subscribed(&["news"])).await;
        stage.is_told("\u{1}news", "other").await;
        stage.publishes.send("it", &["news of today"]).await;
        assert_eq!(stage.listens.recv("other").await, ["news of today"]);
    }
}

async fn matching_can_be_inverted_on_both_sides(wire: Wire) {
    let Some(python) = python() else { return };
    let inverted = |settings| Settings { inverted: true, ..settings };
    for side in [Side::Ours, Side::Theirs] {
        let mut stage = Stage::new(&python, wire, side, "XPUB", inverted(Settings::new())).await;
        stage.join("it", "SUB", inverted(subscribed(&["noise"]))).await;
        stage.is_told("\u{1}noise", "it").await;
        for topic in ["noise", "noise.loud", "news"] {
            stage.publishes.send("it", &[topic]).await;
        }
        assert_eq!(stage.listens.recv("it").await, ["news"]);
    }
}

async fn our_application_decides_what_their_subscriber_hears(wire: Wire) {
    let Some(python) = python() else { return };
    for subscriber in ["SUB", "XSUB"] {
        let place = wire.place();
        let config = SocketConfig::new(wire.policy());
        let mut publisher = XPubSocket::new(&transport::transports(), config).manual();
        let endpoint = interop::to_zmq(&publisher.bind(place.ours()).await.unwrap().to_string());
        let mut listens = Sockets::libzmqs(&python);
        listens.open("it", subscriber, on(wire, subscribed(&[""]))).await;
        if subscriber == "XSUB" {
            listens.send("it", &["\u{1}"]).await;
        }
        listens.connect("it", &endpoint).await;
        let (request, peer) = loop {
            if let Ok(asked) = timeout(Duration::from_millis(10), publisher.recv_from()).await {
                break asked;
            }
            // libzmq passes subscriptions on to a new peer only while its program calls it.
            assert_eq!(listens.recv_within("it", 0).await, None);
        };
        assert_eq!(request[0], b"\x01"[..]);
        assert_eq!(publisher.subscribers(), 0);
        assert!(publisher.subscribe(&peer, "public"));
        assert!(publisher.send_to_peer(&peer, "public, the last value").unwrap());
        for text in ["secret", "public, a new one"] {
            publisher.send(text).await.unwrap();
        }
        for text in ["public, the last value", "public, a new one"] {
            assert_eq!(listens.recv("it").await, [text]);
        }
        // What it asked for ends with it, and not what it was subscribed to.
        listens.close("it").await;
        assert_eq!(publisher.recv().await[0], b"\x00"[..]);
    }
}

async fn their_application_decides_what_our_subscriber_hears(wire: Wire) {
    let Some(python) = python() else { return };
    for subscriber in ["SUB", "XSUB"] {
        let place = wire.place();
        let (mut publishes, mut listens) = (Sockets::libzmqs(&python), Sockets::ours());
        publishes.ask(json!({"do": "open", "name": "it", "type": "XPUB", "manual": true})).await;
        let endpoint = publishes.bind("it", &place.zmq()).await;
        listens.open("it", subscriber, on(wire, subscribed(&[""]))).await;
        if subscriber == "XSUB" {
            listens.send("it", &["\u{1}"]).await;
        }
        listens.connect("it", &endpoint).await;
        assert_eq!(publishes.recv("it").await, ["\u{1}"]);
        publishes.subscribe("it", "public").await;
        for text in ["secret", "public"] {
            publishes.send("it", &[text]).await;
        }
        assert_eq!(listens.recv("it").await, ["public"]);
        listens.close("it").await;
        assert_eq!(publishes.recv("it").await, ["\0"]);
    }
}
