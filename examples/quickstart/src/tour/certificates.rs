//! Certificates made on the fly, for the two ends of `tls://` and for a stranger.

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig};
use transport::tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};

use crate::problem::Problem;

/// The name in the server's certificate.
pub(super) const SERVER: &str = "server.example";
/// The name in the client's certificate.
pub(super) const CLIENT: &str = "client.example";

/// What each end of a connection has, and what somebody has whom the server does not trust.
pub(super) struct Certificates {
    pub(super) server: TlsTransport,
    pub(super) client: TlsTransport,
    pub(super) stranger: TlsTransport,
}

impl Certificates {
    pub(super) fn new() -> Result<Certificates, Problem> {
        let ours = CertificateAuthority::new(&AuthorityConfig::default())?;
        let other = CertificateAuthority::new(&AuthorityConfig::default())?;
        let tls = |issuer: &CertificateAuthority, name: &str| -> Result<TlsTransport, Problem> {
            let own = issuer.issue(&LeafConfig::new([name])?)?;
            let config = TlsConfig::new()
                .with_certificate(OwnCertificate::from_pem(own.combined_pem().as_bytes()))
                .with_trust(Trust::ca_pem(ours.certificate().pem()));
            Ok(TlsTransport::with_config(config)?)
        };
        Ok(Certificates {
            server: tls(&ours, SERVER)?,
            client: tls(&ours, CLIENT)?,
            stranger: tls(&other, CLIENT)?,
        })
    }
}
