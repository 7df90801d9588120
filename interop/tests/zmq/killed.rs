//! Processes that are killed (SIGKILL) and started again, where they were.

use std::path::Path;

use interop::{Command, Settings, Sockets, Wire};

use serde_json::json;

use crate::meeting::Table;
use crate::pair::{PAIRS, Side};
use crate::set_up::python;

everywhere! {
    every_pair_talks_again_when_their_process_was_killed_and_started_again
    every_pair_talks_again_when_our_process_was_killed_and_started_again
}

async fn every_pair_talks_again_when_their_process_was_killed_and_started_again(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    table.meet_all(&PAIRS, &Settings::new(), &Settings::new()).await;
    table.talk().await;
    std::mem::replace(&mut table.theirs, Sockets::libzmqs(&python)).kill().await;
    table.open_again(Side::Theirs, &Settings::new()).await;
    table.talk().await;
}

async fn every_pair_talks_again_when_our_process_was_killed_and_started_again(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    table.ours = our_process();
    // Sockets of libzmq notice an end only when their program calls them: until then a routing id is in use, and a
    // subscription is not a new one.
    let settings = Settings { handover: true, verbose: true, ..Settings::new() };
    table.meet_all(&PAIRS, &settings, &settings).await;
    table.talk().await;
    table.theirs.watch("PAIR-PAIR").await;
    std::mem::replace(&mut table.ours, our_process()).kill().await;
    // Nor is there room for a new peer of a PAIR until the program has called it after the old one's end.
    assert!(table.theirs.event("PAIR-PAIR", &["DISCONNECTED"], 30_000).await.is_some());
    assert_eq!(table.ours.run(Command::Nothing {}).await, json!({}));
    assert_eq!(table.theirs.recv_within("PAIR-PAIR", 100).await, None);
    table.open_again(Side::Ours, &settings).await;
    table.talk().await;
}

fn our_process() -> Sockets {
    Sockets::ours_elsewhere(Path::new(env!("CARGO_BIN_EXE_our_sockets")))
}
