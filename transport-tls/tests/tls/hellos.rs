//! Protocols (ALPN), and what a server does with a client's hello.

use transport_core::Policy;
use transport_tls::{HelloChoice, TlsTransport};

use crate::common::Authority;
use crate::meet::{meet, part, serve};

#[tokio::test]
async fn a_peer_of_another_protocol_is_refused() {
    let authority = Authority::new();
    let own = authority.leaf("db.example");
    let with = |protocols: &[&str]| {
        TlsTransport::with_config(authority.config(&own).with_protocols(protocols)).unwrap()
    };
    let (server, mut events) = serve(&with(&["tube/1", "zmtp/3.1"])).await;
    for (protocols, names) in [(&["other/1"][..], "other/1"), (&[], "no protocol (ALPN)")] {
        let (told, logged) = part(&with(protocols), &server, &mut events, "db.example").await;
        let expected = format!("the peer speaks {names}, this side wants tube/1, zmtp/3.1");
        assert!(logged.ends_with(&expected), "{logged:?}");
        assert!(
            told.ends_with("it does not speak this side's protocol (alert NoApplicationProtocol)"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_legacy_peer_may_do_without_a_protocol_where_it_is_named() {
    let authority = Authority::new();
    let (own, old, other) = (authority.leaf("db.example"), authority.leaf("old"), authority.leaf("other"));
    let config = authority.config(&own).danger_without_protocol(Policy::san_dns("old"));
    let (mut server, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    let none: [&str; 0] = [];
    // Such a client does not mind that the server names none either.
    let legacy = |credentials| {
        let config = authority
            .config(credentials)
            .with_protocols(none)
            .danger_without_protocol(Policy::danger_anyone());
        TlsTransport::with_config(config).unwrap()
    };
    meet(&legacy(&old), &mut server, "db.example").await;
    let (_told, logged) = part(&legacy(&other), &server, &mut events, "db.example").await;
    assert!(logged.ends_with("the peer speaks no protocol (ALPN), this side wants zmtp/3.1"), "{logged:?}");
}

#[tokio::test]
async fn a_server_can_choose_by_name_and_turn_away() {
    let (one, two) = (Authority::new(), Authority::new());
    let second = two.tls(&two.leaf("two.example"));
    let config = one.config(&one.leaf("one.example")).with_on_hello(move |hello| {
        assert_eq!(hello.protocols, [b"zmtp/3.1"]);
        match hello.server_name {
            Some("two.example") => HelloChoice::Use(second.clone()),
            Some("one.example") => HelloChoice::GoOn,
            other => HelloChoice::Refuse(format!("nobody is {other:?} here")),
        }
    });
    let (mut server, mut events) = serve(&TlsTransport::with_config(config).unwrap()).await;
    let (near, _far) = meet(&one.tls(&one.leaf("a")), &mut server, "one.example").await;
    assert_eq!(near.identity().to_string(), "dns:one.example");
    let (near, _far) = meet(&two.tls(&two.leaf("a")), &mut server, "two.example").await;
    assert_eq!(near.identity().to_string(), "dns:two.example");
    // The second has clients of its own.
    let (_told, logged) = part(&one.tls(&one.leaf("a")), &server, &mut events, "two.example").await;
    assert!(logged.contains("refused this side"), "{logged:?}");
    let (_told, logged) = part(&one.tls(&one.leaf("a")), &server, &mut events, "three.example").await;
    assert!(logged.ends_with("nobody is Some(\"three.example\") here"), "{logged:?}");
}

#[tokio::test]
async fn a_key_log_has_the_secrets_and_only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let config = authority.config(&authority.leaf("db.example")).danger_key_log(&path);
    let tls = TlsTransport::with_config(config).unwrap();
    let (mut server, _events) = serve(&tls).await;
    meet(&tls, &mut server, "db.example").await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("CLIENT_TRAFFIC_SECRET_0 ") && text.contains("EXPORTER_SECRET "), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(feature = "tls12")]
#[tokio::test]
async fn where_tls_1_2_is_spelled_out_1_3_is_still_preferred() {
    use transport_core::Transport as _;
    let authority = Authority::new();
    let config = authority.config(&authority.leaf("db.example"));
    let old = TlsTransport::with_config(config.clone().danger_allow_tls12()).unwrap();
    let new = TlsTransport::with_config(config).unwrap();
    let (mut server, _events) = serve(&old).await;
    meet(&new, &mut server, "db.example").await;
    // Both sides of ours prefer 1.3, and the feature alone changes nothing.
    let address = server.local_address().with_parameter("name", "db.example");
    let established = crate::meet::bounded(old.connect(&address)).await.unwrap();
    assert!(established.evidence.channel_binding().is_some());
}
