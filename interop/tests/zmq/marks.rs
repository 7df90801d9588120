//! High-water marks, and subscribers that are slow.

use std::time::Duration;

use interop::{Settings, Wire};
use tokio::join;

use crate::meeting::Table;
use crate::pair::{PAIRS, Pair, Side, Way, pair};
use crate::set_up::python;

everywhere! {
    who_cannot_drop_is_held_up_until_the_other_side_receives
    a_router_that_may_drops_what_a_peer_has_no_room_for
}

interop::on_both_wires! {
    a_slow_subscriber_of_ours_loses_messages_and_the_others_none
    a_slow_subscriber_of_theirs_loses_messages_and_the_others_none
}

/// Large enough that the kernel's buffers are full after a few hundred.
const LARGE: usize = 64 << 10;
const MANY: u64 = 2000;

/// A publisher, and a subscriber that is slow.
const SLOW_PAIRS: [(&str, &str); 4] = [("PUB", "SUB"), ("PUB", "XSUB"), ("XPUB", "SUB"), ("XPUB", "XSUB")];

fn marks() -> Settings {
    Settings { send_mark: Some(10), receive_mark: Some(10), ..Settings::new() }
}

async fn who_cannot_drop_is_held_up_until_the_other_side_receives(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for (pair, way) in waiting_ways() {
        let name = &pair.name();
        table.meet(pair, marks(), marks()).await;
        let (from, to) = table.ends(way);
        let held_up_after = from.fill(name, way.front, LARGE, MANY).await;
        assert!(held_up_after < MANY, "{name}");
        let rest = 50;
        join!(
            from.send_numbers_from(held_up_after, name, way.front, rest, LARGE),
            to.recv_numbers(name, held_up_after + rest)
        );
        from.close(name).await;
        to.close(name).await;
    }
}

/// The ways on which a sender waits: a ROUTER's too, unless it may drop.
fn waiting_ways() -> impl Iterator<Item = (Pair, Way)> {
    let pairs = PAIRS.into_iter().filter(|pair| !pair.is_lock_step() && pair.publisher().is_none());
    let ways = pairs.flat_map(|pair| pair.ways().into_iter().map(move |way| (pair, way)));
    // A ROUTER speaks to who has spoken before.
    ways.filter(|(pair, way)| pair.of(way.from) != "ROUTER" || pair.of(way.from.other()) == "ROUTER")
}

async fn a_router_that_may_drops_what_a_peer_has_no_room_for(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for dealer in [pair("ROUTER", "DEALER"), pair("DEALER", "ROUTER")] {
        let name = &dealer.name();
        table
            .meet(dealer, Settings { mandatory: false, ..marks() }, Settings { mandatory: false, ..marks() })
            .await;
        table.say(dealer, &["hello"]).await;
        let back = dealer.ways()[1];
        let (router, peer) = table.ends(back);
        router.send_numbers_from(0, name, back.front, MANY, LARGE).await;
        let received = peer.recv_growing(name, 500).await;
        assert!(received > 0 && received < MANY, "{received}");
        if back.from == Side::Ours {
            let dropped = router.here().socket(name).dropped();
            assert_eq!(received + dropped, MANY);
        }
        // The way is free again.
        router.send(name, &[back.front, &["again"]].concat()).await;
        assert_eq!(peer.recv(name).await, ["again"]);
    }
}

async fn a_slow_subscriber_of_theirs_loses_messages_and_the_others_none(wire: Wire) {
    let Some(python) = python() else { return };
    for (publisher, slow) in SLOW_PAIRS {
        let mut table = Table::new(&python, wire, Side::Ours);
        let sent = publish_to_a_slow_one(&mut table, pair(publisher, "SUB"), Side::Ours, slow).await;
        let ours = table.ours.here().socket(&pair(publisher, "SUB").name());
        let dropped = ours.dropped();
        let by_peer: Vec<u64> = ours.peers().iter().map(|peer| peer.dropped()).collect();
        assert!(dropped > 0);
        assert!(by_peer.contains(&dropped) && by_peer.contains(&0), "all are one peer's: {by_peer:?}");
        let slow = table.theirs.recv_growing("slow", 500).await;
        assert_eq!(slow + dropped, sent, "what was not dropped arrives");
        assert_goes_on(&mut table, pair(publisher, "SUB"), Side::Ours).await;
    }
}

async fn a_slow_subscriber_of_ours_loses_messages_and_the_others_none(wire: Wire) {
    let Some(python) = python() else { return };
    for (publisher, slow) in SLOW_PAIRS {
        let mut table = Table::new(&python, wire, Side::Theirs);
        let sent = publish_to_a_slow_one(&mut table, pair("SUB", publisher), Side::Theirs, slow).await;
        let slow = table.ours.recv_growing("slow", 500).await;
        assert!(slow > 0 && slow < sent, "{slow}");
        assert_goes_on(&mut table, pair("SUB", publisher), Side::Theirs).await;
    }
}

/// Publishes to two subscribers, of which one does not receive; the other receives all. Tells how many there were.
async fn publish_to_a_slow_one(table: &mut Table, pair: Pair, publisher: Side, slow_type: &str) -> u64 {
    let (batch, batches) = (20, 50);
    let name = &pair.name();
    // What the other has not received never comes near to its mark, and neither does what libzmq believes that it has
    // not: a pipe there tells what was read each half a mark, and a sender listens at most each 3 million ticks of its
    // processor, in which it may send 50 of these.
    let settings = Settings { send_mark: Some(400), receive_mark: Some(400), ..Settings::new() };
    let endpoint = table.meet_at(pair, settings.clone(), settings.clone()).await;
    let wire = table.wire;
    let (publishes, listens) = table.both(publisher);
    let topics = ["#", "slow"];
    let mut slow = Settings { receive_mark: Some(10), wire: Some(wire.name().to_owned()), ..Settings::new() };
    if slow_type == "SUB" {
        slow.subscribe = topics.map(str::to_owned).to_vec();
    }
    listens.open("slow", slow_type, slow).await;
    if slow_type == "XSUB" {
        for topic in topics {
            listens.send("slow", &[&format!("\u{1}{topic}")]).await;
        }
    }
    listens.connect("slow", &endpoint).await;
    while listens.recv_within("slow", 10).await.is_none() {
        publishes.send(name, &["slow, are you there?"]).await;
        assert_eq!(listens.recv(name).await, ["slow, are you there?"]);
    }
    // It may have been asked twice.
    while listens.recv_within("slow", 300).await.is_some() {}
    for number in 0..batches {
        let first = number * batch;
        publishes.send_numbers_from(first, name, &[], batch, LARGE).await;
        listens.recv_numbers_from(first, name, batch).await;
    }
    batch * batches
}

async fn assert_goes_on(table: &mut Table, pair: Pair, publisher: Side) {
    let (publishes, listens) = table.both(publisher);
    tokio::time::timeout(Duration::from_secs(30), async {
        while listens.recv_within("slow", 10).await.is_none() {
            publishes.send(&pair.name(), &["slow, are you still there?"]).await;
        }
    })
    .await
    .expect("it hears again");
}
