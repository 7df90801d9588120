//! Certificates for the tests of this folder.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use certgen::{
    AuthorityConfig, CertificateAuthority, Credentials, LeafConfig, Profile, RevocationConfig,
    RevocationReason, Validity,
};
use transport_tls::{OwnCertificate, TlsConfig, TlsTransport, Trust};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// An authority for one test.
pub(crate) struct Authority(pub(crate) CertificateAuthority);

impl Authority {
    pub(crate) fn new() -> Authority {
        Authority(CertificateAuthority::new(&AuthorityConfig::default()).unwrap())
    }

    /// A year of validity that began and ended so many days from now.
    pub(crate) fn valid(from: i64, until: i64) -> Authority {
        let config = AuthorityConfig::default().with_validity(between(from, until));
        Authority(CertificateAuthority::new(&config).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.certificate().pem()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::ca_pem(self.pem())
    }

    /// A good certificate for both sides.
    pub(crate) fn leaf(&self, name: &str) -> Credentials {
        self.issue(&leaf(&[name]))
    }

    pub(crate) fn issue(&self, config: &LeafConfig) -> Credentials {
        self.0.issue(config).unwrap()
    }

    pub(crate) fn revocation_list(&self, revoked: &[&Credentials], validity: Validity) -> String {
        let mut config = RevocationConfig::default().with_validity(validity);
        for credentials in revoked {
            config = config.with_revoked(credentials.certificate().serial(), RevocationReason::KeyCompromise);
        }
        self.0.revocation_list(&config).unwrap().pem()
    }

    /// Settings with a certificate of this authority and trust in it.
    pub(crate) fn config(&self, credentials: &Credentials) -> TlsConfig {
        TlsConfig::new().with_certificate(own(credentials)).with_trust(self.trust())
    }

    pub(crate) fn tls(&self, credentials: &Credentials) -> TlsTransport {
        TlsTransport::with_config(self.config(credentials)).unwrap()
    }
}

pub(crate) fn leaf(names: &[&str]) -> LeafConfig {
    LeafConfig::new(names).unwrap().with_profile(Profile::Peer)
}

pub(crate) fn own(credentials: &Credentials) -> OwnCertificate {
    OwnCertificate::from_pem(credentials.combined_pem().as_bytes())
}

/// From so many days from now until so many.
pub(crate) fn between(from: i64, until: i64) -> Validity {
    let day = |days: i64| {
        let distance = DAY * u32::try_from(days.unsigned_abs()).unwrap();
        if days < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    };
    Validity::Between { not_before: day(from), not_after: day(until) }
}

/// Writes a file as a careful program does: beside it, then renamed.
pub(crate) fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&beside, path).unwrap();
}

pub(crate) fn write_new(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    write(&path, text);
    path
}
