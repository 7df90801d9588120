//! Who a peer is, once it is in.

use transport_core::{Policy, Proof, Protection};
use transport_tls::{ClientCertificates, TlsConfig, TlsTransport, Trust};

use crate::common::{Authority, leaf, own};
use crate::meet::{bounded, client, meet, part, serve, serve_for};

#[tokio::test]
async fn the_evidence_has_all_that_the_certificate_says() {
    let authority = Authority::new();
    let names = ["alice.example", "10.0.0.1", "::1", "alice@example.org", "spiffe://example.org/alice"];
    let alice = authority.issue(&leaf(&names));
    let (mut server, _events) = serve(&authority.tls(&authority.leaf("db.example"))).await;
    let (near, far) = meet(&authority.tls(&alice), &mut server, "db.example").await;
    let [Proof::Certificate(certificate)] = far.identity().proofs() else { panic!("one proof") };
    assert_eq!(certificate.dns_names, ["alice.example"]);
    assert_eq!(
        certificate.ip_addresses,
        ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]
    );
    assert_eq!(certificate.emails, ["alice@example.org"]);
    assert_eq!(certificate.uris, ["spiffe://example.org/alice"]);
    assert_eq!(certificate.subject, "CN=alice.example");
    assert_eq!(certificate.issuer, authority.0.certificate().subject());
    assert_eq!(certificate.chain_length, 2);
    assert_eq!(certificate.alpn.as_deref(), Some(&b"zmtp/3.1"[..]));
    assert_eq!(format!("pin:{}", alice.certificate().pin()).parse::<Policy>().unwrap().to_string(), {
        Policy::spki_pin(certificate.spki_sha256).to_string()
    });
    assert_eq!(certificate.not_after, alice.certificate().not_after());
    assert_eq!(far.identity().to_string(), "spiffe://example.org/alice");
    assert_eq!(far.protection(), Protection::Encrypted);
    assert_eq!(far.claims().text("TLS-Server-Name"), Some("db.example"));
    assert_eq!(near.identity().to_string(), "dns:db.example");
}

#[tokio::test]
async fn policies_look_at_names_keys_and_issuers() {
    let authority = Authority::new();
    let alice = authority.issue(&leaf(&["alice.people.example", "spiffe://example.org/people/alice"]));
    let issuer = format!("issuer:{}", authority.0.certificate().subject());
    let pin = format!("pin:{}", alice.certificate().pin());
    let server = authority.tls(&authority.leaf("db.example"));
    for rule in ["dns:*.people.example", "uri:spiffe://example.org/people/*", &issuer, &pin] {
        let (mut server, _events) = serve_for(&server, rule.parse().unwrap()).await;
        meet(&authority.tls(&alice), &mut server, "db.example").await;
    }
    for rule in ["dns:*.example", "uri:spiffe://example.org/*", "issuer:CN=other", "user:alice"] {
        let (server, mut events) = serve_for(&server, rule.parse().unwrap()).await;
        let (_told, logged) = part(&authority.tls(&alice), &server, &mut events, "db.example").await;
        assert!(logged.contains("is not allowed by the policy"), "{rule}: {logged}");
    }
}

#[tokio::test]
async fn a_server_may_do_without_client_certificates() {
    let authority = Authority::new();
    for (wanted, with_certificate) in
        [(ClientCertificates::NotAsked, "anonymous"), (ClientCertificates::Optional, "dns:alice")]
    {
        let config = authority.config(&authority.leaf("db.example")).with_client_certificates(wanted);
        let (mut server, _events) = serve(&TlsTransport::with_config(config).unwrap()).await;
        let without = TlsTransport::with_config(TlsConfig::new().with_trust(authority.trust())).unwrap();
        let (near, far) = meet(&without, &mut server, "db.example").await;
        assert_eq!(far.identity().to_string(), "anonymous");
        assert_eq!(near.identity().to_string(), "dns:db.example");
        let (_near, far) = meet(&authority.tls(&authority.leaf("alice")), &mut server, "db.example").await;
        assert_eq!(far.identity().to_string(), with_certificate, "{wanted:?}");
    }
}

#[tokio::test]
async fn the_host_of_the_address_is_the_name_that_is_compared() {
    let authority = Authority::new();
    let client_tls = authority.tls(&authority.leaf("alice"));
    for (name, fits) in [("127.0.0.1", true), ("db.example", false)] {
        let (mut server, _events) = serve(&authority.tls(&authority.leaf(name))).await;
        let connect = {
            let transports = transport_core::Transports::new().with(client_tls.clone());
            transport_core::Connect::new(&transports, server.local_address()).server(Policy::danger_anyone())
        };
        if fits {
            let (near, _far) = bounded(async { tokio::join!(connect, server.accept()) }).await;
            near.unwrap();
        } else {
            let error = crate::meet::chain(&bounded(connect).await.map(|_| ()).unwrap_err());
            assert!(error.contains("the certificate is for db.example, not for 127.0.0.1"), "{error}");
        }
    }
}

#[tokio::test]
async fn without_verification_a_peer_is_known_by_its_key_and_the_stream_counts_as_unprotected() {
    let nobodys = certgen::self_signed(&leaf(&["db.example"])).unwrap();
    let config = TlsConfig::new()
        .with_certificate(own(&nobodys))
        .with_client_certificates(ClientCertificates::NotAsked);
    let (mut server, _events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    let careless = TlsConfig::new().with_trust(Trust::danger_anyone());
    let (near, _far) = meet(&TlsTransport::with_config(careless).unwrap(), &mut server, "other").await;
    assert_eq!(near.identity().to_string(), format!("pin:{}", nobodys.certificate().pin()));
    assert_eq!(near.protection(), Protection::Loopback);
}

#[tokio::test]
async fn a_transport_that_is_not_set_up_says_what_is_missing() {
    let nothing = TlsTransport::new();
    let authority = Authority::new();
    let (server, _events) = serve(&authority.tls(&authority.leaf("a"))).await;
    let error = crate::meet::chain(&bounded(client(&nothing, &server, "a")).await.map(|_| ()).unwrap_err());
    assert!(error.contains("nothing says whom to trust") && error.contains("with_trust"), "{error}");

    let transports = transport_core::Transports::new().with(nothing);
    let listen =
        transport_core::Listen::new(&transports, "tls://127.0.0.1:0").policy(Policy::danger_anyone());
    let error = crate::meet::chain(&listen.start().await.unwrap_err());
    assert!(error.contains("a listener needs a certificate"), "{error}");

    let config = TlsConfig::new().with_certificate(own(&authority.leaf("a")));
    let transports = transport_core::Transports::new().with(TlsTransport::with_config(config).unwrap());
    let listen =
        transport_core::Listen::new(&transports, "tls://127.0.0.1:0").policy(Policy::danger_anyone());
    let error = crate::meet::chain(&listen.start().await.unwrap_err());
    assert!(error.contains("ClientCertificates::NotAsked"), "{error}");
}
