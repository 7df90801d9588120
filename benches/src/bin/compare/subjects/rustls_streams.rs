//! TLS streams of tokio-rustls, for the subjects that have nothing else between them and the socket.
//!
//! Settings are those of transport-tls: TLS 1.3, certificates on both sides, the same cipher and key exchange first, one
//! ticket for each handshake.

use std::net::TcpStream as StdStream;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::certificates::{Certificates, certificates};
use crate::job::Result;

/// Both sides' settings, with a store of sessions of the client's own.
pub(crate) fn sides() -> Result<(TlsConnector, TlsAcceptor)> {
    let Certificates { authority, server, client } = certificates()?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..aws_lc_rs::default_provider()
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let roots = Arc::new(roots);
    let own = |pem: &'static str| -> Result<_> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<std::result::Result<_, _>>()?;
        Ok((chain, PrivateKeyDer::from_pem_slice(pem.as_bytes())?))
    };
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build()?;
    let (chain, key) = own(server)?;
    let mut acceptor = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    acceptor.ticketer = aws_lc_rs::Ticketer::new()?;
    acceptor.session_storage = Arc::new(NoServerSessionStorage {});
    acceptor.send_tls13_tickets = 1;
    let (chain, key) = own(client)?;
    let connector = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok((TlsConnector::from(Arc::new(connector)), TlsAcceptor::from(Arc::new(acceptor))))
}

/// The connecting side over a socket that is connected.
pub(crate) async fn connect(
    connector: &TlsConnector,
    socket: StdStream,
    name: String,
) -> Result<client::TlsStream<TcpStream>> {
    socket.set_nonblocking(true)?;
    Ok(connector.connect(ServerName::try_from(name)?, TcpStream::from_std(socket)?).await?)
}

/// The accepting side over a socket that is connected.
pub(crate) async fn accept(
    acceptor: &TlsAcceptor,
    socket: StdStream,
) -> Result<server::TlsStream<TcpStream>> {
    socket.set_nonblocking(true)?;
    Ok(acceptor.accept(TcpStream::from_std(socket)?).await?)
}
