//! rustls, both sides in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use certgen::{Algorithm, Credentials, LeafConfig, Profile, self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::set_up::{ALGORITHMS, Mutual};

#[test]
fn every_algorithm_works_on_both_sides_of_a_mutual_handshake() {
    for algorithm in ALGORITHMS {
        let Mutual { authority, server, client } = Mutual::new(algorithm);
        let said = handshake(roots(authority.certificate()), &server, Some(&client), "localhost");
        assert_eq!(said.as_deref(), Ok("hello"), "{algorithm}");
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_by_who_was_given_it() {
    for (profile, algorithm) in [
        (Profile::Peer, Algorithm::P256),
        (Profile::Server, Algorithm::Ed25519),
        (Profile::Flumotion, Algorithm::Rsa2048),
    ] {
        let config = LeafConfig::default().with_profile(profile).with_algorithm(algorithm);
        let server = self_signed(&config).unwrap();
        for name in ["localhost", "127.0.0.1", "::1"] {
            let said = handshake(roots(server.certificate()), &server, None, name);
            assert_eq!(said.as_deref(), Ok("hello"), "{profile} {algorithm} {name}");
        }
        let said = handshake(roots(server.certificate()), &server, None, "example.org");
        assert!(said.is_err_and(|error| error.contains("NotValidForName")), "{profile}");
    }
}

#[test]
fn a_certificate_for_clients_is_refused_as_a_servers() {
    let Mutual { authority, client, .. } = Mutual::new(Algorithm::P256);
    let said = handshake(roots(authority.certificate()), &client, None, "alice");
    assert!(said.unwrap_err().contains("InvalidPurpose"));
}

fn roots(certificate: &certgen::Certificate) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate.der())).unwrap();
    Arc::new(roots)
}

fn chain(credentials: &Credentials) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from(credentials.certificate().der().to_vec());
    (vec![certificate], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(credentials.key().der().to_vec())))
}

/// What the client reads from the server after the handshake, or why there was none.
fn handshake(
    roots: Arc<RootCertStore>,
    server: &Credentials,
    client: Option<&Credentials>,
    name: &str,
) -> Result<String, String> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let (certificates, key) = chain(server);
    let builder = match client {
        Some(_) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .unwrap(),
        ),
        None => builder.with_no_client_auth(),
    };
    let server = Arc::new(builder.with_single_cert(certificates, key).unwrap());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let client = match client.map(chain) {
        Some((certificates, key)) => builder.with_client_auth_cert(certificates, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    server.writer().write_all(b"hello").unwrap();
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        wire.clear();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|error| format!("{error:?}"))?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|error| format!("{error:?}"))?;
    }
    let mut text = [0; 5];
    client.reader().read_exact(&mut text).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
