//! Messages of all shapes and numbers, on every way of every pair.

use interop::{CurveKeys, Settings, Wire};

use crate::meeting::Table;
use crate::pair::{PAIRS, Side, pair};
use crate::set_up::{python, with_curve};

everywhere! {
    ten_thousand_messages_arrive_in_order
    a_hundred_thousand_messages_arrive_in_order
    messages_of_all_shapes_arrive_as_they_were
}

interop::on_both_wires! {
    parts_of_64_mib_arrive_as_they_were
    messages_of_all_shapes_arrive_as_they_were_inside_curve
    ten_thousand_messages_arrive_in_order_inside_curve
}

async fn ten_thousand_messages_arrive_in_order(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    // A publisher would drop what its subscriber has no time for; libzmq counts roughly.
    let settings = Settings { send_mark: Some(20_000), receive_mark: Some(20_000), ..Settings::new() };
    table.meet_all(&PAIRS, &settings, &settings).await;
    for pair in PAIRS {
        table.count(pair, 10_000).await;
    }
}

async fn a_hundred_thousand_messages_arrive_in_order(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for pair in [pair("DEALER", "DEALER"), pair("PUSH", "PULL"), pair("PULL", "PUSH")] {
        table.meet(pair, Settings::new(), Settings::new()).await;
        table.count(pair, 100_000).await;
    }
}

async fn messages_of_all_shapes_arrive_as_they_were(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    table.meet_all(&PAIRS, &Settings::new(), &Settings::new()).await;
    assert_all_shapes(&mut table).await;
}

async fn messages_of_all_shapes_arrive_as_they_were_inside_curve(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    let (server, client) = with_curve(CurveKeys::generate(), CurveKeys::generate());
    table.meet_all(&PAIRS, &server, &client).await;
    assert_all_shapes(&mut table).await;
}

async fn ten_thousand_messages_arrive_in_order_inside_curve(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    let (server, client) = with_curve(CurveKeys::generate(), CurveKeys::generate());
    let marks = |settings| Settings { send_mark: Some(20_000), receive_mark: Some(20_000), ..settings };
    table.meet_all(&PAIRS, &marks(server), &marks(client)).await;
    for pair in PAIRS {
        table.count(pair, 10_000).await;
    }
}

/// Around each length at which a frame, or libzmq's reading of it, changes; many parts; empty ones at each place.
async fn assert_all_shapes(table: &mut Table) {
    let sizes = [0, 1, 254, 255, 256, 300, 8191, 8192, 8193, 65_536, 1 << 20];
    let many: Vec<usize> = (0..1000).map(|number| number % 300).collect();
    for pair in table.pairs() {
        for size in sizes {
            table.shape(pair, &[size]).await;
        }
        table.shape(pair, &sizes).await;
        table.shape(pair, &many).await;
        table.shape(pair, &[0, 0, 5, 0, 0]).await;
    }
}

async fn parts_of_64_mib_arrive_as_they_were(wire: Wire) {
    const LARGE: usize = 64 << 20;
    let binds = if wire == Wire::Tcp { Side::Ours } else { Side::Theirs };
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    let settings = Settings { largest: Some(LARGE + 1024), ..Settings::new() };
    table.meet_all(&PAIRS, &settings, &settings).await;
    for pair in PAIRS {
        table.shape(pair, &[LARGE]).await;
    }
}
