//! Every field of a certificate, spelled out: the library's own defaults (valid from 1975 to 4096, no usages, no authority
//! key identifier) never come into it.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyIdMethod,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

use crate::algorithm::Algorithm;
use crate::authority::AuthorityConfig;
use crate::cables;
use crate::certificate::Certificate;
use crate::error::Error;
use crate::leaf::LeafConfig;
use crate::names::{self, Name};
use crate::profile::Profile;
use crate::serial::SerialNumber;

/// From when until when.
pub(crate) type Dates = (OffsetDateTime, OffsetDateTime);

/// A certificate for a server, a client or a person; the issuer and the public key are for what the cables network needs.
pub(crate) fn leaf(
    config: &LeafConfig,
    algorithm: Algorithm,
    dates: Dates,
    issued: Option<(&Certificate, &[u8])>,
) -> Result<CertificateParams, Error> {
    if let (Profile::Cables, Some((issuer, key))) = (config.profile, issued) {
        return cables::leaf(dates, issuer, key);
    }
    names::check_spiffe_is_alone(&config.names)?;
    if config.names.is_empty() {
        return Err(Error::Config("a certificate has at least one name".into()));
    }
    let mut params = base(dates, SerialNumber::random()?);
    params.distinguished_name = subject(config)?;
    params.subject_alt_names = config.names.iter().map(alternative_name).collect::<Result<_, _>>()?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = config.profile.key_usages(algorithm);
    params.extended_key_usages = config.profile.extended_key_usages();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What a request asks for.
pub(crate) fn request(config: &LeafConfig, algorithm: Algorithm) -> Result<CertificateParams, Error> {
    if config.profile == Profile::Cables {
        return Err(Error::Config(
            "peers of the cables network make their own authority: `certgen cables`".into(),
        ));
    }
    // A request has neither, but the library wants to know them.
    let dates = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH);
    let mut params = leaf(config, algorithm, dates, None)?;
    params.serial_number = None;
    params.use_authority_key_identifier_extension = false;
    Ok(params)
}

/// An authority's own certificate: it may issue certificates and revocation lists, but no further authorities.
pub(crate) fn authority(
    config: &AuthorityConfig,
    dates: Dates,
    public_key: &[u8],
) -> Result<CertificateParams, Error> {
    if let Some(kind) = config.cables {
        return cables::authority(kind, dates, public_key);
    }
    let serial = SerialNumber::random()?;
    let name = match &config.name {
        Some(name) => name.clone(),
        None => format!("certgen CA {}", &serial.to_string()[..8]),
    };
    let mut params = base(dates, serial);
    params.distinguished_name.push(DnType::CommonName, common_name(&name)?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// No names, no usages, no extensions: nothing of the library's defaults is left.
pub(crate) fn base((not_before, not_after): Dates, serial: SerialNumber) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = not_before;
    params.not_after = not_after;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(serial.as_bytes()));
    params.distinguished_name = DistinguishedName::new();
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

pub(crate) fn alternative_name(name: &Name) -> Result<SanType, Error> {
    let unfit = |_| Error::Name { name: name.text(), problem: "it is not ASCII".into() };
    Ok(match name {
        Name::Dns(text) => SanType::DnsName(text.as_str().try_into().map_err(unfit)?),
        Name::Uri(text) => SanType::URI(text.as_str().try_into().map_err(unfit)?),
        Name::Email(text) => SanType::Rfc822Name(text.as_str().try_into().map_err(unfit)?),
        Name::Ip(address) => SanType::IpAddress(*address),
    })
}

/// The name that was asked for, or else the first that fits.
pub(crate) fn subject(config: &LeafConfig) -> Result<DistinguishedName, Error> {
    let mut subject = DistinguishedName::new();
    let first = || config.names.iter().map(Name::text).find(|name| name.len() <= LONGEST_COMMON_NAME);
    let name = match &config.common_name {
        Some(name) => common_name(name)?,
        // A subject without a name would leave a certificate that signs itself without an issuer.
        None => first().unwrap_or_else(|| "certgen".into()),
    };
    subject.push(DnType::CommonName, name);
    Ok(subject)
}

/// RFC 5280 Appendix A.1, ub-common-name.
fn common_name(name: &str) -> Result<String, Error> {
    let length = name.chars().count();
    if length == 0 || length > LONGEST_COMMON_NAME || name.chars().any(char::is_control) {
        let problem = "a common name has 1 to 64 characters, and no control characters".into();
        return Err(Error::Name { name: name.to_owned(), problem });
    }
    Ok(name.to_owned())
}

/// An extension with this content, DER.
pub(crate) fn extension(oid: &[u64], is_critical: bool, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(is_critical);
    extension
}

const LONGEST_COMMON_NAME: usize = 64;
