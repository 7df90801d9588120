//! Sockets that keep only the newest message, on either side.
//!
//! All messages here have one part: libzmq tears others apart.

use interop::{Place, Settings, Sockets, Wire};
use transport_zmq::{Disconnected, SocketEvent};

use crate::meeting::Table;
use crate::pair::{Pair, Side, pair};
use crate::set_up::{event, python};

everywhere! {
    who_conflates_what_comes_gives_the_newest_and_holds_up_nobody
    who_conflates_what_goes_out_is_held_up_by_nobody_and_the_newest_arrives
}

interop::on_both_wires! {
    of_all_that_their_sender_left_behind_our_receiver_has_the_newest
    of_all_that_was_sent_to_nobody_the_newest_is_kept
}

/// Together several times what the kernel's buffers take.
const LARGE: usize = 64 << 10;
const MANY: u64 = 1200;

/// As long as nothing shall come for, in milliseconds.
const QUIET: u64 = 150;

/// The types that conflate in both libraries: who sends, and who receives.
const TYPES: [(&str, &str); 3] = [("PUSH", "PULL"), ("PUB", "SUB"), ("DEALER", "DEALER")];

async fn who_conflates_what_comes_gives_the_newest_and_holds_up_nobody(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for (sends, receives) in each_way() {
        // A publisher has to wait, since the newest is not to be dropped.
        let sender = Settings { send_mark: Some(10), no_drop: true, ..Settings::new() };
        let (name, _place) = &meet(&mut table, sends, receives, sender, conflating()).await;
        let (from, to) = table.both(sends.side);
        from.send_numbers_from(0, name, &[], MANY, LARGE).await;
        let received = to.recv_up_to(name, MANY - 1).await;
        assert!(received < MANY / 2, "{name}, {:?} sends: {received}", sends.side);
        assert_eq!(to.recv_within(name, 0).await, None);
        close(&mut table, name).await;
    }
}

async fn who_conflates_what_goes_out_is_held_up_by_nobody_and_the_newest_arrives(wire: Wire, binds: Side) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, binds);
    for (sends, receives) in each_way() {
        let receiver = Settings { receive_mark: Some(10), ..Settings::new() };
        let (name, _place) = &meet(&mut table, sends, receives, conflating(), receiver).await;
        let (from, to) = table.both(sends.side);
        assert_eq!(from.fill(name, &[], LARGE, MANY).await, MANY, "{name}, {:?} sends", sends.side);
        let received = to.recv_up_to(name, MANY - 1).await;
        assert!(received < MANY / 2, "{name}, {:?} sends: {received}", sends.side);
        assert_eq!(to.recv_within(name, QUIET).await, None);
        close(&mut table, name).await;
    }
}

/// Everything has been read when its end is told: exactly one message is kept. (A libzmq that conflates has none then: the end
/// of its pipe takes the place of the newest message.)
async fn of_all_that_their_sender_left_behind_our_receiver_has_the_newest(wire: Wire) {
    let Some(python) = python() else { return };
    for (sends, receives) in each_way().filter(|(sends, _)| sends.side == Side::Theirs) {
        for binds in [Side::Ours, Side::Theirs] {
            let mut table = Table::new(&python, wire, binds);
            let sender = Settings { send_mark: Some(20_000), linger: 25_000, ..Settings::new() };
            let (name, _place) = &meet(&mut table, sends, receives, sender, conflating()).await;
            let mut events = table.ours.here().socket(name).events();
            table.theirs.send_numbers_from(0, name, &[], MANY, LARGE).await;
            table.theirs.close(name).await;
            let reason = event(&mut events, |event| match event {
                SocketEvent::Disconnected { reason, .. } => Some(reason),
                _ => None,
            });
            assert!(matches!(reason.await, Disconnected::ByPeer));
            table.ours.recv_numbers_from(MANY - 1, name, 1).await;
            assert_eq!(table.ours.recv_within(name, 0).await, None, "{name}");
        }
    }
}

async fn of_all_that_was_sent_to_nobody_the_newest_is_kept(wire: Wire) {
    let Some(python) = python() else { return };
    // Publishers drop what nobody has subscribed to.
    for (sends, receives) in each_way().filter(|(sends, _)| sends.r#type != "PUB") {
        let mut place = wire.place();
        let endpoint = wire.unused(&mut place);
        let mut table = Table::new(&python, wire, receives.side);
        let pair = pair_of(sends, receives);
        let name = &pair.name();
        table.open(pair, sends.side, conflating(), &endpoint).await;
        let (from, to) = table.both(sends.side);
        from.send_numbers_from(0, name, &[], MANY, 0).await;
        to.open(name, receives.r#type, on(wire, Settings::new())).await;
        to.bind(name, &endpoint).await;
        to.recv_numbers_from(MANY - 1, name, 1).await;
        assert_eq!(to.recv_within(name, QUIET).await, None, "{name}, {:?} sends", sends.side);
    }
}

/// One end of a way for messages.
#[derive(Clone, Copy)]
struct End {
    side: Side,
    r#type: &'static str,
}

/// Each of the types, with either side sending.
fn each_way() -> impl Iterator<Item = (End, End)> {
    TYPES.into_iter().flat_map(|(sends, receives)| {
        [Side::Ours, Side::Theirs]
            .map(|side| (End { side, r#type: sends }, End { side: side.other(), r#type: receives }))
    })
}

fn pair_of(sends: End, receives: End) -> Pair {
    match sends.side {
        Side::Ours => pair(sends.r#type, receives.r#type),
        Side::Theirs => pair(receives.r#type, sends.r#type),
    }
}

fn conflating() -> Settings {
    Settings { conflate: true, ..Settings::new() }
}

fn on(wire: Wire, settings: Settings) -> Settings {
    Settings { wire: Some(wire.name().to_owned()), ..settings }
}

/// Opens both sockets, and waits until the receiver hears the sender and has nothing left; tells their name, and where.
async fn meet(
    table: &mut Table,
    sends: End,
    receives: End,
    sender: Settings,
    receiver: Settings,
) -> (String, Place) {
    let pair = pair_of(sends, receives);
    let place = table.wire.place();
    let settings = |side| if side == sends.side { sender.clone() } else { receiver.clone() };
    let binds = table.binds;
    let endpoint = table.open(pair, binds, settings(binds), &place.zmq()).await;
    table.open(pair, binds.other(), settings(binds.other()), &endpoint).await;
    let name = pair.name();
    let (from, to) = table.both(sends.side);
    until_heard(from, to, &name).await;
    (name, place)
}

async fn close(table: &mut Table, name: &str) {
    for side in [Side::Ours, Side::Theirs] {
        table.side(side).close(name).await;
    }
}

/// A PUB does not tell of subscriptions; and what conflates may drop any word but the last.
async fn until_heard(from: &mut Sockets, to: &mut Sockets, name: &str) {
    loop {
        from.send(name, &["are you there?"]).await;
        if to.recv_within(name, 10).await.is_some() {
            break;
        }
    }
    from.send(name, &["good"]).await;
    while to.recv(name).await != ["good"] {}
}
