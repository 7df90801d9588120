//! TLS 1.2, for peers that know nothing newer: only where it is spelled out.

use std::future::poll_fn;

use interop::bounded;
use transport::Policy;
use transport::core::{Established, Incoming, Listener, Proof, Transport as _};
use transport::tls::TlsTransport;

use crate::resumption::resumed_until_revoked;
use crate::set_up::{Folder, ask, ask_all, chain, connect, echo_server, next};

const REFUSED: &str = "the peer speaks no version of TLS that is wanted here";

fn legacy(folder: &Folder, own: &str) -> TlsTransport {
    TlsTransport::with_config(folder.config(own).danger_allow_tls12()).unwrap()
}

async fn accept(listener: &mut dyn Listener) -> Established {
    match poll_fn(|cx| listener.poll_accept(cx)).await.unwrap() {
        Incoming::Handshake { opening, .. } => opening.await.unwrap(),
        Incoming::Established(_) => panic!("there is a handshake to do"),
    }
}

/// The names that the evidence proves.
fn names(peer: &Established) -> &[String] {
    match peer.evidence.proofs() {
        [Proof::Certificate(certificate)] => &certificate.dns_names,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn s_client_of_tls_1_2_is_let_in_where_that_is_allowed_and_there_is_no_binding() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let tls = legacy(&folder, "db.example.pem");
        let mut listener = tls.listen(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (_, port) = listener.local_address().host_port().unwrap();
        for (version, shown, binding) in [("-tls1_2", "New, TLSv1.2", false), ("", "New, TLSv1.3", true)] {
            let mut client = folder.client(port, Some("alice.pem"), version);
            let peer = accept(&mut *listener).await;
            client.hear(shown).await;
            client.hear("ALPN protocol: zmtp/3.1").await;
            assert_eq!(peer.evidence.channel_binding().is_some(), binding, "{version}");
            assert_eq!(names(&peer), ["alice"]);
        }
    })
    .await;
}

#[tokio::test]
async fn s_server_of_tls_1_2_is_met_where_that_is_allowed_and_there_is_no_binding() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let tls = legacy(&folder, "alice.pem");
        for (version, binding) in [("-tls1_2", false), ("", true)] {
            let more = format!("-rev -Verify 1 -verify_return_error {version}");
            let (_server, port) = folder.server("db.example.pem", &more).await;
            let mut stream = connect(&tls, port).await.unwrap();
            assert_eq!(ask(&mut stream, "hello").await, "olleh");
            assert_eq!(stream.evidence.channel_binding().is_some(), binding, "{version}");
            assert_eq!(names(&stream), ["db.example"]);
        }
    })
    .await;
}

#[tokio::test]
async fn s_client_of_an_older_version_is_refused_with_that_reason() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        for (tls, version, alert) in [
            (folder.tls("db.example.pem"), "-tls1_2", "alert protocol version"),
            (folder.tls("db.example.pem"), "-tls1_1", "alert handshake failure"),
            (legacy(&folder, "db.example.pem"), "-tls1_1", "alert handshake failure"),
        ] {
            let (port, mut events) = echo_server(&tls, Policy::danger_anyone()).await;
            let said = folder.client(port, Some("alice.pem"), version).said().await;
            assert!(said.contains(alert), "{said}");
            let logged = next(&mut events).await.unwrap_err();
            assert!(logged.contains(REFUSED), "{logged}");
        }
    })
    .await;
}

#[tokio::test]
async fn s_server_of_an_older_version_is_refused_with_that_reason() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        // It sees from our hello that there is nothing in common, and says so.
        let (_server, port) = folder.server("db.example.pem", "-rev -tls1_2").await;
        let logged = chain(&connect(&folder.tls("alice.pem"), port).await.map(|_| ()).unwrap_err());
        assert!(logged.contains("it does not speak this side's version of TLS"), "{logged}");
        let (_server, port) = folder.server("db.example.pem", "-rev -tls1_1").await;
        let logged = chain(&connect(&legacy(&folder, "alice.pem"), port).await.map(|_| ()).unwrap_err());
        assert!(logged.contains("it does not speak this side's version of TLS"), "{logged}");
    })
    .await;
}

#[tokio::test]
async fn a_session_of_tls_1_2_is_resumed_but_not_once_the_client_is_revoked() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let config = folder.config("db.example.pem").danger_allow_tls12();
        resumed_until_revoked(&folder, config, "-tls1_2", "TLSv1.2").await;
    })
    .await;
}

#[tokio::test]
async fn our_client_resumes_a_session_of_s_server_of_tls_1_2() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let more = "-www -Verify 1 -verify_return_error -tls1_2";
        let (_server, port) = folder.server("db.example.pem", more).await;
        let tls = legacy(&folder, "alice.pem");
        for kind in ["New, TLSv1.2", "Reused, TLSv1.2"] {
            let mut stream = connect(&tls, port).await.unwrap();
            let page = ask_all(&mut stream, "GET / HTTP/1.0\r\n\r\n").await;
            assert!(page.contains(kind), "{page}");
        }
    })
    .await;
}
