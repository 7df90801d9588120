//! One socket over mem, unix and tls with certificates on both sides, all at once: each message tells who sent it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig, Profile};
use common::{Places, config, event, within};
use transport_core::{Policy, Transports};
use transport_tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};
use transport_zmq::{DealerSocket, RouterSocket, SocketEvent};

fn tls(authority: &CertificateAuthority, name: &str) -> TlsTransport {
    let leaf = LeafConfig::new([name]).unwrap().with_profile(Profile::Peer);
    let own = authority.issue(&leaf).unwrap();
    let config = TlsConfig::new()
        .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
        .with_trust(Trust::ca_pem(authority.certificate().pem()));
    TlsTransport::with_config(config).unwrap()
}

#[tokio::test]
async fn a_router_over_mem_unix_and_tls_knows_each_sender_and_lets_in_whom_its_policies_allow() {
    let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let places = Places::new();
    let transports = places.transports.clone().with(tls(&authority, "router.example"));
    let mut router = RouterSocket::new(&transports, config());
    let mut events = router.events();
    let mem = router.bind_with("inproc://several", Policy::same_process()).await.unwrap();
    let unix = router.bind_with(&*places.ipc("several"), Policy::same_user()).await.unwrap();
    let by_name = Policy::san_uri("spiffe://example/worker/*");
    let sealed = router.bind_with("tls://127.0.0.1:0?name=router.example", by_name).await.unwrap();

    let user = format!("uid:{}", rustix::process::geteuid().as_raw());
    let worker = Transports::new().with(tls(&authority, "spiffe://example/worker/7"));
    let mut dealers = Vec::new();
    for (transports, place, expected) in [
        (&transports, &mem, "process"),
        (&transports, &unix, &*user),
        (&worker, &sealed, "spiffe://example/worker/7"),
    ] {
        let mut dealer = DealerSocket::new(transports, config());
        dealer.connect(place).unwrap();
        dealer.send("who am I?").await.unwrap();
        let (message, peer) = within(router.recv()).await;
        assert_eq!(
            (message.to_text(), peer.identity().to_string()),
            (Some("who am I?"), expected.to_owned())
        );
        assert_eq!(peer.endpoint(), place);
        router.send_to_peer(&peer, expected).await.unwrap();
        assert_eq!(within(dealer.recv()).await.to_text(), Some(expected));
        dealers.push(dealer);
    }

    let stranger = Transports::new().with(tls(&authority, "spiffe://example/stranger"));
    let other = DealerSocket::new(&stranger, config());
    other.connect(&sealed).unwrap();
    let reason = event(&mut events, |event| match event {
        SocketEvent::HandshakeFailed { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.starts_with("spiffe://example/stranger is not allowed by the policy"), "{reason}");
    assert_eq!(router.peers().len(), 3);
}
