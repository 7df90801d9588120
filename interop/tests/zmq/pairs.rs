//! Every pair of sockets that fits, with each mechanism and with heartbeats.

use std::time::Duration;

use interop::{CurveKeys, Settings, Wire};
use transport_zmq::SocketEvent;

use crate::meeting::Table;
use crate::pair::{PAIRS, Pair, Side};
use crate::set_up::{self, USER, python, users};

everywhere! {
    without_a_mechanism
    with_a_password
    with_curve
    with_heartbeats_of_both_sides
    with_heartbeats_of_both_sides_inside_curve
}

async fn without_a_mechanism(wire: Wire, binds: Side) {
    assert_all_talk(wire, binds, &Settings::new(), &Settings::new()).await;
}

async fn with_a_password(wire: Wire, binds: Side) {
    let (mut server, mut client) = (Settings::new(), Settings::new());
    server.security.plain_server = Some(users());
    client.security.plain_client = Some(USER.map(str::to_owned).into());
    assert_all_talk(wire, binds, &server, &client).await;
}

async fn with_curve(wire: Wire, binds: Side) {
    let (server, client) = set_up::with_curve(CurveKeys::generate(), CurveKeys::generate());
    assert_all_talk(wire, binds, &server, &client).await;
}

async fn with_heartbeats_of_both_sides(wire: Wire, binds: Side) {
    assert_heartbeats(wire, binds, Settings::new(), Settings::new()).await;
}

async fn with_heartbeats_of_both_sides_inside_curve(wire: Wire, binds: Side) {
    let (server, client) = set_up::with_curve(CurveKeys::generate(), CurveKeys::generate());
    assert_heartbeats(wire, binds, server, client).await;
}

async fn assert_all_talk(wire: Wire, binds: Side, binding: &Settings, connecting: &Settings) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    table.meet_all(&pairs(binds, binding), binding, connecting).await;
    table.talk().await;
}

/// Long enough for twenty PINGs; the peer counts as dead only much later, however busy the machine is.
async fn assert_heartbeats(wire: Wire, binds: Side, binding: Settings, connecting: Settings) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    let often = |settings| Settings { heartbeat: Some(25), ..settings };
    let pairs = pairs(binds, &binding);
    table.meet_all(&pairs, &often(binding), &often(connecting)).await;
    table.talk().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    table.talk().await;
    for pair in pairs {
        let mut events = table.ours.here().socket(&pair.name()).events();
        // Closing ends the events.
        table.ours.close(&pair.name()).await;
        let mut connected = 0;
        while let Some(event) = events.recv().await {
            connected += u32::from(matches!(event, SocketEvent::Connected { .. }));
        }
        assert_eq!(connected, 1, "{pair:?}");
    }
}

/// Those that can work with these settings.
fn pairs(binds: Side, binding: &Settings) -> Vec<Pair> {
    let mut pairs = PAIRS.to_vec();
    if binding.security.is_some_server() && binds == Side::Theirs {
        // A REQ of libzmq 4.3.5 that has authenticated its peer never hears the reply, of libzmq's own REP neither.
        pairs.retain(|pair| pair.theirs != "REQ");
    }
    pairs
}
