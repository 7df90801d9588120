//! Who meets openssl, and who it is.

use interop::bounded;
use transport::Policy;
use transport::tls::{TlsConfig, TlsTransport, Trust};

use crate::set_up::{Folder, ask, connect, echo_server, next, not_asked};

#[tokio::test]
async fn s_client_with_a_certificate_is_known() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let (port, mut events) = echo_server(&folder.tls("db.example.pem"), Policy::san_dns("alice")).await;
        let mut client = folder.client(port, Some("alice.pem"), "");
        client.hear("ALPN protocol: zmtp/3.1").await;
        client.say("hello there").await;
        client.hear("hello there").await;
        assert_eq!(next(&mut events).await, Ok("dns:alice".to_owned()));
        client.end().await;
    })
    .await;
}

#[tokio::test]
async fn s_client_without_a_certificate_is_anonymous() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let tls = not_asked(folder.config("db.example.pem"));
        let (port, mut events) = echo_server(&tls, Policy::danger_anyone()).await;
        let mut client = folder.client(port, None, "");
        client.say("hello there").await;
        client.hear("hello there").await;
        assert_eq!(next(&mut events).await, Ok("anonymous".to_owned()));
        client.end().await;
    })
    .await;
}

#[tokio::test]
async fn s_server_is_met_with_and_without_a_certificate() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let (_server, port) = folder.server("db.example.pem", "-rev -Verify 1 -verify_return_error").await;
        let mut stream = connect(&folder.tls("alice.pem"), port).await.unwrap();
        assert_eq!(ask(&mut stream, "hello").await, "olleh");
        assert_eq!(stream.evidence.channel_binding().unwrap().value.len(), 32);

        let (_server, port) = folder.server("db.example.pem", "-rev").await;
        let without = TlsConfig::new().with_trust(Trust::ca_file(folder.path("ca.pem")));
        let mut stream = connect(&TlsTransport::with_config(without).unwrap(), port).await.unwrap();
        assert_eq!(ask(&mut stream, "hello").await, "olleh");
    })
    .await;
}

/// The hybrid key exchange comes first; openssl knows it from version 3.5 on, and meets us with its X25519 part before.
#[tokio::test]
async fn an_openssl_without_the_hybrid_key_exchange_agrees_on_x25519_in_one_round_trip() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let (port, _events) = echo_server(&folder.tls("db.example.pem"), Policy::san_dns("alice")).await;
        let mut client = folder.client(port, Some("alice.pem"), "-groups X25519");
        client.hear("Temp Key: X25519, 253 bits").await;

        let (mut server, port) = folder.server("db.example.pem", "-naccept 1 -msg -groups X25519").await;
        let stream = connect(&folder.tls("alice.pem"), port).await.unwrap();
        drop(stream);
        let said = server.said().await;
        assert_eq!(said.matches(", ClientHello").count(), 1, "{said}");
    })
    .await;
}
