//! What is refused by default, on both sides, before a byte goes out.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use common::*;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use transport_core::mechanism::{Null, Passwords, PlainClient, PlainServer};
use transport_core::tcp::TcpTransport;
use transport_core::{
    ConfigError, Connect, ConnectError, HandshakeError, Listen, ListenError, Policy, Transports,
};

fn transports() -> Transports {
    Transports::new().with(TcpTransport::new())
}

fn plain_server() -> PlainServer {
    PlainServer::new(Passwords::new().with_user("admin", "secret"))
}

/// Connects with these settings to a server that only listens, and returns the error and what the server received.
async fn connect_to_a_stranger(settings: impl FnOnce(Connect) -> Connect) -> (HandshakeError, Vec<u8>) {
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", stranger.local_addr().unwrap());
    let accepted = async {
        let (mut stream, _) = stranger.accept().await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        received
    };
    let connect = settings(Connect::new(&transports(), &address));
    let (connected, received) = tokio::join!(connect, accepted);
    let Err(ConnectError::Handshake(error)) = connected else { panic!("{connected:?}") };
    (error, received)
}

#[tokio::test]
async fn a_client_that_was_not_told_who_the_server_may_be_sends_nothing() {
    let (error, received) = connect_to_a_stranger(|connect| connect).await;
    assert_eq!(error.to_string(), "anonymous is not allowed by the policy (nobody)");
    assert_eq!(received, b"");
}

#[tokio::test]
async fn a_password_is_not_sent_to_whoever_took_the_port_first() {
    let plain = || PlainClient::new("admin", "secret").unwrap();
    let policy = Policy::danger_anyone;
    let (error, received) =
        connect_to_a_stranger(|connect| connect.server(policy()).mechanism(plain())).await;
    assert!(matches!(error, HandshakeError::Unprotected(_)), "{error}");
    assert!(error.to_string().contains("danger_plaintext()"), "{error}");
    assert_eq!(received, b"");

    // Nor to a server that the policy denies, whatever else was allowed.
    let connect = |connect: Connect| connect.server(Policy::uid(0)).mechanism(plain()).danger_plaintext();
    let (error, received) = connect_to_a_stranger(connect).await;
    assert!(matches!(error, HandshakeError::Denied(_)), "{error}");
    assert_eq!(received, b"");
}

#[tokio::test]
async fn a_listener_whose_mechanism_is_too_weak_for_its_stream_does_not_start() {
    let at = |address: &str| Listen::new(&transports(), address).policy(Policy::danger_anyone());
    for listen in [
        at("tcp://0.0.0.0:0"),
        at("tcp://[::]:0"),
        at("tcp://0.0.0.0:0").mechanism(plain_server()),
        at("tcp://127.0.0.1:0").mechanism(plain_server()),
        at("tcp://127.0.0.1:0").mechanism(Null).mechanism(plain_server()),
    ] {
        let error = listen.start().await.unwrap_err();
        assert!(matches!(error, ListenError::Unprotected(_)), "{error}");
    }
    at("tcp://127.0.0.1:0").start().await.unwrap();
    at("tcp://0.0.0.0:0").danger_plaintext().start().await.unwrap();
    at("tcp://127.0.0.1:0").mechanism(plain_server()).danger_plaintext().start().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_not_told_who_may_in_refuses_everyone() {
    let mut server = Listen::new(&transports(), "tcp://127.0.0.1:0").start().await.unwrap();
    let mut events = server.events();
    let address = server.local_address().to_string();
    let refused = Connect::new(&transports(), &address).server(Policy::danger_anyone()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the peer refused this side: 400 (it does not let this side in)");
    assert!(matches!(*next_refusal(&mut events).await, HandshakeError::Denied(_)));
}

#[tokio::test]
async fn settings_that_contradict_each_other_say_so() {
    let address = "tcp://127.0.0.1:1";
    let error = Connect::new(&transports(), address).mechanism(plain_server()).await.unwrap_err();
    assert_eq!(error.to_string(), "this PLAIN mechanism is for the accepting side");
    let listen = || Listen::new(&transports(), "tcp://127.0.0.1:0").danger_plaintext();
    let error = listen().mechanism(PlainClient::new("a", "b").unwrap()).start().await.unwrap_err();
    assert_eq!(error.to_string(), "this PLAIN mechanism is for the connecting side");
    let error = listen().mechanism(plain_server()).mechanism(plain_server()).start().await.unwrap_err();
    assert!(matches!(error, ListenError::Config(ConfigError::MechanismTwice { name: "PLAIN" })));
}

#[tokio::test]
async fn addresses_that_cannot_be_used_say_why() {
    let connect = async |address: &str| Connect::new(&transports(), address).await.unwrap_err().to_string();
    assert!(connect("tcp://").await.contains("names no place"));
    assert!(connect("quic://a:1").await.contains("known are tcp"));
    assert!(connect("tcp://127.0.0.1:0").await.contains("nobody listens at port 0"));
    assert!(connect("tcp:///a").await.contains("write tcp://host:port"));
    assert!(connect("tcp://a:1?x=1").await.contains("no parameter \"x\""));
}
