//! Types that do not fit together, peers that stop, and names in place of socket files.

use interop::{Settings, Sockets, Wire};
use rustix::process::{Pid, Signal, kill_process};
use transport::RecvError;
use transport::core::HandshakeError;
use transport::core::framing::FramingError;
use transport_zmq::{Disconnected, SocketEvent};

use crate::meeting::Table;
use crate::pair::{PAIRS, Side, pair};
use crate::set_up::{event, python};

interop::on_both_wires! {
    types_that_do_not_fit_are_refused_by_ours
    types_that_do_not_fit_are_refused_by_theirs
    a_second_peer_of_a_pair_is_turned_away
    a_peer_that_stopped_is_noticed_and_comes_back
}

const TYPES: [&str; 11] =
    ["REQ", "REP", "DEALER", "ROUTER", "PUB", "SUB", "XPUB", "XSUB", "PUSH", "PULL", "PAIR"];

/// Pairs that RFC 37 does not allow, all hundred of them.
fn strangers() -> Vec<(&'static str, &'static str)> {
    let all = TYPES.into_iter().flat_map(|ours| TYPES.map(|theirs| (ours, theirs)));
    let strangers: Vec<_> = all.filter(|(ours, theirs)| !PAIRS.contains(&pair(ours, theirs))).collect();
    assert_eq!(strangers.len(), 100);
    strangers
}

async fn types_that_do_not_fit_are_refused_by_ours(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut ours, mut theirs) = (Sockets::ours(), Sockets::libzmqs(&python));
    for (our_type, their_type) in strangers() {
        let name = &format!("{our_type} and {their_type}");
        let place = wire.place();
        ours.open(name, our_type, settings(wire)).await;
        let endpoint = ours.bind(name, &place.zmq()).await;
        let mut events = ours.here().socket(name).events();
        theirs.open(name, their_type, Settings::new()).await;
        theirs.connect(name, &endpoint).await;
        let reason = event(&mut events, |event| match event {
            SocketEvent::HandshakeFailed { reason, .. } => Some(reason),
            SocketEvent::Connected { peer } => panic!("{name}: {peer:?} was let in"),
            _ => None,
        });
        let reason = reason.await;
        assert!(
            matches!(&*reason, HandshakeError::Framing(FramingError::Incompatible { theirs, .. }) if theirs == their_type),
            "{name}: {reason:?}"
        );
        theirs.close(name).await;
    }
}

/// libzmq closes when it reads our READY; whether its own has come by then is a matter of luck.
async fn types_that_do_not_fit_are_refused_by_theirs(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut ours, mut theirs) = (Sockets::ours(), Sockets::libzmqs(&python));
    for (our_type, their_type) in strangers() {
        let name = &format!("{our_type} and {their_type}");
        let place = wire.place();
        theirs.open(name, their_type, Settings::new()).await;
        let endpoint = theirs.bind(name, &place.zmq()).await;
        ours.open(name, our_type, settings(wire)).await;
        ours.connect(name, &endpoint).await;
        let mut events = ours.here().socket(name).events();
        event(&mut events, |event| match event {
            SocketEvent::ConnectFailed { .. } => Some(()),
            SocketEvent::Connected { peer } => panic!("{name}: {peer:?} was let in"),
            _ => None,
        })
        .await;
        ours.close(name).await;
    }
}

async fn a_second_peer_of_a_pair_is_turned_away(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    let couple = pair("PAIR", "PAIR");
    let endpoint = table.meet_at(couple, Settings::new(), Settings::new()).await;
    let mut events = table.ours.here().socket(&couple.name()).events();
    event(&mut events, |event| matches!(event, SocketEvent::Connected { .. }).then_some(())).await;
    table.theirs.open("second", "PAIR", Settings::new()).await;
    table.theirs.connect("second", &endpoint).await;
    let reason = event(&mut events, |event| match event {
        SocketEvent::Rejected { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await.to_string(), "the pair is complete");
    table.say(couple, &["still the first"]).await;
    // As soon as there is room, the second one has it.
    table.theirs.close(&couple.name()).await;
    table.theirs.send("second", &["my turn"]).await;
    assert_eq!(table.ours.recv(&couple.name()).await, ["my turn"]);
}

async fn a_peer_that_stopped_is_noticed_and_comes_back(wire: Wire) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    let workers = pair("PULL", "PUSH");
    let soon = Settings { heartbeat: Some(50), dead_after: Some(300), ..Settings::new() };
    table.meet(workers, soon, Settings::new()).await;
    table.say(workers, &["before"]).await;
    let mut events = table.ours.here().socket(&workers.name()).events();
    // SIGSTOP: the process is there, its sockets too, but nothing answers.
    let pid = i32::try_from(table.theirs.pid()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let reason = event(&mut events, |event| match event {
        SocketEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    let Disconnected::Receive(error) = &reason else { panic!("{reason:?}") };
    assert!(matches!(**error, RecvError::Framing(FramingError::Silent { .. })), "{error:?}");
    kill_process(pid, Signal::CONT).unwrap();
    table.say(workers, &["after"]).await;
}

#[tokio::test]
async fn abstract_names_lead_from_either_side_to_the_other() {
    let Some(python) = python() else { return };
    interop::bounded(async {
        let (mut ours, mut theirs) = (Sockets::ours(), Sockets::libzmqs(&python));
        let name = |side: &str| format!("ipc://@interop-{}-{side}", std::process::id());
        ours.open("bound", "PULL", settings(Wire::Ipc)).await;
        theirs.open("bound", "PULL", settings(Wire::Ipc)).await;
        ours.bind("bound", &name("ours")).await;
        theirs.bind("bound", &name("theirs")).await;
        assert_reaches(&mut theirs, &mut ours, &name("ours")).await;
        assert_reaches(&mut ours, &mut theirs, &name("theirs")).await;
    })
    .await;
}

async fn assert_reaches(from: &mut Sockets, to: &mut Sockets, place: &str) {
    from.open("connected", "PUSH", settings(Wire::Ipc)).await;
    from.connect("connected", place).await;
    from.send("connected", &["hello"]).await;
    assert_eq!(to.recv("bound").await, ["hello"]);
}

fn settings(wire: Wire) -> Settings {
    Settings { wire: Some(wire.name().to_owned()), ..Settings::new() }
}
