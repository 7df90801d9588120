//! One connection between this library and pyzmq.

use std::sync::Arc;

use interop::{Place, Python, Pyzmq, Wire, to_ours, to_zmq};
use serde_json::Value;
use transport::core::HandshakeError;
use transport::{Connect, Connection, Identity, Limits, Listen, Server, ServerEvent, ServerEvents};

/// What this library does; pyzmq does the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    OursAccepts,
    OursConnects,
}

/// Two that have met.
pub(crate) struct Meeting {
    pub(crate) ours: Connection,
    pub(crate) theirs: Pyzmq,
    _place: Place,
}

/// The interpreter; without one the test says so and is to return.
pub(crate) fn python() -> Option<Python> {
    Python::with_packages(env!("CARGO_TARGET_TMPDIR"))
}

/// Makes a connection to a pyzmq socket of the type `theirs`.
pub(crate) async fn meet(
    wire: Wire,
    side: Side,
    theirs: &str,
    options: Value,
    limits: Limits,
) -> Option<Meeting> {
    let python = python()?;
    let place = wire.place();
    let mut theirs = Pyzmq::open(&python, theirs, options).await;
    let ours = match side {
        Side::OursAccepts => {
            let mut server = listen(wire, &place).limits(limits).start().await.unwrap();
            theirs.connect(&zmq_address(&server)).await;
            server.accept().await.unwrap()
        }
        Side::OursConnects => {
            let endpoint = theirs.bind(&place.zmq()).await;
            connect(wire, &endpoint).limits(limits).await.unwrap()
        }
    };
    Some(Meeting { ours, theirs, _place: place })
}

/// As this library listens in these tests.
pub(crate) fn listen(wire: Wire, place: &Place) -> Listen {
    transport::listen(place.ours()).policy(wire.policy())
}

/// As this library connects to pyzmq in these tests.
pub(crate) fn connect(wire: Wire, endpoint: &str) -> Connect {
    transport::connect(to_ours(endpoint)).server(wire.policy())
}

/// Where pyzmq reaches a server.
pub(crate) fn zmq_address(server: &Server) -> String {
    to_zmq(&server.local_address().to_string())
}

/// Waits until a peer is turned away: who it was, and why.
pub(crate) async fn refusal(events: &mut ServerEvents) -> (Option<Identity>, Arc<HandshakeError>) {
    loop {
        match events.recv().await.unwrap() {
            ServerEvent::Refused { identity, reason, .. } => return (identity, reason),
            ServerEvent::Accepted { identity, .. } => panic!("{identity} was accepted"),
            _ => {}
        }
    }
}
