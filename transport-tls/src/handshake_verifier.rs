//! The verifier as rustls calls it in the middle of a handshake.
//!
//! Whatever the reason, a refusal reaches rustls as one and the same error, so the peer gets one and the same alert
//! (`certificate_unknown`); the reason travels inside it to this side's log.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use transport_core::{Certificate, Policy};

use crate::config::ClientCertificates;
use crate::refusal::Refusal;
use crate::verifier::{PeerRole, Verifier, system_time};

#[derive(Debug)]
pub(crate) struct HandshakeVerifier {
    verifier: Arc<Verifier>,
    client_certificates: ClientCertificates,
    /// Who the peer may be, as far as its certificate decides that.
    policy: Option<Policy>,
    hints: Vec<DistinguishedName>,
}

/// With more authorities than that, the list would only fill the handshake.
const MOST_HINTS: usize = 16;

impl HandshakeVerifier {
    pub(crate) fn new(verifier: Arc<Verifier>, client_certificates: ClientCertificates) -> HandshakeVerifier {
        let mut hints: Vec<DistinguishedName> =
            verifier.subjects().map(DistinguishedName::in_sequence).collect();
        if hints.len() > MOST_HINTS {
            hints.clear();
        }
        HandshakeVerifier { verifier, client_certificates, policy: None, hints }
    }

    /// Has peers refused, too, whom this policy denies by their certificates alone, or by having none.
    pub(crate) fn with_policy(mut self, policy: Policy) -> HandshakeVerifier {
        self.policy = Some(policy);
        self
    }

    fn check_policy(&self, certificate: Option<&Certificate>) -> Result<(), Refusal> {
        let Some(policy) = &self.policy else { return Ok(()) };
        Ok(policy.check_certificate(certificate)?)
    }

    fn chain<'a>(leaf: &CertificateDer<'a>, intermediates: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
        std::iter::once(leaf).chain(intermediates).cloned().collect()
    }
}

impl ClientCertVerifier for HandshakeVerifier {
    fn offer_client_auth(&self) -> bool {
        self.client_certificates != ClientCertificates::NotAsked
    }

    fn client_auth_mandatory(&self) -> bool {
        // Where nobody can pass without one, the alert that asks for it says more than a refusal later on.
        self.client_certificates == ClientCertificates::Required || self.check_policy(None).is_err()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = HandshakeVerifier::chain(end_entity, intermediates);
        let peer = self.verifier.verify(&chain, PeerRole::Client, system_time(now))?;
        self.check_policy(Some(peer.leaf()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(verify_tls12_signature(message, cert, dss, self.verifier.algorithms()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(verify_tls13_signature(message, cert, dss, self.verifier.algorithms()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.algorithms().supported_schemes()
    }
}

impl ServerCertVerifier for HandshakeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = HandshakeVerifier::chain(end_entity, intermediates);
        let peer = self.verifier.verify(&chain, PeerRole::Server, system_time(now))?;
        self.verifier.verify_name(&peer, server_name)?;
        self.check_policy(Some(peer.leaf()))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(verify_tls12_signature(message, cert, dss, self.verifier.algorithms()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(verify_tls13_signature(message, cert, dss, self.verifier.algorithms()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.algorithms().supported_schemes()
    }
}

fn signature(result: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
    result.map_err(|error| match error {
        Error::InvalidCertificate(_) => Refusal::BadSignature.into(),
        other => other,
    })
}
