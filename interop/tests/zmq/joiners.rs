//! Who comes late.

use interop::{Settings, Wire};

use crate::meeting::Table;
use crate::pair::{PAIRS, Pair, Side, pair};
use crate::set_up::python;

everywhere! {
    a_topic_that_is_subscribed_to_later_is_heard_from_then_on
    a_topic_is_heard_until_it_has_been_taken_back_as_often_as_subscribed_to
    a_second_worker_that_comes_later_gets_its_share
}

interop::on_both_wires! {
    messages_wait_for_who_binds_later
    a_topic_of_every_length_is_heard
}

fn subscriptions() -> impl Iterator<Item = (Pair, Side)> {
    let pairs = PAIRS.into_iter().filter(|pair| [pair.ours, pair.theirs].contains(&"SUB"));
    pairs.filter_map(|pair| Some((pair, pair.publisher()?)))
}

async fn a_topic_that_is_subscribed_to_later_is_heard_from_then_on(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for (pair, publisher) in subscriptions() {
        let name = &pair.name();
        let settings = Settings { subscribe: vec!["sync".to_owned(), "a".to_owned()], ..Settings::new() };
        table.meet_subscribed(pair, settings).await;
        let (publishes, listens) = table.both(publisher);
        for topic in ["b too early", "a in time", "c never"] {
            publishes.send(name, &[topic]).await;
        }
        assert_eq!(listens.recv(name).await, ["a in time"]);
        listens.subscribe(name, "b").await;
        table.publish_until_heard(pair, publisher, "b").await;
        let (publishes, listens) = table.both(publisher);
        for topic in ["c never", "b in time", "a still"] {
            publishes.send(name, &[topic, "body"]).await;
        }
        assert_eq!(listens.recv(name).await, ["b in time", "body"]);
        assert_eq!(listens.recv(name).await, ["a still", "body"]);
    }
}

async fn a_topic_is_heard_until_it_has_been_taken_back_as_often_as_subscribed_to(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for (pair, publisher) in subscriptions() {
        let name = &pair.name();
        // Twice the same.
        let topics = ["sync", "twice", "twice"].map(str::to_owned).to_vec();
        table.meet_subscribed(pair, Settings { subscribe: topics, ..Settings::new() }).await;
        for (take_back, fence, heard) in [("twice", "first fence", true), ("twice", "second fence", false)] {
            let listens = table.side(publisher.other());
            listens.unsubscribe(name, take_back).await;
            // Subscriptions of one connection are followed in order: once this one is, the one before is too.
            listens.subscribe(name, fence).await;
            table.publish_until_heard(pair, publisher, fence).await;
            let (publishes, listens) = table.both(publisher);
            publishes.send(name, &["twice"]).await;
            publishes.send(name, &["sync end"]).await;
            if heard {
                assert_eq!(listens.recv(name).await, ["twice"], "{name}");
            }
            assert_eq!(listens.recv(name).await, ["sync end"], "{name}");
        }
    }
}

async fn a_topic_of_every_length_is_heard(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    for (pair, publisher) in subscriptions() {
        let name = &pair.name();
        let settings = Settings { subscribe: vec!["sync".to_owned()], ..Settings::new() };
        table.meet_subscribed(pair, settings).await;
        // None begins with another: whoever is heard is heard by this subscription, not by the last one.
        for (letter, length) in ('a'..).zip([1, 244, 245, 254, 255, 256, 257, 1000]) {
            let topic = letter.to_string().repeat(length);
            let listens = table.side(publisher.other());
            listens.subscribe(name, &topic).await;
            table.publish_until_heard(pair, publisher, &topic).await;
            let (publishes, listens) = table.both(publisher);
            publishes.send(name, &[&topic[1..], "not this"]).await;
            publishes.send(name, &[&topic, "this"]).await;
            assert_eq!(listens.recv(name).await, [&topic, "this"], "{name}, {length}");
            listens.unsubscribe(name, &topic).await;
        }
    }
}

async fn a_second_worker_that_comes_later_gets_its_share(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    for workers in [pair("PUSH", "PULL"), pair("PULL", "PUSH")] {
        let mut table = Table::new(&python, wire, binds);
        let pusher = if workers.ours == "PUSH" { Side::Ours } else { Side::Theirs };
        if pusher != binds {
            // A pusher that connects has one worker for each endpoint.
            continue;
        }
        let place = wire.place();
        let endpoint = table.open(workers, pusher, Settings::new(), &place.zmq()).await;
        let (pushes, pulls) = table.both(pusher);
        for name in ["first", "second"] {
            let settings = Settings { wire: Some(wire.name().to_owned()), ..Settings::new() };
            pulls.open(name, "PULL", settings).await;
            pulls.connect(name, &endpoint).await;
            if name == "first" {
                pushes.send(&workers.name(), &["for the first"]).await;
                assert_eq!(pulls.recv(name).await, ["for the first"]);
            }
        }
        // From when it is there, they take turns.
        let mut sent = 0;
        while pulls.recv_within("second", 10).await.is_none() {
            pushes.send(&workers.name(), &["for either"]).await;
            sent += 1;
        }
        // The first got the others, but for what the second has got since.
        for _ in 0..10 {
            pushes.send(&workers.name(), &["for both"]).await;
        }
        let mut first = 0;
        let mut second = 0;
        while first + second < sent - 1 + 10 {
            first += u32::from(pulls.recv_within("first", 10).await.is_some());
            second += u32::from(pulls.recv_within("second", 10).await.is_some());
        }
        assert!(second >= 5, "{second} of {}", sent + 9);
    }
}

/// Messages to an endpoint where nobody is yet wait until somebody is, in every pattern that waits.
async fn messages_wait_for_who_binds_later(wire: Wire) {
    let Some(python) = python() else { return };
    let waiting =
        [pair("PUSH", "PULL"), pair("DEALER", "ROUTER"), pair("DEALER", "DEALER"), pair("PAIR", "PAIR")];
    let both = waiting.into_iter().flat_map(|pair| [(pair, Side::Theirs), (mirrored(pair), Side::Ours)]);
    for (pair, binds) in both {
        let mut table = Table::new(&python, wire, binds);
        let (mut place, name) = (wire.place(), &pair.name());
        let endpoint = wire.unused(&mut place);
        table.open(pair, binds.other(), Settings::new(), &endpoint).await;
        let (binds_later, waits) = table.both(binds);
        waits.send_numbers(name, &[], 100).await;
        let settings = Settings { wire: Some(wire.name().to_owned()), ..Settings::new() };
        binds_later.open(name, pair.of(binds), settings).await;
        binds_later.bind(name, &endpoint).await;
        tokio::join!(waits.send_numbers_from(100, name, &[], 1000, 0), binds_later.recv_numbers(name, 1100));
    }
}

fn mirrored(pair: Pair) -> Pair {
    Pair { ours: pair.theirs, theirs: pair.ours }
}
