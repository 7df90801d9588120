//! A certificate that exists, and what it says.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;

use crate::error::Error;
use crate::names::Name;
use crate::pem::{self, PemFile};
use crate::serial::SerialNumber;
use crate::validity::from_seconds;

/// A certificate (RFC 5280), parsed.
///
/// What it says is as its maker wrote it: nothing is verified before [`is_issued_by`](Certificate::is_issued_by) says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    subject: NameOf,
    issuer: NameOf,
    common_name: Option<String>,
    serial: SerialNumber,
    names: Vec<Name>,
    not_before: SystemTime,
    not_after: SystemTime,
    is_authority: bool,
    public_key: Vec<u8>,
    key_kind: String,
    key_id: Option<Vec<u8>>,
    usages: Vec<&'static str>,
}

/// A distinguished name: as text for people, and as bytes, which decide whether two are the same.
#[derive(Clone, PartialEq, Eq)]
struct NameOf {
    text: String,
    der: Vec<u8>,
}

impl Certificate {
    /// Parses a certificate in DER.
    ///
    /// # Errors
    ///
    /// When it is no certificate.
    pub fn from_der(der: &[u8]) -> Result<Certificate, Error> {
        let parsed = parse(der)?;
        let validity = parsed.validity();
        let common_name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Certificate {
            der: der.to_vec(),
            subject: NameOf::new(parsed.subject()),
            issuer: NameOf::new(parsed.issuer()),
            common_name: common_name.map(printable),
            serial: SerialNumber::from_der(parsed.raw_serial()),
            names: names(&parsed),
            not_before: from_seconds(validity.not_before.timestamp()),
            not_after: from_seconds(validity.not_after.timestamp()),
            is_authority: parsed.is_ca(),
            public_key: parsed.public_key().raw.to_vec(),
            key_kind: key_kind(&parsed),
            key_id,
            usages: usages(&parsed),
        })
    }

    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or has no certificate.
    pub fn read(path: impl AsRef<Path>) -> Result<Certificate, Error> {
        let path = path.as_ref();
        let first = PemFile::read(path)?.certificates.into_iter().next();
        first.ok_or_else(|| Error::Malformed("it has no certificate".into()).in_file(path))
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its bytes as PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der).to_string()
    }

    /// Whose it is, for people: nothing that may be trusted as a name (that is [`names`](Certificate::names)).
    pub fn subject(&self) -> &str {
        &self.subject.text
    }

    /// The common name of its subject, for people.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Who signed it, for people.
    pub fn issuer(&self) -> &str {
        &self.issuer.text
    }

    /// Its serial number.
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// Its names (subjectAltName) of the kinds that [`Name`] has.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// When it begins to be valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When it ends to be valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it may sign other certificates.
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.issuer.der == self.subject.der
    }

    /// Its public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The kind of its key, for people, such as `ECDSA P-256`.
    pub fn key_kind(&self) -> &str {
        &self.key_kind
    }

    /// What it may be used for: its key usages and extended key usages by their names in RFC 5280.
    pub fn usages(&self) -> &[&'static str] {
        &self.usages
    }

    /// SHA-256 of the certificate, as `AB:CD:...`.
    pub fn fingerprint(&self) -> String {
        let digest = digest(&SHA256, &self.der);
        let pairs: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// SHA-256 of its public key, as `sha256:` and base64: what a peer can be pinned to.
    pub fn pin(&self) -> String {
        format!("sha256:{}", BASE64.encode(digest(&SHA256, &self.public_key).as_ref()))
    }

    /// Checks that `issuer` signed it: the name and the signature, not the time.
    ///
    /// # Errors
    ///
    /// When it did not, with the reason.
    pub fn is_issued_by(&self, issuer: &Certificate) -> Result<(), Error> {
        if self.issuer.der != issuer.subject.der {
            let problem = format!("it was issued by {}, not by {}", self.issuer(), issuer.subject());
            return Err(Error::Malformed(problem));
        }
        let (parsed, authority) = (parse(&self.der)?, parse(&issuer.der)?);
        parsed
            .verify_signature(Some(authority.public_key()))
            .map_err(|_| Error::Malformed(format!("its signature is not by the key of {}", issuer.subject())))
    }

    /// Its key identifier (subjectKeyIdentifier).
    pub(crate) fn key_id(&self) -> Option<&[u8]> {
        self.key_id.as_deref()
    }

    pub(crate) fn subject_der(&self) -> &[u8] {
        &self.subject.der
    }

    pub(crate) fn issuer_der(&self) -> &[u8] {
        &self.issuer.der
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject.text)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

impl NameOf {
    fn new(name: &X509Name<'_>) -> NameOf {
        NameOf { text: printable(&name.to_string()), der: name.as_raw().to_vec() }
    }
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Error::Malformed("there are bytes after its certificate".into())),
        Err(error) => Err(Error::Malformed(format!("its certificate is malformed: {error}"))),
    }
}

/// Text of a stranger, fit for a terminal.
pub(crate) fn printable(text: &str) -> String {
    let escaped = |character: char| {
        let control = character.is_control().then(|| character.escape_default());
        let plain = control.is_none().then_some(character);
        control.into_iter().flatten().chain(plain)
    };
    text.chars().flat_map(escaped).collect()
}

pub(crate) fn name_of(general: &GeneralName<'_>) -> Option<Name> {
    match general {
        GeneralName::DNSName(text) => Some(Name::Dns(printable(text))),
        GeneralName::URI(text) => Some(Name::Uri(printable(text))),
        GeneralName::RFC822Name(text) => Some(Name::Email(printable(text))),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(Name::Ip)
        }
        _ => None,
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Name> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension.map_or_else(Vec::new, |names| names.value.general_names.iter().filter_map(name_of).collect())
}

fn key_kind(certificate: &X509Certificate<'_>) -> String {
    let key = certificate.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            bits @ (256 | 384) => format!("ECDSA P-{bits}"),
            521.. => "ECDSA P-521".into(),
            bits => format!("ECDSA with {bits} bits"),
        },
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".into(),
        _ => format!("of the algorithm {}", key.algorithm.algorithm.to_id_string()),
    }
}

fn usages(certificate: &X509Certificate<'_>) -> Vec<&'static str> {
    let mut usages = Vec::new();
    if let Ok(Some(extension)) = certificate.key_usage() {
        let usage = extension.value;
        let known = [
            (usage.digital_signature(), "digitalSignature"),
            (usage.non_repudiation(), "nonRepudiation"),
            (usage.key_encipherment(), "keyEncipherment"),
            (usage.data_encipherment(), "dataEncipherment"),
            (usage.key_agreement(), "keyAgreement"),
            (usage.key_cert_sign(), "keyCertSign"),
            (usage.crl_sign(), "cRLSign"),
        ];
        usages.extend(known.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)));
    }
    if let Ok(Some(extension)) = certificate.extended_key_usage() {
        let usage = extension.value;
        let known = [
            (usage.any, "anyExtendedKeyUsage"),
            (usage.server_auth, "serverAuth"),
            (usage.client_auth, "clientAuth"),
            (usage.code_signing, "codeSigning"),
            (usage.email_protection, "emailProtection"),
            (usage.time_stamping, "timeStamping"),
            (usage.ocsp_signing, "OCSPSigning"),
        ];
        usages.extend(known.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)));
    }
    usages
}
