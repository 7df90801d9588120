//! Certificate revocation lists (RFC 5280 Section 5).

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::authority::CertificateAuthority;
use crate::certificate::{Certificate, parse, printable};
use crate::error::Error;
use crate::pem;
use crate::serial::SerialNumber;
use crate::validity::{self, Validity, from_seconds};

/// Why a certificate is revoked (RFC 5280 Section 5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationReason {
    /// No reason is given: the default.
    #[default]
    Unspecified,
    /// Somebody else has, or may have, the private key.
    KeyCompromise,
    /// Its owner has another role or name.
    AffiliationChanged,
    /// Another certificate has taken its place.
    Superseded,
    /// What it was for has ended.
    CessationOfOperation,
    /// Its owner may no longer do what it allowed.
    PrivilegeWithdrawn,
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Since when.
    pub since: SystemTime,
    /// Why.
    pub reason: RevocationReason,
}

/// How a revocation list is made.
#[derive(Clone, Debug)]
pub struct RevocationConfig {
    /// What is revoked. Default: nothing.
    pub revoked: Vec<Revoked>,
    /// The number of the list, which grows with each new one. Default: 1.
    pub number: u64,
    /// Until when it holds; after that a peer that enforces it refuses everybody. Default: 30 days.
    pub validity: Validity,
}

impl RevocationConfig {
    /// The list after this one: all that it has, and the next number.
    pub fn after(list: &RevocationList) -> RevocationConfig {
        RevocationConfig {
            revoked: list.revoked.clone(),
            number: list.number.saturating_add(1),
            ..RevocationConfig::default()
        }
    }

    /// Adds a certificate, from now on. One that is revoked already stays as it is.
    pub fn with_revoked(mut self, serial: &SerialNumber, reason: RevocationReason) -> RevocationConfig {
        if !self.revoked.iter().any(|revoked| revoked.serial == *serial) {
            self.revoked.push(Revoked { serial: serial.clone(), since: SystemTime::now(), reason });
        }
        self
    }

    /// Sets until when the list holds.
    pub fn with_validity(mut self, validity: Validity) -> RevocationConfig {
        self.validity = validity;
        self
    }
}

impl Default for RevocationConfig {
    fn default() -> RevocationConfig {
        RevocationConfig { revoked: Vec::new(), number: 1, validity: Validity::Days(30) }
    }
}

/// A signed list of the certificates that an authority has revoked.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    issuer: String,
    number: u64,
    this_update: SystemTime,
    next_update: SystemTime,
    revoked: Vec<Revoked>,
}

impl RevocationList {
    /// Parses a list in DER. Nothing is verified before [`is_issued_by`](RevocationList::is_issued_by) says so.
    ///
    /// # Errors
    ///
    /// When it is none, has no next update, which every list of RFC 5280 has, or a number of more than 64 bits.
    pub fn from_der(der: &[u8]) -> Result<RevocationList, Error> {
        let list = parse_list(der)?;
        let next_update = list.next_update().ok_or_else(|| malformed("it has no next update"))?;
        let number = list.crl_number().map_or(Ok(0), u64::try_from);
        let entries = list.iter_revoked_certificates().map(|entry| Revoked {
            serial: SerialNumber::from_der(entry.raw_serial()),
            since: from_seconds(entry.revocation_date.timestamp()),
            reason: entry.reason_code().map_or(RevocationReason::Unspecified, |(_, code)| reason_of(code.0)),
        });
        Ok(RevocationList {
            der: der.to_vec(),
            issuer: printable(&list.issuer().to_string()),
            number: number.map_err(|_| malformed("its number has more than 64 bits"))?,
            this_update: from_seconds(list.last_update().timestamp()),
            next_update: from_seconds(next_update.timestamp()),
            revoked: entries.collect(),
        })
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its bytes as PEM.
    pub fn pem(&self) -> String {
        pem::encode("X509 CRL", &self.der).to_string()
    }

    /// Who signed it, for people.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its number, which grows with each new list; 0 if it has none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// From when it holds.
    pub fn this_update(&self) -> SystemTime {
        self.this_update
    }

    /// Until when it holds.
    pub fn next_update(&self) -> SystemTime {
        self.next_update
    }

    /// What is revoked.
    pub fn revoked(&self) -> &[Revoked] {
        &self.revoked
    }

    /// The entry of this serial number.
    pub fn find(&self, serial: &SerialNumber) -> Option<&Revoked> {
        self.revoked.iter().find(|revoked| revoked.serial == *serial)
    }

    /// Checks that `issuer` signed it: the name and the signature, not the time.
    ///
    /// # Errors
    ///
    /// When it did not, with the reason.
    pub fn is_issued_by(&self, issuer: &Certificate) -> Result<(), Error> {
        let list = parse_list(&self.der)?;
        let authority: X509Certificate<'_> = parse(issuer.der())?;
        if list.issuer().as_raw() != issuer.subject_der() {
            return Err(malformed(&format!("it was issued by {}, not by {}", self.issuer, issuer.subject())));
        }
        let verified = list.verify_signature(authority.public_key());
        verified.map_err(|_| malformed(&format!("its signature is not by the key of {}", issuer.subject())))
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("issuer", &self.issuer)
            .field("number", &self.number)
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Signs a revocation list.
    ///
    /// # Errors
    ///
    /// When the authority's certificate does not allow that, or the list would be valid at no time.
    pub fn revocation_list(&self, config: &RevocationConfig) -> Result<RevocationList, Error> {
        let (this_update, next_update) = config.validity.resolve(SystemTime::now())?;
        let too_old =
            || Error::Config("a certificate cannot be revoked before the year 0 or after 9999".into());
        let entries = config.revoked.iter().map(|revoked| {
            Ok(RevokedCertParams {
                serial_number: rcgen::SerialNumber::from_slice(revoked.serial.as_bytes()),
                revocation_time: validity::to_date(revoked.since).ok_or_else(too_old)?,
                reason_code: Some(code_of(revoked.reason)),
                invalidity_date: None,
            })
        });
        let certificate = self.certificate();
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: config.number.into(),
            issuing_distribution_point: None,
            revoked_certs: entries.collect::<Result<_, Error>>()?,
            key_identifier_method: certificate
                .key_id()
                .map_or(KeyIdMethod::Sha256, |id| KeyIdMethod::PreSpecified(id.to_vec())),
        };
        let signed = params.signed_by(&self.issuer()?).map_err(Error::crypto("sign the revocation list"))?;
        let list = RevocationList::from_der(signed.der())?;
        list.is_issued_by(certificate).map(|()| list)
    }
}

impl RevocationReason {
    /// Every reason, in the order of the help.
    pub const ALL: [RevocationReason; 6] = [
        RevocationReason::Unspecified,
        RevocationReason::KeyCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn,
    ];

    /// Its name in RFC 5280, such as `keyCompromise`.
    pub fn name(self) -> &'static str {
        match self {
            RevocationReason::Unspecified => "unspecified",
            RevocationReason::KeyCompromise => "keyCompromise",
            RevocationReason::AffiliationChanged => "affiliationChanged",
            RevocationReason::Superseded => "superseded",
            RevocationReason::CessationOfOperation => "cessationOfOperation",
            RevocationReason::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RevocationReason {
    type Err = Error;

    fn from_str(text: &str) -> Result<RevocationReason, Error> {
        let known = RevocationReason::ALL.into_iter().find(|reason| reason.name() == text);
        known.ok_or_else(|| Error::Config(format!("there is no reason {text:?} for a revocation")))
    }
}

fn code_of(reason: RevocationReason) -> rcgen::RevocationReason {
    match reason {
        RevocationReason::Unspecified => rcgen::RevocationReason::Unspecified,
        RevocationReason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
        RevocationReason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
        RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
        RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
    }
}

/// A reason that is not known here counts as none: revoked is revoked.
fn reason_of(code: u8) -> RevocationReason {
    match code {
        1 => RevocationReason::KeyCompromise,
        3 => RevocationReason::AffiliationChanged,
        4 => RevocationReason::Superseded,
        5 => RevocationReason::CessationOfOperation,
        9 => RevocationReason::PrivilegeWithdrawn,
        _ => RevocationReason::Unspecified,
    }
}

fn parse_list(der: &[u8]) -> Result<CertificateRevocationList<'_>, Error> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        Ok(_) => Err(malformed("there are bytes after its revocation list")),
        Err(error) => Err(malformed(&format!("its revocation list is malformed: {error}"))),
    }
}

fn malformed(problem: &str) -> Error {
    Error::Malformed(problem.to_owned())
}
