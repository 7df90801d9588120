//! The channel binding, and SCRAM-SHA-256-PLUS over it.

use transport_core::mechanism::scram::{Accounts, ScramClient, ScramServer, Verifier};
use transport_core::{Connect, Established, Incoming, Listen, Policy, Transport, Transports};
use transport_tls::{ClientCertificates, TlsConfig, TlsTransport};

use crate::common::Authority;
use crate::meet::bounded;

/// Both ends of a stream.
async fn streams(tls: &TlsTransport) -> (Established, Established) {
    let mut listener = tls.listen(&"tls://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address().with_parameter("name", "db.example");
    let accept = async {
        match std::future::poll_fn(|cx| listener.poll_accept(cx)).await.unwrap() {
            Incoming::Handshake { opening, .. } => opening.await.unwrap(),
            Incoming::Established(_) => panic!("there is a handshake to do"),
        }
    };
    let (near, far) = bounded(async { tokio::join!(tls.connect(&address), accept) }).await;
    (near.unwrap(), far)
}

#[tokio::test]
async fn both_ends_have_the_same_binding_and_each_connection_its_own() {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example"));
    let mut seen = std::collections::HashSet::new();
    // The later ones are resumed.
    for _ in 0..3 {
        let (near, far) = streams(&tls).await;
        let binding = near.evidence.channel_binding().unwrap();
        assert_eq!((binding.kind, binding.value.len()), ("tls-exporter", 32));
        assert_eq!(far.evidence.channel_binding(), Some(binding));
        assert!(seen.insert(binding.value.clone()), "a binding came twice");
    }
}

#[tokio::test]
async fn scram_is_bound_to_the_stream_by_default() {
    let authority = Authority::new();
    let config = authority
        .config(&authority.leaf("db.example"))
        .with_client_certificates(ClientCertificates::NotAsked);
    let accounts = || Accounts::new().unwrap().with_user("alice", Verifier::new("secret", 4096).unwrap());
    let listen = Listen::new(&Transports::new(), "tls://127.0.0.1:0")
        .transport(TlsTransport::with_config(config).unwrap())
        .mechanism(ScramServer::plus(accounts()))
        .mechanism(ScramServer::new(accounts()))
        .policy(Policy::user("alice"));
    let mut server = listen.start().await.unwrap();
    let address = server.local_address().with_parameter("name", "db.example");
    let client = TlsTransport::with_config(TlsConfig::new().with_trust(authority.trust())).unwrap();
    let connect = |mechanism| {
        Connect::new(&Transports::new(), &address)
            .transport(client.clone())
            .mechanism(mechanism)
            .server(Policy::san_dns("db.example"))
    };
    let good = connect(ScramClient::plus("alice", "secret").unwrap());
    let (near, far) = bounded(async { tokio::join!(good, server.accept()) }).await;
    near.unwrap();
    let far = far.unwrap();
    assert_eq!(far.identity().to_string(), "user:alice");
    let mechanism = far.identity().proofs().iter().find_map(|proof| match proof {
        transport_core::Proof::User { mechanism, .. } => Some(*mechanism),
        _ => None,
    });
    assert_eq!(mechanism, Some("SCRAM-SHA-256-PLUS"));
    // A wrong password, and one that would do but is not bound to the stream.
    for refused in [ScramClient::plus("alice", "wrong"), ScramClient::new("alice", "secret")] {
        bounded(connect(refused.unwrap())).await.map(|_| ()).unwrap_err();
    }
}
