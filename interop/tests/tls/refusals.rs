//! Each certificate that is refused, with its reason in our log and one alert for all: certificate_unknown.

use std::time::{Duration, SystemTime};

use certgen::{
    AuthorityConfig, CertificateAuthority, LeafConfig, Profile, RevocationConfig, RevocationReason, Validity,
    self_signed,
};
use interop::bounded;
use transport::Policy;
use transport::tls::{TlsConfig, TlsTransport, Trust};

use crate::set_up::{Folder, chain, connect, echo_server, next, revocation_list};

const THE_ALERT: &str = "alert certificate unknown";

/// Makes the certificates that are refused as a peer of this kind, and the list of revoked ones; says why they are.
async fn refused(folder: &Folder, wrong: Profile) -> Vec<(&'static str, &'static str)> {
    let day = |days: i32| {
        let distance = Duration::from_secs(86_400) * days.unsigned_abs();
        if days < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    };
    let between = |from, until| Validity::Between { not_before: day(from), not_after: day(until) };
    let named = || LeafConfig::new(["db.example"]).unwrap();
    let foreign = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let revoked = folder.issue(&named());
    let config = RevocationConfig::default()
        .with_revoked(revoked.certificate().serial(), RevocationReason::KeyCompromise);
    folder.write("crl.pem", &revocation_list(folder, config));
    for (name, credentials) in [
        ("revoked.pem", revoked),
        ("expired.pem", folder.issue(&named().with_validity(between(-20, -10)))),
        ("early.pem", folder.issue(&named().with_validity(between(10, 20)))),
        ("foreign.pem", foreign.issue(&named()).unwrap()),
        ("self.pem", self_signed(&named()).unwrap()),
        ("usage.pem", folder.issue(&named().with_profile(wrong))),
    ] {
        folder.write(name, &credentials.combined_pem());
    }
    let openssl = |arguments| folder.openssl.run(folder.at(), arguments);
    // As Flumotion's old default.pem: a short key, MD5, nobody who vouches for it.
    openssl(
        "req -x509 -newkey rsa:1024 -nodes -md5 -subj /CN=flumotion -days 30 -keyout md5.key -out md5.crt",
    )
    .await;
    openssl("req -newkey rsa:1024 -nodes -subj /CN=short -keyout short.key -out short.csr").await;
    openssl("x509 -req -in short.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out short.crt").await;
    spiffe(folder, "domain", "URI:spiffe://Example/a").await;
    spiffe(folder, "several", "URI:spiffe://a/b,URI:spiffe://a/c").await;
    for name in ["md5", "short"] {
        let text = ["key", "crt"]
            .map(|kind| std::fs::read_to_string(folder.path(&format!("{name}.{kind}"))).unwrap());
        folder.write(&format!("{name}.pem"), &text.concat());
    }
    let usage = match wrong {
        Profile::Client => "may not be used by a server",
        _ => "may not be used by a client",
    };
    vec![
        ("expired.pem", "the certificate of CN=db.example expired on"),
        ("early.pem", "the certificate is not valid before"),
        ("foreign.pem", "no trusted authority has issued the certificate; it names CN=certgen CA"),
        ("revoked.pem", "the certificate of CN=db.example is revoked"),
        ("self.pem", "the certificate of CN=db.example is self-signed, and not trusted here"),
        ("usage.pem", usage),
        ("md5.pem", "the certificate is signed with MD5, which can be forged"),
        ("short.pem", "the key of the certificate is too weak: RSA of 1024 bits, at least 2048 are needed"),
        ("domain.pem", "the SPIFFE id of the certificate is not valid: its trust domain"),
        ("several.pem", "the SPIFFE id of the certificate is not valid: there are 2 URIs"),
    ]
}

/// A certificate with names that certgen would not write.
async fn spiffe(folder: &Folder, name: &str, names: &str) {
    folder.write("names.cnf", &format!("subjectAltName={names}\n"));
    let openssl = |arguments: String| async move { folder.openssl.run(folder.at(), &arguments).await };
    openssl(format!(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
    ))
    .await;
    openssl(format!(
        "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names.cnf -out {name}.crt"
    ))
    .await;
    let text =
        ["key", "crt"].map(|kind| std::fs::read_to_string(folder.path(&format!("{name}.{kind}"))).unwrap());
    folder.write(&format!("{name}.pem"), &text.concat());
}

/// A transport of ours that looks at the list of revoked ones, and speaks TLS 1.2 too.
fn careful(folder: &Folder, own: &str) -> TlsTransport {
    let config = folder.config(own).with_revocation_lists(folder.path("crl.pem"));
    TlsTransport::with_config(config.danger_allow_tls12()).unwrap()
}

const VERSIONS: [&str; 2] = ["-tls1_3", "-tls1_2"];

#[tokio::test]
async fn each_certificate_of_s_client_that_is_refused_has_its_reason_and_the_same_alert() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let cases = refused(&folder, Profile::Server).await;
        let (port, mut events) =
            echo_server(&careful(&folder, "db.example.pem"), Policy::danger_anyone()).await;
        for version in VERSIONS {
            for (own, reason) in &cases {
                let said = folder.client(port, Some(own), version).said().await;
                let logged = next(&mut events).await.unwrap_err();
                assert!(logged.contains(reason), "{own}: {logged:?} instead of {reason:?}");
                assert!(said.contains(THE_ALERT), "{own} {version}: {said}");
            }
        }
        let said = folder.client(port, None, "").said().await;
        let logged = next(&mut events).await.unwrap_err();
        assert!(logged.ends_with("the peer presented no certificate"), "{logged}");
        assert!(said.contains("alert certificate required"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn each_certificate_of_s_server_that_is_refused_has_its_reason_and_the_same_alert() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let mut cases = refused(&folder, Profile::Client).await;
        cases.push(("alice.pem", "the certificate is for alice, not for db.example"));
        let tls = careful(&folder, "alice.pem");
        for version in VERSIONS {
            for (own, reason) in &cases {
                let (mut server, port) = folder.server(own, &format!("-rev -naccept 1 {version}")).await;
                let logged = chain(&connect(&tls, port).await.map(|_| ()).unwrap_err());
                assert!(logged.contains(reason), "{own}: {logged:?} instead of {reason:?}");
                let said = server.said().await;
                assert!(said.contains(THE_ALERT), "{own} {version}: {said}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn s_client_whose_name_the_policy_does_not_know_gets_the_same_alert() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        // Raw streams, which have no word of their own for a refusal.
        let tls = TlsTransport::with_config(folder.config("db.example.pem").danger_allow_tls12()).unwrap();
        let (port, mut events) = echo_server(&tls, Policy::san_dns("bob")).await;
        for version in VERSIONS {
            let said = folder.client(port, Some("alice.pem"), version).said().await;
            let logged = next(&mut events).await.unwrap_err();
            assert_eq!(logged, "dns:alice is not allowed by the policy (dns:bob)");
            assert!(said.contains(THE_ALERT), "{version}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn s_server_whose_name_the_policy_does_not_know_gets_the_same_alert_and_no_certificate() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let tls = TlsTransport::with_config(folder.config("alice.pem").danger_allow_tls12()).unwrap();
        for version in VERSIONS {
            let verifying = format!("-rev -naccept 1 -Verify 1 {version}");
            // What it prints of each certificate that it sees.
            let certificate = "depth=0";
            let (mut server, port) = folder.server("db.example.pem", &verifying).await;
            let address = format!("tls://127.0.0.1:{port}?name=db.example");
            let connecting =
                transport::connect(&*address).transport(tls.clone()).server(Policy::san_dns("bob"));
            let logged = connecting.await.map(|_| ()).unwrap_err().to_string();
            assert_eq!(logged, "dns:db.example is not allowed by the policy (dns:bob)");
            let said = server.said().await;
            assert!(said.contains(THE_ALERT) && !said.contains(certificate), "{version}: {said}");

            let (mut server, port) = folder.server("db.example.pem", &verifying).await;
            drop(connect(&tls, port).await.unwrap());
            let said = server.said().await;
            assert!(!said.contains(THE_ALERT) && said.contains(certificate), "{version}: {said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_whose_key_is_not_pinned_is_refused() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let pinned = self_signed(&LeafConfig::new(["alice"]).unwrap()).unwrap();
        folder.write("pinned.pem", &pinned.combined_pem());
        let trust = Trust::pin(pinned.certificate().pin().parse().unwrap());
        let config = folder.config("db.example.pem").with_trust(trust);
        let tls = TlsTransport::with_config(config).unwrap();
        let (port, mut events) = echo_server(&tls, Policy::danger_anyone()).await;
        let mut client = folder.client(port, Some("pinned.pem"), "");
        client.say("hello there").await;
        client.hear("hello there").await;
        assert_eq!(next(&mut events).await, Ok(format!("pin:{}", pinned.certificate().pin())));
        let said = folder.client(port, Some("alice.pem"), "").said().await;
        let logged = next(&mut events).await.unwrap_err();
        assert!(logged.contains("is not pinned"), "{logged}");
        assert!(said.contains(THE_ALERT), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_key_is_not_pinned_is_refused() {
    let Some(folder) = Folder::new() else { return };
    bounded(async {
        let pinned = self_signed(&LeafConfig::new(["db.example"]).unwrap()).unwrap();
        folder.write("pinned.pem", &pinned.combined_pem());
        let trust = Trust::pin(pinned.certificate().pin().parse().unwrap());
        let tls = TlsTransport::with_config(TlsConfig::new().with_trust(trust)).unwrap();
        let (_server, port) = folder.server("pinned.pem", "-rev").await;
        connect(&tls, port).await.unwrap();
        let (mut server, port) = folder.server("db.example.pem", "-rev -naccept 1").await;
        let logged = chain(&connect(&tls, port).await.map(|_| ()).unwrap_err());
        assert!(logged.contains("is not pinned"), "{logged}");
        assert!(server.said().await.contains(THE_ALERT));
    })
    .await;
}
