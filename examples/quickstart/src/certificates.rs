//! The options for `tls://`: whose certificate this side has, and whom it trusts.

use std::path::PathBuf;

use clap::Args;
use transport::Policy;
use transport::core::Transports;
use transport::tls::{ClientCertificates, OwnCertificate, Pin, TlsConfig, TlsTransport, Trust};

use crate::problem::Problem;

/// What `serve` and `send` both take.
#[derive(Args)]
pub(crate) struct TlsOptions {
    /// The own certificate (tls): PEM, with its key unless --key has it
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert, in a file of its own
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Whom to trust (tls): a PEM file of certificate authorities, or a folder of such files
    #[arg(long, value_name = "PATH")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust the owner of this key (tls): sha256:BASE64, as `certgen show` prints it
    #[arg(long, value_name = "PIN")]
    pub(crate) pin: Vec<Pin>,
    /// What is revoked (tls): a file of revocation lists, which must cover everyone
    #[arg(long, value_name = "FILE")]
    pub(crate) crl: Option<PathBuf>,
}

impl TlsOptions {
    /// All transports, and those of tls with these options.
    pub(crate) fn transports(&self, clients: ClientCertificates) -> Result<Transports, Problem> {
        let transports = transport::transports();
        if self.cert.is_none() && self.ca.is_none() && self.pin.is_empty() {
            return Ok(transports);
        }
        let mut config = TlsConfig::new().with_trust(self.trust()).with_client_certificates(clients);
        if let Some(certificate) = &self.cert {
            config = config.with_certificate(match &self.key {
                Some(key) => OwnCertificate::files(certificate, key),
                None => OwnCertificate::combined(certificate),
            });
        }
        if let Some(list) = &self.crl {
            config = config.with_revocation_lists(list);
        }
        Ok(transport::with_tls(transports, &TlsTransport::with_config(config)?))
    }

    /// Who a server may be if nothing else is said: tls has compared its certificate with the name in the address, or its
    /// key with the pins.
    pub(crate) fn server_policy(&self) -> Policy {
        let pinned = self.pin.iter().filter_map(|pin| format!("pin:{pin}").parse().ok());
        pinned.fold(Policy::certified(), Policy::or)
    }

    fn trust(&self) -> Trust {
        let ca = self
            .ca
            .as_ref()
            .map(|path| if path.is_dir() { Trust::ca_directory(path) } else { Trust::ca_file(path) });
        ca.into_iter().chain(self.pin.iter().map(|pin| Trust::pin(*pin))).fold(Trust::default(), Trust::or)
    }
}
