//! What a certificate says, read from its DER (RFC 5280).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use transport_core::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate as X509, TbsCertificate};

use crate::refusal::Refusal;
use crate::spiffe;

/// Reads a certificate, and refuses one that no chain could make good: a weak key or signature, a malformed SPIFFE id.
///
/// The result has no chain yet: its names are only claims.
pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Certificate, Refusal> {
    let x509 = X509::from_der(der).map_err(malformed)?;
    check_signature_algorithm(x509.signature_algorithm().oid)?;
    check_key(x509.tbs_certificate())?;
    let mut certificate = without_names(&x509)?;
    if let Some((_critical, names)) =
        x509.tbs_certificate().get_extension::<SubjectAltName>().map_err(malformed)?
    {
        names.0.iter().try_for_each(|name| add(&mut certificate, name))?;
    }
    spiffe::check(&certificate.uris).map_err(Refusal::Spiffe)?;
    Ok(certificate)
}

/// Reads the key of a certificate that nobody verifies, and none of its names.
pub(crate) fn read_unchecked(der: &CertificateDer<'_>) -> Result<Certificate, Refusal> {
    without_names(&X509::from_der(der).map_err(malformed)?)
}

fn without_names(x509: &X509) -> Result<Certificate, Refusal> {
    let tbs = x509.tbs_certificate();
    let validity = tbs.validity();
    let mut certificate = Certificate::new(
        spki_sha256(tbs)?,
        validity.not_before.to_system_time(),
        validity.not_after.to_system_time(),
    );
    certificate.subject = tbs.subject().to_string();
    certificate.issuer = tbs.issuer().to_string();
    Ok(certificate)
}

/// The validity of a certificate: also of an authority's, which is trusted whatever else it says.
pub(crate) fn validity(der: &[u8]) -> Result<(SystemTime, SystemTime), Refusal> {
    let x509 = X509::from_der(der).map_err(malformed)?;
    let validity = x509.tbs_certificate().validity();
    Ok((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
}

/// The subject of a certificate, printed (RFC 4514).
pub(crate) fn subject(der: &[u8]) -> String {
    X509::from_der(der).map_or_else(|_| String::new(), |x509| x509.tbs_certificate().subject().to_string())
}

fn add(certificate: &mut Certificate, name: &GeneralName) -> Result<(), Refusal> {
    match name {
        GeneralName::DnsName(name) => certificate.dns_names.push(text(name.as_str())?),
        GeneralName::UniformResourceIdentifier(uri) => certificate.uris.push(text(uri.as_str())?),
        GeneralName::Rfc822Name(name) => certificate.emails.push(text(name.as_str())?),
        GeneralName::IpAddress(bytes) => certificate.ip_addresses.push(ip_address(bytes.as_bytes())?),
        // Names of other kinds identify nobody here.
        _ => {}
    }
    Ok(())
}

/// A name with a NUL or a line break in it reads as another one somewhere.
fn text(name: &str) -> Result<String, Refusal> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Refusal::Malformed { problem: "a name is empty or has control characters".to_owned() });
    }
    Ok(name.to_owned())
}

fn ip_address(bytes: &[u8]) -> Result<IpAddr, Refusal> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes);
    let problem = || Refusal::Malformed { problem: "an IP address has neither 4 nor 16 bytes".to_owned() };
    octets.map(|octets| Ipv6Addr::from(octets).into()).map_err(|_| problem())
}

fn spki_sha256(tbs: &TbsCertificate) -> Result<[u8; 32], Refusal> {
    let spki = tbs.subject_public_key_info().to_der().map_err(malformed)?;
    Ok(Sha256::digest(spki).into())
}

fn check_key(tbs: &TbsCertificate) -> Result<(), Refusal> {
    const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    const SHORTEST: usize = 2048;
    let spki = tbs.subject_public_key_info();
    if spki.algorithm.oid != RSA {
        return Ok(());
    }
    let modulus_bits = || -> x509_cert::der::Result<usize> {
        let mut reader = SliceReader::new(spki.subject_public_key.raw_bytes())?;
        reader.sequence(|reader| {
            let modulus = UintRef::decode(reader)?;
            let _exponent = UintRef::decode(reader)?;
            let bytes = modulus.as_bytes();
            let leading = bytes.first().map_or(0, |byte| byte.leading_zeros() as usize);
            Ok(bytes.len() * 8 - leading)
        })
    };
    match modulus_bits().map_err(malformed)? {
        bits if bits < SHORTEST => Err(Refusal::WeakKey { bits }),
        _ => Ok(()),
    }
}

fn check_signature_algorithm(oid: ObjectIdentifier) -> Result<(), Refusal> {
    match weak_algorithm(&oid.to_string()) {
        Some(algorithm) => Err(Refusal::WeakSignature { algorithm }),
        None => Ok(()),
    }
}

/// The name of a signature algorithm whose signatures can be forged (RFC 6151, RFC 9155).
pub(crate) fn weak_algorithm(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "1.2.840.113549.1.1.2" => "MD2",
        "1.2.840.113549.1.1.3" => "MD4",
        "1.2.840.113549.1.1.4" => "MD5",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => "SHA-1",
        _ => return None,
    })
}

fn malformed(error: impl std::fmt::Display) -> Refusal {
    Refusal::Malformed { problem: error.to_string() }
}
