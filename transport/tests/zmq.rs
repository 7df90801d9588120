//! What the feature `zmq` adds.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::future::IntoFuture;
use std::time::Duration;

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig};
use transport::Policy;
use transport::tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};
use transport::zmq::{PullSocket, PushSocket, SocketConfig};

async fn within<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing here takes so long")
}

#[tokio::test]
async fn streams_through_zeromq_are_found_by_url() {
    let folder = tempfile::tempdir().unwrap();
    for (address, principal) in [
        ("zmq+tcp://127.0.0.1:0".to_owned(), "anonymous".to_owned()),
        (
            format!("zmq+unix://{}/zmq.sock", folder.path().display()),
            format!("uid:{}", rustix::process::geteuid().as_raw()),
        ),
    ] {
        let listen = transport::listen(address.as_str()).policy(Policy::danger_anyone());
        let mut server = listen.start().await.unwrap();
        let connect = transport::connect(server.local_address()).server(Policy::danger_anyone());
        let mut client = within(connect).await.unwrap();
        client.send("hello").await.unwrap();
        let mut connection = within(server.accept()).await.unwrap();
        assert_eq!(connection.identity().to_string(), principal);
        assert_eq!(within(connection.recv()).await.unwrap().unwrap().to_text(), Some("hello"));
    }
}

#[tokio::test]
async fn sockets_use_the_transports_of_the_facade() {
    let folder = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let tls = |name: &str| {
        let own = authority.issue(&LeafConfig::new([name]).unwrap()).unwrap();
        let config = TlsConfig::new()
            .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
            .with_trust(Trust::ca_pem(authority.certificate().pem()));
        TlsTransport::with_config(config).unwrap()
    };
    let config = SocketConfig::new(Policy::danger_anyone());
    let table = |name| transport::with_tls(transport::transports(), &tls(name));
    let mut pull = PullSocket::new(&table("localhost"), config.clone());
    let mut push = PushSocket::new(&table("alice"), config);
    for (place, principal) in [
        ("inproc://work".to_owned(), "process".to_owned()),
        (
            format!("ipc://{}/work.sock", folder.path().display()),
            format!("uid:{}", rustix::process::geteuid().as_raw()),
        ),
        ("tls://127.0.0.1:0".to_owned(), "dns:alice".to_owned()),
    ] {
        let address = pull.bind(&place).await.unwrap();
        let address =
            if address.scheme() == "tls" { address.with_parameter("name", "localhost") } else { address };
        push.connect(&address).unwrap();
        within(push.send(place.as_str())).await.unwrap();
        let (message, peer) = within(pull.recv_from()).await;
        assert_eq!((message.to_text(), peer.identity().to_string()), (Some(&*place), principal));
        push.disconnect(&address).unwrap();
    }
}
