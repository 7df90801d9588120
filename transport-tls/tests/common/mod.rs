//! Certificates for tests, made on the fly.
// Each test file uses some of it, and a test that cannot make a certificate shall panic.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Leaf {
    pub certificate_pem: String,
    pub key_pem: String,
    pub serial: u64,
}

/// What a leaf is to be like; the default is a good one for both sides.
pub struct LeafParams {
    pub names: Vec<SanType>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub usages: Vec<ExtendedKeyUsagePurpose>,
    pub serial: u64,
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

impl LeafParams {
    pub fn new(names: impl Into<Vec<SanType>>) -> LeafParams {
        use std::sync::atomic::{AtomicU64, Ordering};
        static SERIAL: AtomicU64 = AtomicU64::new(0x1000);
        LeafParams {
            names: names.into(),
            not_before: now() - Duration::hours(1),
            not_after: now() + Duration::days(30),
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn certificate(self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.subject_alt_names = self.names;
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.extended_key_usages = self.usages;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from(self.serial));
        params.use_authority_key_identifier_extension = true;
        params
    }

    pub fn self_signed(self) -> Leaf {
        let serial = self.serial;
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate().self_signed(&key).unwrap();
        Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), serial }
    }
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        Authority::valid(name, now() - Duration::days(1), now() + Duration::days(365))
    }

    pub fn valid(name: &str, not_before: OffsetDateTime, not_after: OffsetDateTime) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = not_before;
        params.not_after = not_after;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { issuer: Issuer::new(params, key), pem: certificate.pem() }
    }

    pub fn issue(&self, params: LeafParams) -> Leaf {
        let serial = params.serial;
        let key = KeyPair::generate().unwrap();
        let certificate = params.certificate().signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), serial }
    }

    /// A good certificate with one DNS name.
    pub fn leaf(&self, name: &str) -> Leaf {
        self.issue(LeafParams::new([dns(name)]))
    }

    pub fn revocation_list(&self, revoked: &[&Leaf], next_update: OffsetDateTime) -> String {
        let revoked_certs = revoked.iter().map(|leaf| RevokedCertParams {
            serial_number: SerialNumber::from(leaf.serial),
            revocation_time: now() - Duration::minutes(1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: now() - Duration::hours(2),
            next_update,
            crl_number: SerialNumber::from(now().unix_timestamp_nanos().unsigned_abs() as u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl Leaf {
    pub fn combined(&self) -> String {
        format!("{}\n{}", self.key_pem, self.certificate_pem)
    }
}

/// Writes a file as a careful program does: beside, then renamed.
pub fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&beside, path).unwrap();
}

pub fn write_new(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    write(&path, text);
    path
}
