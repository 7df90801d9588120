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
    let settings = often(Settings::new());
    assert_stay_while_idle(wire, binds, settings.clone(), settings, MANY_PINGS).await;
}

async fn with_heartbeats_of_both_sides_inside_curve(wire: Wire, binds: Side) {
    let (server, client) = set_up::with_curve(CurveKeys::generate(), CurveKeys::generate());
    assert_stay_while_idle(wire, binds, often(server), often(client), MANY_PINGS).await;
}

#[tokio::test]
#[ignore = "takes a minute: `just idle` runs it"]
async fn an_idle_minute_is_survived_by_heartbeats_alone() {
    // Who heard nothing for a sixth of it would end the connection.
    let patient = |settings| Settings { heartbeat: Some(1000), dead_after: Some(10_000), ..settings };
    let minute = Duration::from_secs(60);
    let mut tasks = tokio::task::JoinSet::new();
    for wire in [Wire::Tcp, Wire::Ipc] {
        for binds in [Side::Ours, Side::Theirs] {
            let curve = set_up::with_curve(CurveKeys::generate(), CurveKeys::generate());
            for (binding, connecting) in [(Settings::new(), Settings::new()), curve] {
                let (binding, connecting) = (patient(binding), patient(connecting));
                tasks.spawn(assert_stay_while_idle(wire, binds, binding, connecting, minute));
            }
        }
    }
    tasks.join_all().await;
}

async fn assert_all_talk(wire: Wire, binds: Side, binding: &Settings, connecting: &Settings) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    table.meet_all(&pairs(binds, binding), binding, connecting).await;
    table.talk().await;
}

/// A PING each 25 ms; the peer counts as dead only much later, however busy the machine is.
fn often(settings: Settings) -> Settings {
    Settings { heartbeat: Some(25), ..settings }
}

/// Long enough for eighty of these.
const MANY_PINGS: Duration = Duration::from_secs(2);

/// All pairs talk, are idle, and talk again on the same connections.
async fn assert_stay_while_idle(
    wire: Wire,
    binds: Side,
    binding: Settings,
    connecting: Settings,
    idle: Duration,
) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    let pairs = pairs(binds, &binding);
    table.meet_all(&pairs, &binding, &connecting).await;
    table.talk().await;
    tokio::time::sleep(idle).await;
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
