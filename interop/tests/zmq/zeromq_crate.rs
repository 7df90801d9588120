//! The sockets of the crate `zeromq` as the other side: ZMTP 3.0, and no PAIR.

use interop::{Settings, Sockets, Wire};

use crate::meeting::Table;
use crate::pair::{PAIRS, Pair, Side};

everywhere! {
    every_pair_talks
    messages_of_all_shapes_arrive_as_they_were
    two_thousand_messages_arrive_in_order
}

fn table(wire: Wire, binds: Side) -> Table {
    Table::with(Sockets::crates(), wire, binds)
}

fn pairs() -> impl Iterator<Item = Pair> {
    PAIRS.into_iter().filter(|pair| pair.theirs != "PAIR")
}

async fn every_pair_talks(wire: Wire, binds: Side) {
    let mut table = table(wire, binds);
    for pair in pairs() {
        table.meet(pair, Settings::new(), Settings::new()).await;
    }
    table.talk().await;
}

async fn messages_of_all_shapes_arrive_as_they_were(wire: Wire, binds: Side) {
    let mut table = table(wire, binds);
    for pair in pairs() {
        table.meet(pair, Settings::new(), Settings::new()).await;
        for sizes in [&[0][..], &[255], &[256], &[65_536], &[1 << 20], &[0, 5, 0, 300, 0]] {
            table.shape(pair, sizes).await;
        }
    }
}

async fn two_thousand_messages_arrive_in_order(wire: Wire, binds: Side) {
    let mut table = table(wire, binds);
    let marks = Settings { send_mark: Some(5000), receive_mark: Some(5000), ..Settings::new() };
    for pair in pairs() {
        table.meet(pair, marks.clone(), marks.clone()).await;
        table.count(pair, 2000).await;
    }
}
