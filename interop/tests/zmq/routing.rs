//! The names under which ROUTERs know their peers.

use interop::{Settings, Wire};
use transport_zmq::{Rejection, SocketEvent};

use crate::meeting::Table;
use crate::pair::{Pair, Side, pair};
use crate::set_up::{event, python};

everywhere! {
    who_brings_no_name_gets_one_of_five_bytes
    a_name_of_255_bytes_makes_a_long_ready
}

interop::on_both_wires! {
    a_name_in_use_stays_with_its_owner_at_our_router
    a_name_in_use_stays_with_its_owner_at_their_router
    a_name_is_handed_over_when_our_router_may
    a_name_is_handed_over_when_their_router_may
    sending_to_nobody_is_told
}

const AT_OURS: Pair = pair("ROUTER", "DEALER");
const AT_THEIRS: Pair = pair("DEALER", "ROUTER");

fn named(name: &str, wire: Wire) -> Settings {
    Settings { routing_id: Some(name.to_owned()), wire: Some(wire.name().to_owned()), ..Settings::new() }
}

async fn who_brings_no_name_gets_one_of_five_bytes(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for pair in [AT_OURS, AT_THEIRS] {
        let name = &pair.name();
        table.meet(pair, named("", wire), named("", wire)).await;
        let (dealer, router) = table.ends(pair.ways()[0]);
        dealer.send(name, &["hello"]).await;
        let received = router.recv(name).await;
        assert_eq!(received[1], "hello");
        assert_eq!((received[0].chars().count(), received[0].chars().next()), (5, Some('\0')));
        router.send(name, &[&received[0], "answer"]).await;
        assert_eq!(dealer.recv(name).await, ["answer"]);
    }
}

async fn a_name_of_255_bytes_makes_a_long_ready(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    let long = &"n".repeat(255);
    for pair in [AT_OURS, AT_THEIRS] {
        let name = &pair.name();
        table.meet(pair, named(long, wire), named(long, wire)).await;
        let (dealer, router) = table.ends(pair.ways()[0]);
        dealer.send(name, &["hello"]).await;
        assert_eq!(router.recv(name).await, [long, "hello"]);
        router.send(name, &[long, "answer"]).await;
        assert_eq!(dealer.recv(name).await, ["answer"]);
    }
}

async fn a_name_in_use_stays_with_its_owner_at_our_router(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    let endpoint = table.meet_at(AT_OURS, Settings::new(), named("worker", wire)).await;
    let name = &AT_OURS.name();
    // That it is connected does not mean that it has the name yet.
    table.theirs.send(name, &["first"]).await;
    assert_eq!(table.ours.recv(name).await, ["worker", "first"]);
    let mut events = table.ours.here().socket(name).events();
    table.theirs.open("thief", "DEALER", named("worker", wire)).await;
    table.theirs.connect("thief", &endpoint).await;
    table.theirs.send("thief", &["it is me"]).await;
    let reason = event(&mut events, |event| match event {
        SocketEvent::Rejected { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(reason.await, Rejection::RoutingId(_)));
    table.theirs.send(name, &["it is me"]).await;
    assert_eq!(table.ours.recv(name).await, ["worker", "it is me"]);
    table.ours.send(name, &["worker", "welcome"]).await;
    assert_eq!(table.theirs.recv(name).await, ["welcome"]);
    assert_eq!(table.theirs.recv_within("thief", 100).await, None);
    // When the name is free, the other one still has what it sent.
    table.theirs.close(name).await;
    assert_eq!(table.ours.recv(name).await, ["worker", "it is me"]);
}

/// libzmq lets the second one in and does not listen to it.
async fn a_name_in_use_stays_with_its_owner_at_their_router(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Theirs);
    let endpoint = table.meet_at(AT_THEIRS, Settings::new(), named("worker", wire)).await;
    let name = &AT_THEIRS.name();
    table.ours.send(name, &["first"]).await;
    assert_eq!(table.theirs.recv(name).await, ["worker", "first"]);
    table.ours.open("second", "DEALER", named("worker", wire)).await;
    table.ours.connect("second", &endpoint).await;
    table.ours.send("second", &["it is me"]).await;
    let mut events = table.ours.here().socket("second").events();
    event(&mut events, |event| matches!(event, SocketEvent::Connected { .. }).then_some(())).await;
    table.ours.send(name, &["it is me"]).await;
    assert_eq!(table.theirs.recv(name).await, ["worker", "it is me"]);
    assert_eq!(table.theirs.recv_within(name, 100).await, None);
}

async fn a_name_is_handed_over_when_our_router_may(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    let settings = Settings { handover: true, ..Settings::new() };
    let endpoint = table.meet_at(AT_OURS, settings, named("worker", wire)).await;
    let name = &AT_OURS.name();
    table.theirs.send(name, &["first"]).await;
    assert_eq!(table.ours.recv(name).await, ["worker", "first"]);
    let mut events = table.ours.here().socket(name).events();
    table.theirs.open("second", "DEALER", named("worker", wire)).await;
    table.theirs.connect("second", &endpoint).await;
    table.theirs.send("second", &["second"]).await;
    assert_eq!(table.ours.recv(name).await, ["worker", "second"]);
    event(&mut events, |event| matches!(event, SocketEvent::Disconnected { .. }).then_some(())).await;
    table.ours.send(name, &["worker", "to the second"]).await;
    assert_eq!(table.theirs.recv("second").await, ["to the second"]);
}

async fn a_name_is_handed_over_when_their_router_may(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Theirs);
    let settings = Settings { handover: true, ..Settings::new() };
    let endpoint = table.meet_at(AT_THEIRS, settings, named("worker", wire)).await;
    let name = &AT_THEIRS.name();
    table.ours.send(name, &["first"]).await;
    assert_eq!(table.theirs.recv(name).await, ["worker", "first"]);
    table.ours.open("second", "DEALER", named("worker", wire)).await;
    table.ours.connect("second", &endpoint).await;
    table.ours.send("second", &["second"]).await;
    assert_eq!(table.theirs.recv(name).await, ["worker", "second"]);
    table.theirs.send(name, &["worker", "to the second"]).await;
    assert_eq!(table.ours.recv("second").await, ["to the second"]);
}

async fn sending_to_nobody_is_told(wire: Wire) {
    let Some(python) = python() else { return };
    // The router binds: one of libzmq that connects keeps the name of its endpoint, and messages for it wait.
    for (pair, binds) in [(AT_OURS, Side::Ours), (AT_THEIRS, Side::Theirs)] {
        let mut table = Table::new(&python, wire, binds);
        let name = &pair.name();
        table.meet(pair, Settings::new(), Settings::new()).await;
        table.say(pair, &["hello"]).await;
        let back = pair.ways()[1];
        let (router, dealer) = table.ends(back);
        assert_eq!(router.try_send(name, &["nobody", "hello"]).await, "no peer");
        dealer.close(name).await;
        // libzmq notices when its program receives; until then it may be sent to.
        while router.try_send(name, &[back.front[0], "hello"]).await != "no peer" {
            assert_eq!(router.recv_within(name, 10).await, None);
        }
    }
}
