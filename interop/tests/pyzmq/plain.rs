//! PLAIN: user names and passwords.

use interop::{Direction, Place, Python, Pyzmq, Wire, Wiretap, bounded};
use serde_json::{Value, json};
use transport::core::HandshakeError;
use transport::core::mechanism::{Passwords, PlainClient, PlainServer, Refusal};
use transport::{Connect, ConnectError, Policy, Server};

use crate::set_up::{connect, python, refusal, zmq_address};

interop::on_both_wires! {
    a_client_with_the_right_password_is_its_user
    a_client_with_the_wrong_password_is_refused_and_stays_away
    a_client_whom_the_policy_denies_is_refused_and_stays_away
    a_client_without_a_password_is_refused
    a_server_takes_the_right_password
    a_server_takes_an_empty_password
    a_server_refuses_the_wrong_password_and_this_side_understands
    a_server_without_a_handler_closes
}

async fn a_client_with_the_right_password_is_its_user(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut server, _place) = serve(wire, Policy::user("alice")).await;
    let mut theirs = client(&python, &server, "secret").await;
    theirs.send(&["hello"]).await;
    let mut ours = server.accept().await.unwrap();
    assert_eq!(ours.identity().to_string(), "user:alice");
    assert_eq!(ours.claims().text("Socket-Type"), Some("DEALER"));
    assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some("hello"));
    ours.send("welcome").await.unwrap();
    assert_eq!(theirs.recv().await, ["welcome"]);
}

async fn a_client_with_the_wrong_password_is_refused_and_stays_away(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut server, _place) = serve(wire, Policy::user("alice")).await;
    let mut events = server.events();
    let mut theirs = client(&python, &server, "wrong").await;
    let (_, reason) = refusal(&mut events).await;
    assert!(
        matches!(&*reason, HandshakeError::Refusal(Refusal::Credentials { user }) if user == "alice"),
        "{reason:?}"
    );
    assert_stays_away(&mut theirs).await;
}

async fn a_client_whom_the_policy_denies_is_refused_and_stays_away(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut server, _place) = serve(wire, Policy::user("bob")).await;
    let mut events = server.events();
    let mut theirs = client(&python, &server, "secret").await;
    let (_, reason) = refusal(&mut events).await;
    assert_eq!(reason.to_string(), "user:alice is not allowed by the policy (user:bob)");
    assert_stays_away(&mut theirs).await;
}

async fn a_client_without_a_password_is_refused(wire: Wire) {
    let Some(python) = python() else { return };
    let (mut server, _place) = serve(wire, Policy::user("alice")).await;
    let mut events = server.events();
    let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
    theirs.watch().await;
    theirs.connect(&zmq_address(&server)).await;
    let (_, reason) = refusal(&mut events).await;
    assert!(matches!(&*reason, HandshakeError::Mechanism { offered, .. } if offered == "NULL"), "{reason:?}");
    assert_stays_away(&mut theirs).await;
}

async fn a_server_takes_the_right_password(wire: Wire) {
    assert_admitted(wire, "alice", "secret").await;
}

async fn a_server_takes_an_empty_password(wire: Wire) {
    assert_admitted(wire, "empty", "").await;
}

async fn a_server_refuses_the_wrong_password_and_this_side_understands(wire: Wire) {
    let Some(python) = python() else { return };
    for (user, password) in [("alice", "wrong"), ("nobody", "secret"), ("alice", "")] {
        let (_theirs, connecting, _place) = guarded(wire, &python, user, password).await;
        let error = connecting.await.unwrap_err();
        let ConnectError::Handshake(HandshakeError::RefusedByPeer { reason }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(reason, "400");
    }
}

async fn a_server_without_a_handler_closes(wire: Wire) {
    let Some(python) = python() else { return };
    let place = wire.place();
    let mut theirs = Pyzmq::open(&python, "DEALER", json!({"PLAIN_SERVER": 1})).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    let error = with_password(wire, &endpoint, "alice", "secret").await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Closed)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_wants_no_password_does_not_get_it() {
    let Some(python) = python() else { return };
    bounded(async {
        let place = Wire::Tcp.place();
        let mut theirs = Pyzmq::open(&python, "DEALER", json!({})).await;
        let tap = Wiretap::before(&theirs.bind(&place.zmq()).await).await;
        let error = with_password(Wire::Tcp, &tap.address(), "alice", "secret").await.unwrap_err();
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
        assert_eq!(tap.count(Direction::FromClient, "HELLO"), 0);
    })
    .await;
}

async fn serve(wire: Wire, policy: Policy) -> (Server, Place) {
    let place = wire.place();
    let passwords = Passwords::new().with_user("alice", "secret");
    let server = transport::listen(place.ours())
        .policy(policy)
        .mechanism(PlainServer::new(passwords))
        // Over TCP a password can be read on the way. Here that is this machine.
        .danger_plaintext()
        .start();
    (server.await.unwrap(), place)
}

async fn client(python: &Python, server: &Server, password: &str) -> Pyzmq {
    let options = json!({"PLAIN_USERNAME": "alice", "PLAIN_PASSWORD": password});
    let mut theirs = Pyzmq::open(python, "DEALER", options).await;
    theirs.watch().await;
    theirs.connect(&zmq_address(server)).await;
    theirs
}

/// libzmq comes back 100 to 200 ms after a connection that just broke.
async fn assert_stays_away(theirs: &mut Pyzmq) {
    let failed = ["HANDSHAKE_FAILED_AUTH", "HANDSHAKE_FAILED_PROTOCOL", "HANDSHAKE_FAILED_NO_DETAIL"];
    assert!(theirs.event(&failed, 5000).await.is_some(), "it does not know why");
    assert_eq!(theirs.event(&["CONNECT_RETRIED", "CONNECTED"], 800).await, None);
}

/// A pyzmq server that knows two users, and this side about to connect to it.
async fn guarded(wire: Wire, python: &Python, user: &str, password: &str) -> (Pyzmq, Connect, Place) {
    let place = wire.place();
    let users: Value = json!({"users": {"alice": "secret", "empty": ""}});
    let options = json!({"PLAIN_SERVER": 1});
    let mut theirs = Pyzmq::open_guarded(python, "DEALER", options, users).await;
    let endpoint = theirs.bind(&place.zmq()).await;
    let connecting = with_password(wire, &endpoint, user, password);
    (theirs, connecting, place)
}

fn with_password(wire: Wire, endpoint: &str, user: &str, password: &str) -> Connect {
    let mechanism = PlainClient::new(user, password).unwrap();
    connect(wire, endpoint).mechanism(mechanism).danger_plaintext()
}

async fn assert_admitted(wire: Wire, user: &str, password: &str) {
    let Some(python) = python() else { return };
    let (mut theirs, connecting, _place) = guarded(wire, &python, user, password).await;
    let mut ours = connecting.await.unwrap();
    ours.send("hello").await.unwrap();
    assert_eq!(theirs.recv().await, ["hello"]);
    theirs.send(&["welcome"]).await;
    assert_eq!(ours.recv().await.unwrap().unwrap().to_text(), Some("welcome"));
}
