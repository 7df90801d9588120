//! What the certificates of the cables network look like.
//!
//! Its peers verify with `openssl verify -x509_strict -policy_check`, the authority as `crlsign`, the leaf as `smimesign`, and
//! both have the same name. So the leaf passes for self-signed unless both have a key identifier and name their issuer's.

use rcgen::{CertificateParams, CustomExtension, DnType};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::serial::SerialNumber;
use crate::template::{Dates, base, extension};

/// Whether an authority is to look like those that the original program makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With what peers insist on.
    Plain,
    /// With the address of an issuer's page too, which all of the original's have.
    Classic,
}

/// The authority: self-signed, and so its own issuer.
pub(crate) fn authority(kind: Kind, dates: Dates, public_key: &[u8]) -> Result<CertificateParams, Error> {
    let serial = SerialNumber::random_of_twenty_bytes()?;
    let mut params = named(dates, serial.clone());
    let name = construct_der(write_name);
    params.custom_extensions = vec![subject_key(public_key), issuer_key(&key_id(public_key), &name, &serial)];
    if kind == Kind::Classic {
        params.custom_extensions.push(extension(
            AUTHORITY_INFORMATION,
            false,
            construct_der(write_issuers_page),
        ));
    }
    params.custom_extensions.extend([
        extension(
            BASIC_CONSTRAINTS,
            true,
            construct_der(|writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_bool(true);
                    writer.next().write_u8(0);
                });
            }),
        ),
        // keyCertSign and cRLSign: bits 5 and 6 of 7.
        extension(KEY_USAGE, true, construct_der(|writer| writer.write_bitvec_bytes(&[0b0000_0110], 7))),
    ]);
    Ok(params)
}

/// The certificate that signs messages.
pub(crate) fn leaf(
    dates: Dates,
    issuer: &Certificate,
    public_key: &[u8],
) -> Result<CertificateParams, Error> {
    if !is_named(issuer) {
        let problem = format!(
            "{} is no authority of the cables network: make one with `certgen cables`, or with `certgen ca --profile cables`",
            issuer.subject()
        );
        return Err(Error::Config(problem));
    }
    let mut params = named(dates, SerialNumber::random_of_twenty_bytes()?);
    let issuer_id = issuer.key_id().map_or_else(|| key_id(issuer.public_key()), <[u8]>::to_vec);
    params.custom_extensions = vec![
        subject_key(public_key),
        issuer_key(&issuer_id, issuer.issuer_der(), issuer.serial()),
        // digitalSignature: bit 0.
        extension(KEY_USAGE, true, construct_der(|writer| writer.write_bitvec_bytes(&[0b1000_0000], 1))),
        extension(
            EXTENDED_KEY_USAGE,
            true,
            construct_der(|writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(EMAIL_PROTECTION));
                });
            }),
        ),
    ];
    Ok(params)
}

/// Whether it has the name that all certificates of the network have.
pub(crate) fn is_named(certificate: &Certificate) -> bool {
    certificate.subject_der() == construct_der(write_name)
}

fn named(dates: Dates, serial: SerialNumber) -> CertificateParams {
    let mut params = base(dates, serial);
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params
}

fn write_name(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| {
        for (oid, value) in [(ORGANIZATION_NAME, ORGANIZATION), (COMMON_NAME_TYPE, COMMON_NAME)] {
            writer.next().write_set(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
                    writer.next().write_utf8_string(value);
                });
            });
        }
    });
}

/// RFC 5280 Section 4.2.2.1, with the one access method caIssuers.
fn write_issuers_page(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| {
        writer.next().write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(CA_ISSUERS));
            writer
                .next()
                .write_tagged_implicit(Tag::context(6), |writer| writer.write_ia5_string(ISSUERS_PAGE));
        });
    });
}

fn subject_key(public_key: &[u8]) -> CustomExtension {
    let id = key_id(public_key);
    extension(SUBJECT_KEY, false, construct_der(|writer| writer.write_bytes(&id)))
}

/// With the issuer's name and serial too: needed where authority and leaf have the same key.
fn issuer_key(id: &[u8], issuer: &[u8], serial: &SerialNumber) -> CustomExtension {
    let content = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
            writer.next().write_tagged_implicit(Tag::context(1), |writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_tagged(Tag::context(4), |writer| writer.write_der(issuer));
                });
            });
            writer.next().write_tagged_implicit(Tag::context(2), |writer| {
                writer.write_bigint_bytes(serial.as_bytes(), true);
            });
        });
    });
    extension(ISSUER_KEY, false, content)
}

/// RFC 7093 Section 2, method 4: the hash of the whole public key.
fn key_id(public_key: &[u8]) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public_key);
    digest.as_ref()[..20].to_vec()
}

const ORGANIZATION: &str = "LIBERTE CABLE";
const COMMON_NAME: &str = "Anonymous";
const ORGANIZATION_NAME: &[u64] = &[2, 5, 4, 10];
const COMMON_NAME_TYPE: &[u64] = &[2, 5, 4, 3];
const SUBJECT_KEY: &[u64] = &[2, 5, 29, 14];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const ISSUER_KEY: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const EMAIL_PROTECTION: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 4];
const AUTHORITY_INFORMATION: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const CA_ISSUERS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 2];
const ISSUERS_PAGE: &str = "http://dee.su/cables";
