//! Sessions that are resumed, and those that must not be.

use certgen::{RevocationConfig, RevocationReason};
use interop::bounded;
use transport::Policy;
use transport::tls::{TlsConfig, TlsEvent, TlsTransport};

use crate::set_up::{Folder, ask_all, connect, echo_server, next, revocation_list, talk};

#[tokio::test]
async fn s_client_resumes_a_session_but_not_once_it_is_revoked() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let said = resumed_until_revoked(&folder, folder.config("db.example.pem"), "", "TLSv1.3").await;
        assert!(said.contains("Max Early Data: 0"), "{said}");
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

/// A session of alice's is resumed while she is not revoked, and not when she is; tells what `s_client` said of the first.
pub(crate) async fn resumed_until_revoked(
    folder: &Folder,
    config: TlsConfig,
    option: &str,
    version: &str,
) -> String {
    folder.write("crl.pem", &revocation_list(folder, RevocationConfig::default()));
    let tls = TlsTransport::with_config(config.with_revocation_lists(folder.path("crl.pem"))).unwrap();
    let (port, mut events) = echo_server(&tls, Policy::san_dns("alice")).await;
    let client = |session: &str| folder.client(port, Some("alice.pem"), &format!("{option} {session}"));
    let first = talk(client("-sess_out session")).await;
    assert_eq!(next(&mut events).await, Ok("dns:alice".to_owned()));
    // A ticket of TLS 1.3 is good for one connection, which brings the next.
    let mut resumed = client("-sess_in session -sess_out session");
    resumed.hear(&format!("Reused, {version}")).await;
    talk(resumed).await;
    assert_eq!(next(&mut events).await, Ok("dns:alice".to_owned()), "a resumed session proves the same");

    let mut reloads = tls.events();
    let alice = certgen::Certificate::read(folder.path("alice.pem")).unwrap();
    let revoked = RevocationConfig::default().with_revoked(alice.serial(), RevocationReason::KeyCompromise);
    folder.write("crl.pem", &revocation_list(folder, revoked));
    assert!(matches!(reloads.recv().await, Some(TlsEvent::Reloaded { .. })));
    let said = client("-sess_in session").said().await;
    assert!(said.contains("alert certificate unknown") && !said.contains("Reused"), "{said}");
    let logged = next(&mut events).await.unwrap_err();
    assert!(logged.contains("the certificate of CN=alice is revoked"), "{logged}");
    first
}
