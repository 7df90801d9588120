//! Sessions that are resumed, and those that must not be.

use certgen::{RevocationConfig, RevocationReason};
use interop::bounded;
use transport::Policy;
use transport::tls::{TlsEvent, TlsTransport};

use crate::set_up::{Folder, ask_all, connect, echo_server, next, revocation_list, talk};

#[tokio::test]
async fn s_client_resumes_a_session_but_not_once_it_is_revoked() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        folder.write("crl.pem", &revocation_list(&folder, RevocationConfig::default()));
        let config = folder.config("db.example.pem").with_revocation_lists(folder.path("crl.pem"));
        let tls = TlsTransport::with_config(config).unwrap();
        let (port, mut events) = echo_server(&tls, Policy::san_dns("alice")).await;
        let said = talk(folder.client(port, Some("alice.pem"), "-sess_out session")).await;
        assert!(said.contains("Max Early Data: 0"), "{said}");
        next(&mut events).await.unwrap();
        let mut resumed = folder.client(port, Some("alice.pem"), "-sess_in session -sess_out session");
        resumed.hear("Reused, TLSv1.3").await;
        talk(resumed).await;
        assert_eq!(next(&mut events).await, Ok("dns:alice".to_owned()), "a resumed session proves the same");

        let mut reloads = tls.events();
        let alice = certgen::Certificate::read(folder.path("alice.pem")).unwrap();
        let revoked =
            RevocationConfig::default().with_revoked(alice.serial(), RevocationReason::KeyCompromise);
        folder.write("crl.pem", &revocation_list(&folder, revoked));
        assert!(matches!(reloads.recv().await, Some(TlsEvent::Reloaded { .. })));
        let said = folder.client(port, Some("alice.pem"), "-sess_in session").said().await;
        assert!(said.contains("alert certificate unknown") && !said.contains("Reused"), "{said}");
        let logged = next(&mut events).await.unwrap_err();
        assert!(logged.contains("the certificate of CN=alice is revoked"), "{logged}");
    })
    .await;
}

#[tokio::test]
async fn our_client_resumes_a_session_of_s_server() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let (_server, port) = folder.server("db.example.pem", "-www -Verify 1 -verify_return_error").await;
        let tls = folder.tls("alice.pem");
        for kind in ["New, TLSv1.3", "Reused, TLSv1.3"] {
            let mut stream = connect(&tls, port).await.unwrap();
            let page = ask_all(&mut stream, "GET / HTTP/1.0\r\n\r\n").await;
            assert!(page.contains(kind), "{page}");
        }
    })
    .await;
}
