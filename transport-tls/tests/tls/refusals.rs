//! Whoever is refused gets the same alert, and the reason is in the log of who refuses.

use certgen::{
    AuthorityConfig, CertificateAuthority, Credentials, LeafConfig, Profile, RevocationConfig,
    RevocationReason, Validity, self_signed,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::{
    Address, ConnectError, HandshakeError, Listen, Policy, ServerEvent, Transport as _, Transports,
};
use transport_tls::{ClientCertificates, TlsConfig, TlsTransport, Trust};

use crate::common::{Authority, between, leaf, own, write_new};
use crate::meet::{bounded, chain, client, part, refusal, serve, serve_for};

/// What a refused peer learns, whatever the reason.
const THE_ALERT: &str = "the peer refused this side: it does not accept this side's certificate; its own log says why \
                         (alert CertificateUnknown)";

/// Certificates that are refused, and what the log says.
fn refused(authority: &Authority, wrong: Profile) -> Vec<(Credentials, &'static str)> {
    let issue = |config: LeafConfig| authority.issue(&config);
    let named = || leaf(&["db.example"]);
    let usage = if wrong == Profile::Client { "server" } else { "client" };
    let usage = match usage {
        "server" => "may not be used by a server",
        _ => "may not be used by a client",
    };
    vec![
        (issue(named().with_validity(between(-20, -10))), "the certificate of CN=db.example expired on "),
        (issue(named().with_validity(between(10, 20))), "the certificate is not valid before "),
        (
            Authority::new().leaf("db.example"),
            "no trusted authority has issued the certificate; it names CN=certgen CA",
        ),
        (
            self_signed(&named()).unwrap(),
            "the certificate of CN=db.example is self-signed, and not trusted here",
        ),
        (issue(named().with_profile(wrong)), usage),
    ]
}

#[tokio::test]
async fn a_client_is_refused_for_each_reason_with_the_same_alert() {
    let authority = Authority::new();
    let (server, mut events) = serve(&authority.tls(&authority.leaf("db.example"))).await;
    for (credentials, reason) in refused(&authority, Profile::Server) {
        let (told, logged) = part(&authority.tls(&credentials), &server, &mut events, "db.example").await;
        assert!(logged.contains(reason), "{logged:?} instead of {reason:?}");
        assert!(told.ends_with(THE_ALERT), "{reason}: {told:?}");
    }
}

#[tokio::test]
async fn a_server_is_refused_for_each_reason_with_the_same_alert() {
    let authority = Authority::new();
    let client = authority.tls(&authority.leaf("alice"));
    let mut cases = refused(&authority, Profile::Client);
    cases.push((authority.leaf("other.example"), "the certificate is for other.example, not for db.example"));
    for (credentials, reason) in cases {
        let (server, mut events) = serve(&authority.tls(&credentials)).await;
        let (logged, told) = part(&client, &server, &mut events, "db.example").await;
        assert!(logged.contains(reason), "{logged:?} instead of {reason:?}");
        assert!(told.ends_with(THE_ALERT), "{reason}: {told:?}");
    }
}

/// The common name is for people: neither a client that looks for a server's name nor a policy takes it for one.
#[tokio::test]
async fn a_common_name_is_nobodys_name() {
    let authority = Authority::new();
    let sham = authority.issue(&leaf(&["other.example"]).with_common_name("db.example"));
    let (server, mut events) = serve(&authority.tls(&sham)).await;
    let (logged, _told) =
        part(&authority.tls(&authority.leaf("alice")), &server, &mut events, "db.example").await;
    assert!(logged.contains("the certificate is for other.example, not for db.example"), "{logged}");

    let policy = transport_core::Policy::san_dns("db.example");
    let (server, mut events) = serve_for(&authority.tls(&authority.leaf("db.example")), policy).await;
    let (told, logged) = part(&authority.tls(&sham), &server, &mut events, "db.example").await;
    assert!(logged.contains("dns:other.example is not allowed by the policy"), "{logged}");
    assert!(told.ends_with(THE_ALERT), "{told}");
}

/// What a raw stream tells a client that is refused: it has no other words for that.
async fn told_by_a_raw_server(address: &Address, tls: &TlsTransport) -> Result<String, String> {
    let address = address.with_parameter("name", "db.example");
    let mut stream = bounded(tls.connect(&address)).await.map_err(|error| chain(&error))?.stream;
    let mut heard = String::new();
    match bounded(stream.read_to_string(&mut heard)).await {
        Ok(_) => Ok(heard),
        Err(error) => Err(error.to_string()),
    }
}

/// Were it otherwise, whoever has a certificate could find out that it is one of a trusted authority.
#[tokio::test]
async fn a_client_whose_name_is_not_allowed_gets_the_same_alert_and_no_ticket() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let alice = authority.tls(&authority.leaf("alice"));
    let listen = |policy| {
        let listen = Listen::new(&Transports::new(), "tls://127.0.0.1:0").transport(tls.clone());
        async move { listen.policy(policy).start_raw().await.unwrap() }
    };
    let mut for_alice = listen(Policy::san_dns("alice")).await;
    let mut for_bob = listen(Policy::san_dns("bob").or("uri:spiffe://example/**".parse().unwrap())).await;
    let mut events = for_bob.events();
    let (alices, bobs) = (for_alice.local_address().clone(), for_bob.local_address().clone());
    for _again in 0..2 {
        // She has a ticket of the other listener, where she is welcome.
        let (told, ()) = tokio::join!(told_by_a_raw_server(&alices, &alice), async {
            let mut stream = bounded(for_alice.accept()).await.unwrap().into_stream();
            stream.write_all(b"welcome").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        assert_eq!(told.unwrap(), "welcome");
        let told = told_by_a_raw_server(&bobs, &alice).await.unwrap_err();
        assert!(told.ends_with(THE_ALERT), "{told}");
        let refused = bounded(events.recv()).await.unwrap();
        let ServerEvent::Refused { reason, .. } = refused else { panic!("{refused:?}") };
        assert!(matches!(*reason, HandshakeError::Denied(_)), "{reason:?}");
        assert!(
            reason.to_string().starts_with("dns:alice is not allowed by the policy (dns:bob or "),
            "{reason}"
        );
    }
}

/// Were it otherwise, a server in another's place would see who its client is before the client turns away.
#[tokio::test]
async fn a_server_whose_name_is_not_allowed_gets_the_same_alert_also_where_another_policy_has_a_ticket() {
    let authority = Authority::new();
    let (mut server, mut events) = serve(&authority.tls(&authority.leaf("db.example"))).await;
    let alice = authority.tls(&authority.leaf("alice"));
    let (near, _far) = crate::meet::meet(&alice, &mut server, "db.example").await;
    drop(near);
    let connect = client(&alice, &server, "db.example").server(Policy::san_dns("cache.example"));
    let error = bounded(connect).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Denied(_))), "{error:?}");
    assert_eq!(error.to_string(), "dns:db.example is not allowed by the policy (dns:cache.example)");
    assert!(!error.mends_itself());
    let told = bounded(refusal(&mut events)).await;
    assert!(told.ends_with(THE_ALERT), "{told}");
}

#[tokio::test]
async fn optional_certificates_are_refused_like_required_ones_and_asked_for_where_nobody_passes_without() {
    let authority = Authority::new();
    let config = authority
        .config(&authority.leaf("db.example"))
        .with_client_certificates(ClientCertificates::Optional);
    let tls = TlsTransport::with_config(config).unwrap();
    let anonymous = TlsTransport::with_config(TlsConfig::new().with_trust(authority.trust())).unwrap();
    let (server, mut events) = serve_for(&tls, Policy::san_dns("bob")).await;
    let (told, logged) =
        part(&authority.tls(&authority.leaf("alice")), &server, &mut events, "db.example").await;
    assert!(logged.ends_with("dns:alice is not allowed by the policy (dns:bob)"), "{logged}");
    assert!(told.ends_with(THE_ALERT), "{told}");
    let (told, logged) = part(&anonymous, &server, &mut events, "db.example").await;
    assert!(logged.ends_with("the peer presented no certificate"), "{logged}");
    assert!(told.contains("it wants a certificate, and this side has presented none"), "{told}");
    // Here somebody does.
    let (mut server, _events) =
        serve_for(&tls, Policy::san_dns("bob").or(Policy::custom("anonymous", |_| true))).await;
    crate::meet::meet(&anonymous, &mut server, "db.example").await;
}

/// It sees all that is known of a peer, which in the middle of the handshake is not all yet.
#[tokio::test]
async fn a_policy_with_a_function_of_ones_own_is_asked_after_the_handshake() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let policy = Policy::san_dns("bob")
        .or(Policy::custom("anyone named alice", |peer| peer.to_string() == "dns:alice"));
    let (mut server, _events) = serve_for(&tls, policy).await;
    crate::meet::meet(&authority.tls(&authority.leaf("alice")), &mut server, "db.example").await;
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_so_is_what_no_valid_list_covers() {
    let authority = Authority::new();
    let (good, bad) = (authority.leaf("db.example"), authority.leaf("db.example"));
    let directory = tempfile::tempdir().unwrap();
    let list = |name: &str, text: &str| write_new(directory.path(), name, text);
    let revoked = list("revoked.pem", &authority.revocation_list(&[&bad], Validity::Days(1)));
    let expired = list("expired.pem", &authority.revocation_list(&[], between(-10, -5)));
    let foreign = list("foreign.pem", &Authority::new().revocation_list(&[], Validity::Days(1)));
    for (list, client, reason) in [
        (&revoked, &bad, "the certificate of CN=db.example is revoked"),
        (&expired, &good, "the revocation list expired on "),
        (&foreign, &good, "no revocation list says whether"),
    ] {
        let config = authority.config(&good).with_revocation_lists(list);
        let (server, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
        let (told, logged) = part(&authority.tls(client), &server, &mut events, "db.example").await;
        assert!(logged.contains(reason), "{logged:?} instead of {reason:?}");
        assert!(told.ends_with(THE_ALERT), "{reason}: {told:?}");
    }
    let config = authority.config(&good).with_revocation_lists(&revoked);
    let (mut server, _events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    crate::meet::meet(&authority.tls(&good), &mut server, "db.example").await;
}

#[tokio::test]
async fn a_pin_does_not_let_a_revoked_certificate_in() {
    let authority = Authority::new();
    let (good, bad) = (authority.leaf("db.example"), authority.leaf("db.example"));
    let directory = tempfile::tempdir().unwrap();
    let list = authority.revocation_list(&[&bad], Validity::Days(1));
    let list = write_new(directory.path(), "revoked.pem", &list);
    let trust = authority.trust().or(Trust::pin(bad.certificate().pin().parse().unwrap()));
    let config = authority.config(&good).with_trust(trust).with_revocation_lists(&list);
    let (server, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    let (_told, logged) = part(&authority.tls(&bad), &server, &mut events, "db.example").await;
    assert!(logged.contains("is revoked"), "{logged}");
}

/// It is overdue, and says all the same who was revoked.
#[tokio::test]
async fn a_pin_does_not_let_a_certificate_in_that_an_expired_list_revokes() {
    let authority = Authority::new();
    let (good, bad) = (authority.leaf("db.example"), authority.leaf("db.example"));
    let directory = tempfile::tempdir().unwrap();
    let list = authority.revocation_list(&[&bad], between(-10, -5));
    let list = write_new(directory.path(), "revoked.pem", &list);
    let pin = |credentials: &Credentials| Trust::pin(credentials.certificate().pin().parse().unwrap());
    let trust = authority.trust().or(pin(&bad)).or(pin(&good));
    let config = authority.config(&good).with_trust(trust).with_revocation_lists(&list);
    let (mut server, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    let (_told, logged) = part(&authority.tls(&bad), &server, &mut events, "db.example").await;
    assert!(logged.contains("is revoked"), "{logged}");
    // A pin vouches for the key by itself, without any list.
    crate::meet::meet(&authority.tls(&good), &mut server, "db.example").await;
}

#[tokio::test]
async fn of_several_lists_of_an_authority_the_latest_counts() {
    let authority = Authority::new();
    let (good, bad) = (authority.leaf("db.example"), authority.leaf("db.example"));
    let old = authority.revocation_list(&[], between(-2, 5));
    let new = authority.revocation_list(&[&bad], between(-1, 5));
    let expired = authority.revocation_list(&[], between(-10, -5));
    // Of the same second, with another number.
    let first = authority.0.revocation_list(&RevocationConfig::default()).unwrap();
    let second = RevocationConfig::after(&first)
        .with_revoked(bad.certificate().serial(), RevocationReason::KeyCompromise)
        .with_validity(Validity::Between { not_before: first.this_update(), not_after: first.next_update() });
    let second = authority.0.revocation_list(&second).unwrap();
    assert_eq!(first.this_update(), second.this_update());
    let directory = tempfile::tempdir().unwrap();
    let files = [
        vec![first.pem() + &second.pem()],
        vec![second.pem() + &first.pem()],
        vec![format!("{old}{new}")],
        vec![format!("{new}{old}")],
        vec![expired.clone(), old, new.clone()],
        vec![new, expired],
    ];
    for (round, texts) in files.iter().enumerate() {
        let mut config = authority.config(&good);
        for (at, text) in texts.iter().enumerate() {
            let list = write_new(directory.path(), &format!("{round}-{at}.pem"), text);
            config = config.with_revocation_lists(list);
        }
        let (mut server, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
        crate::meet::meet(&authority.tls(&good), &mut server, "db.example").await;
        let (_told, logged) = part(&authority.tls(&bad), &server, &mut events, "db.example").await;
        assert!(logged.contains("is revoked"), "{round}: {logged}");
    }
}

/// As an authority is its own namesake that has got a new key.
#[tokio::test]
async fn of_authorities_with_the_same_name_each_has_its_own_list() {
    let authority =
        || Authority(CertificateAuthority::new(&AuthorityConfig::default().with_name("both")).unwrap());
    let (former, present) = (authority(), authority());
    let server = Authority::new();
    let own = server.leaf("db.example");
    let directory = tempfile::tempdir().unwrap();
    let bad = [&former, &present].map(|authority| authority.leaf("mallory"));
    let lists = format!(
        "{}{}{}",
        server.revocation_list(&[], Validity::Days(1)),
        former.revocation_list(&[&bad[0]], between(-2, 1)),
        present.revocation_list(&[&bad[1]], between(-1, 1))
    );
    let trust = former.trust().or(present.trust());
    let lists = write_new(directory.path(), "lists.pem", &lists);
    let config = server.config(&own).with_trust(trust).with_revocation_lists(lists);
    let (mut listening, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    for (authority, bad) in [(&former, &bad[0]), (&present, &bad[1])] {
        let client = |credentials: &Credentials| {
            TlsTransport::with_config(authority.config(credentials).with_trust(server.trust())).unwrap()
        };
        crate::meet::meet(&client(&authority.leaf("alice")), &mut listening, "db.example").await;
        let (_told, logged) = part(&client(bad), &listening, &mut events, "db.example").await;
        assert!(logged.contains("is revoked"), "{logged}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_pinned_is_refused_and_the_pin_that_would_do_is_named() {
    let (pinned, other) = (self_signed(&leaf(&["a"])).unwrap(), self_signed(&leaf(&["a"])).unwrap());
    let trust = || Trust::pin(pinned.certificate().pin().parse().unwrap());
    let config = |credentials| TlsConfig::new().with_certificate(own(credentials)).with_trust(trust());
    let tls = |credentials| TlsTransport::with_config(config(credentials)).unwrap();
    let (mut server, mut events) = serve(&tls(&pinned)).await;
    let (told, logged) = part(&tls(&other), &server, &mut events, "whatever").await;
    assert!(logged.contains(&format!("({}) is not pinned", other.certificate().pin())), "{logged:?}");
    assert!(told.ends_with(THE_ALERT), "{told:?}");
    let (near, far) = crate::meet::meet(&tls(&pinned), &mut server, "whatever").await;
    assert_eq!(near.identity().to_string(), format!("pin:{}", pinned.certificate().pin()));
    assert_eq!(near.identity(), far.identity());
}

#[tokio::test]
async fn a_pinned_key_whose_certificate_has_expired_is_refused() {
    let old = self_signed(&leaf(&["a"]).with_validity(between(-20, -10))).unwrap();
    let trust = Trust::pin(old.certificate().pin().parse().unwrap());
    let config = TlsConfig::new().with_certificate(own(&old)).with_trust(trust);
    let tls = TlsTransport::with_config(config).unwrap();
    let (server, mut events) = serve(&tls).await;
    let (logged, _told) = part(&tls, &server, &mut events, "a").await;
    assert!(logged.contains("the certificate of CN=a expired on"), "{logged:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let authority = Authority::new();
    let (server, mut events) = serve(&authority.tls(&authority.leaf("db.example"))).await;
    let client = TlsTransport::with_config(TlsConfig::new().with_trust(authority.trust())).unwrap();
    let (told, logged) = part(&client, &server, &mut events, "db.example").await;
    assert!(logged.ends_with("the peer presented no certificate"), "{logged:?}");
    assert!(told.contains("it wants a certificate, and this side has presented none"), "{told:?}");
}
