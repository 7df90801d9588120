//! Sockets that do not fit together.

use interop::{Pyzmq, Wire};
use serde_json::json;
use transport::ConnectError;
use transport::core::HandshakeError;
use transport::core::framing::FramingError;

use crate::set_up::{connect, listen, python, refusal, zmq_address};

interop::on_both_wires! {
    a_push_client_is_refused_and_stays_away
    a_rep_client_is_refused
    a_pull_server_and_this_side_do_not_fit_together
    a_client_with_a_password_for_a_server_that_wants_none_is_refused
}

async fn a_push_client_is_refused_and_stays_away(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut server = listen(wire, &place).start().await.unwrap();
    let mut events = server.events();
    let mut theirs = Pyzmq::open(&python, "PUSH", json!({})).await;
    theirs.watch().await;
    theirs.connect(&zmq_address(&server)).await;
    let (_, reason) = refusal(&mut events).await;
    assert_eq!(reason.to_string(), "the peer is a PUSH socket, which a ROUTER socket does not talk to");
    assert!(theirs.event(&["DISCONNECTED"], 5000).await.is_some());
    // libzmq comes back 100 to 200 ms after a connection that just broke.
    assert_eq!(theirs.event(&["CONNECT_RETRIED", "CONNECTED"], 800).await, None);
}

async fn a_rep_client_is_refused(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut server = listen(wire, &place).start().await.unwrap();
    let mut events = server.events();
    let mut theirs = Pyzmq::open(&python, "REP", json!({})).await;
    theirs.connect(&zmq_address(&server)).await;
    let (_, reason) = refusal(&mut events).await;
    assert!(
        matches!(&*reason, HandshakeError::Framing(FramingError::Incompatible { theirs, .. }) if theirs == "REP"),
        "{reason:?}"
    );
}

/// libzmq closes when it reads our READY; whether its own READY has come by then is a matter of luck.
async fn a_pull_server_and_this_side_do_not_fit_together(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut theirs = Pyzmq::open(&python, "PULL", json!({})).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    let error = connect(wire, &endpoint).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Handshake(
                HandshakeError::Framing(FramingError::Incompatible { .. })
                    | HandshakeError::Closed
                    | HandshakeError::Io(_)
            )
        ),
        "{error:?}"
    );
}

async fn a_client_with_a_password_for_a_server_that_wants_none_is_refused(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut server = listen(wire, &place).start().await.unwrap();
    let mut events = server.events();
    let options = json!({"PLAIN_USERNAME": "alice", "PLAIN_PASSWORD": "secret"});
    let mut theirs = Pyzmq::open(&python, "DEALER", options).await;
    theirs.connect(&zmq_address(&server)).await;
    let (_, reason) = refusal(&mut events).await;
    assert_eq!(reason.to_string(), "the peer wants the mechanism PLAIN, this side has NULL");
}
