//! Who may not in: each pair, with the reason in our events.

use interop::{CurveKeys, Settings, Wire};
use transport::ConnectError;
use transport::core::HandshakeError;
use transport::core::mechanism::Refusal;
use transport_zmq::SocketEvent;

use crate::meeting::Table;
use crate::pair::{PAIRS, Side};
use crate::set_up::{USER, event, python, users, with_curve};

interop::on_both_wires! {
    a_client_with_the_wrong_password_is_refused_and_the_event_says_so
    a_server_that_refuses_our_password_is_understood
    a_client_with_the_wrong_server_key_is_refused_and_the_event_says_so
    a_server_with_another_key_than_we_expect_is_noticed
    a_client_with_an_unknown_key_is_refused_and_the_event_says_so
    a_server_that_does_not_know_our_key_is_understood
    a_client_without_a_mechanism_is_refused_and_the_event_says_so
    a_server_that_wants_no_password_does_not_let_us_in
}

async fn a_client_with_the_wrong_password_is_refused_and_the_event_says_so(wire: Wire) {
    let (server, client) = with_password("wrong");
    assert_refused(wire, server, client, |reason| {
        assert!(
            matches!(reason, HandshakeError::Refusal(Refusal::Credentials { user }) if user == "alice"),
            "{reason:?}"
        );
    })
    .await;
}

async fn a_server_that_refuses_our_password_is_understood(wire: Wire) {
    let (server, client) = with_password("wrong");
    assert_understood(wire, server, client, assert_told).await;
}

async fn a_client_with_the_wrong_server_key_is_refused_and_the_event_says_so(wire: Wire) {
    let (server, client) = with_a_wrong_server_key();
    assert_refused(wire, server, client, |reason| {
        assert!(matches!(reason, HandshakeError::Refusal(Refusal::Malformed { .. })), "{reason:?}");
        assert!(reason.to_string().contains("HELLO"), "{reason}");
    })
    .await;
}

/// It says nothing: a client that does not know its key may not know that it is there.
async fn a_server_with_another_key_than_we_expect_is_noticed(wire: Wire) {
    let (server, client) = with_a_wrong_server_key();
    assert_understood(wire, server, client, |error| {
        assert!(
            matches!(error, ConnectError::Handshake(HandshakeError::Closed | HandshakeError::Io(_))),
            "{error:?}"
        );
    })
    .await;
}

async fn a_client_with_an_unknown_key_is_refused_and_the_event_says_so(wire: Wire) {
    let (server, client, key) = with_an_unknown_key();
    assert_refused(wire, server, client, |reason| {
        let said = reason.to_string();
        let key: transport_zmq::curve::CurvePublicKey = key.parse().unwrap();
        assert!(said.starts_with(&format!("curve:{} is not allowed", key.to_hex())), "{said}");
    })
    .await;
}

async fn a_server_that_does_not_know_our_key_is_understood(wire: Wire) {
    let (server, client, _) = with_an_unknown_key();
    assert_understood(wire, server, client, assert_told).await;
}

async fn a_client_without_a_mechanism_is_refused_and_the_event_says_so(wire: Wire) {
    let (server, _) = with_curve(CurveKeys::generate(), CurveKeys::generate());
    assert_refused(wire, server, Settings::new(), |reason| {
        assert_eq!(reason.to_string(), "the peer wants the mechanism NULL, this side has CURVE");
    })
    .await;
}

async fn a_server_that_wants_no_password_does_not_let_us_in(wire: Wire) {
    let (_, client) = with_password(USER[1]);
    assert_understood(wire, Settings::new(), client, |error| {
        // libzmq closes as soon as it has read our greeting, mostly before it has sent its own to the end.
        assert!(
            matches!(
                error,
                ConnectError::Handshake(
                    HandshakeError::Mechanism { .. } | HandshakeError::Closed | HandshakeError::Io(_)
                )
            ),
            "{error:?}"
        );
    })
    .await;
}

fn assert_told(error: &ConnectError) {
    let ConnectError::Handshake(HandshakeError::RefusedByPeer { reason }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(reason, "400");
}

fn with_password(password: &str) -> (Settings, Settings) {
    let (mut server, mut client) = (Settings::new(), Settings::new());
    server.security.plain_server = Some(users());
    client.security.plain_client = Some((USER[0].to_owned(), password.to_owned()));
    (server, client)
}

fn with_a_wrong_server_key() -> (Settings, Settings) {
    let (server, mut client) = with_curve(CurveKeys::generate(), CurveKeys::generate());
    if let Some(keys) = &mut client.security.curve_client {
        keys.server = CurveKeys::generate().public;
    }
    (server, client)
}

/// And which key that is.
fn with_an_unknown_key() -> (Settings, Settings, String) {
    let (mut server, client) = with_curve(CurveKeys::generate(), CurveKeys::generate());
    if let Some(keys) = &mut server.security.curve_server {
        keys.known = vec![CurveKeys::generate().public];
    }
    let key = client.security.curve_client.as_ref().unwrap().public.clone();
    (server, client, key)
}

/// Ours binds: its event has the reason, and nobody is let in.
async fn assert_refused(wire: Wire, server: Settings, client: Settings, check: impl Fn(&HandshakeError)) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Ours);
    for pair in PAIRS {
        let (place, name) = (wire.place(), pair.name());
        let endpoint = table.open(pair, Side::Ours, server.clone(), &place.zmq()).await;
        let mut events = table.ours.here().socket(&name).events();
        table.open(pair, Side::Theirs, client.clone(), &endpoint).await;
        let reason = event(&mut events, |event| match event {
            SocketEvent::HandshakeFailed { reason, .. } => Some(reason),
            SocketEvent::Connected { peer } => panic!("{peer:?} was let in"),
            _ => None,
        });
        check(&*reason.await);
        assert!(table.ours.here().socket(&name).peers().is_empty());
        table.theirs.close(&name).await;
    }
}

/// Ours connects: its event has what went wrong.
async fn assert_understood(wire: Wire, server: Settings, client: Settings, check: impl Fn(&ConnectError)) {
    let Some(python) = python() else { return };
    let mut table = Table::new(&python, wire, Side::Theirs);
    for pair in PAIRS {
        let (place, name) = (wire.place(), pair.name());
        let endpoint = table.open(pair, Side::Theirs, server.clone(), &place.zmq()).await;
        table.open(pair, Side::Ours, client.clone(), &endpoint).await;
        let mut events = table.ours.here().socket(&name).events();
        let error = event(&mut events, |event| match event {
            SocketEvent::ConnectFailed { error, .. } => Some(error),
            SocketEvent::Connected { peer } => panic!("{peer:?} let this side in"),
            _ => None,
        });
        check(&*error.await);
        table.ours.close(&name).await;
    }
}
