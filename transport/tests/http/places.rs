//! Where servers are, and how to get there.

use std::time::Duration;

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig};
use transport::core::{Address, BoxStream};
use transport::tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};
use transport::{Policy, RawServer};

/// A server at a place of its own, and what a client of it needs.
pub(crate) struct Place {
    pub(crate) server: Option<RawServer>,
    pub(crate) door: Door,
    /// How the server names the client.
    pub(crate) client: String,
    _directory: Option<tempfile::TempDir>,
}

/// The way in.
#[derive(Clone)]
pub(crate) struct Door {
    transports: transport::core::Transports,
    address: Address,
}

/// One of each kind.
pub(crate) async fn places(protocols: &[&str]) -> [Place; 2] {
    [over_tls(protocols).await, over_unix().await]
}

async fn over_tls(protocols: &[&str]) -> Place {
    let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let tls = |name: &str| {
        let own = authority.issue(&LeafConfig::new([name]).unwrap()).unwrap();
        let config = TlsConfig::new()
            .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
            .with_trust(Trust::ca_pem(authority.certificate().pem()))
            .with_protocols(protocols);
        TlsTransport::with_config(config).unwrap()
    };
    let listen = transport::listen("tls://127.0.0.1:0").transport(tls("web.example"));
    let server = listen.policy(Policy::san_dns("alice")).start_raw().await.unwrap();
    let address = server.local_address().with_parameter("name", "web.example");
    let transports = transport::with_tls(transport::transports(), &tls("alice"));
    Place {
        server: Some(server),
        door: Door { transports, address },
        client: "dns:alice".to_owned(),
        _directory: None,
    }
}

async fn over_unix() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let address: Address = format!("unix://{}/web.sock", directory.path().display()).parse().unwrap();
    let server = transport::listen(&address).policy(Policy::same_user()).start_raw().await.unwrap();
    let client = Policy::same_user().to_string();
    let door = Door { transports: transport::transports(), address };
    Place { server: Some(server), door, client, _directory: Some(directory) }
}

impl Door {
    pub(crate) async fn enter(&self) -> BoxStream {
        let transport = self.transports.lookup(self.address.scheme()).unwrap();
        transport.connect(&self.address).await.unwrap().stream
    }
}

pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), test).await.expect("it hangs")
}
