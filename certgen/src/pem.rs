//! PEM (RFC 7468): keys, certificates, requests and revocation lists in one text.

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use data_encoding::BASE64;
use rustls_pki_types::pem::{SectionKind, from_buf};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::error::Error;
use crate::private_key::{KeyEncoding, PrivateKey};
use crate::request::Request;
use crate::revocation::RevocationList;

/// What a PEM file has, in any order.
#[derive(Default)]
#[non_exhaustive]
pub struct PemFile {
    /// Private keys.
    pub keys: Vec<PrivateKey>,
    /// Certificates, in the order of the file.
    pub certificates: Vec<Certificate>,
    /// Signing requests.
    pub requests: Vec<Request>,
    /// Revocation lists.
    pub revocation_lists: Vec<RevocationList>,
}

/// A section of a PEM text.
#[allow(clippy::large_enum_variant, reason = "a text has a few of them")]
#[non_exhaustive]
pub enum PemSection {
    /// A private key.
    Key(PrivateKey),
    /// A certificate.
    Certificate(Certificate),
    /// A signing request.
    Request(Request),
    /// A revocation list.
    RevocationList(RevocationList),
}

impl PemFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is larger than 1 MiB, has nothing that is known, or something of it is malformed.
    pub fn read(path: impl AsRef<Path>) -> Result<PemFile, Error> {
        let path = path.as_ref();
        PemFile::parse(&read_bounded(path)?).map_err(|error| error.in_file(path))
    }

    /// Reads bytes. What stands between the sections, and sections that are not known, do not count.
    ///
    /// # Errors
    ///
    /// When there is nothing that is known, or something of it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<PemFile, Error> {
        let mut file = PemFile::default();
        for (section, _) in sections(bytes)? {
            match section {
                PemSection::Key(key) => file.keys.push(key),
                PemSection::Certificate(certificate) => file.certificates.push(certificate),
                PemSection::Request(request) => file.requests.push(request),
                PemSection::RevocationList(list) => file.revocation_lists.push(list),
            }
        }
        if file.is_empty() {
            return Err(Error::Malformed(nothing_in(bytes).into()));
        }
        Ok(file)
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.certificates.is_empty()
            && self.requests.is_empty()
            && self.revocation_lists.is_empty()
    }
}

/// The sections that are known, in their order, with where they are: from the start of their first line to the end of their
/// last one.
pub(crate) fn sections(text: &[u8]) -> Result<Vec<(PemSection, Range<usize>)>, Error> {
    let mut sections = Vec::new();
    let mut rest = text;
    let mut done = 0;
    while let Some((kind, der)) = from_buf(&mut rest).map_err(malformed)? {
        let der = Zeroizing::new(der);
        let read = done..text.len() - rest.len();
        done = read.end;
        let key = |encoding| PrivateKey::from_der(&der, encoding).map(PemSection::Key);
        let section = match kind {
            SectionKind::Certificate => PemSection::Certificate(Certificate::from_der(&der)?),
            SectionKind::PrivateKey => key(KeyEncoding::Pkcs8)?,
            SectionKind::EcPrivateKey => key(KeyEncoding::Sec1)?,
            SectionKind::RsaPrivateKey => key(KeyEncoding::Pkcs1)?,
            SectionKind::Csr => PemSection::Request(Request::from_der(&der)?),
            SectionKind::Crl => PemSection::RevocationList(RevocationList::from_der(&der)?),
            _ => continue,
        };
        sections.push((section, place(text, read)));
    }
    Ok(sections)
}

/// Where a section is in the lines that were read to find it: others that are not known may have been passed over before it.
fn place(text: &[u8], lines: Range<usize>) -> Range<usize> {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let (mut at, mut begun, mut start) = (lines.start, None, lines.start);
    for line in text[lines.clone()].split_inclusive(is_break) {
        if line.starts_with(b"-----BEGIN ") {
            begun = begun.or(Some(at));
        } else if line.starts_with(b"-----END ") {
            start = begun.take().unwrap_or(start);
        }
        at += line.len();
    }
    let breaks = text[lines.clone()].iter().rev().take_while(|byte| is_break(byte)).count();
    start..lines.end - breaks
}

/// One PEM section, with lines of 64 characters. The text may be a secret: only the result ever holds it.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(BASE64.encode(der));
    let mut text =
        Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The bytes of a file that may hold a secret.
pub(crate) fn read_bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |error| Error::io("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > LONGEST {
        return Err(Error::Malformed("it is larger than 1 MiB".into()).in_file(path));
    }
    // All of it at once: a buffer that grows leaves its old copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.by_ref().take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn malformed(error: rustls_pki_types::pem::Error) -> Error {
    Error::Malformed(format!("its PEM is malformed: {error}"))
}

fn nothing_in(bytes: &[u8]) -> &'static str {
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if has(b"ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        "its key is encrypted: decrypt it with `openssl pkey -in FILE -out NEWFILE`"
    } else if bytes.starts_with(&[0x30]) {
        "it is DER, not PEM: convert it, for a certificate with `openssl x509 -inform DER -in FILE -out NEWFILE`"
    } else {
        "it has no certificate, key, request or revocation list in PEM"
    }
}

const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_lines_of_64_characters() {
        let text = encode("X", &[0xff; 60]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "-----BEGIN X-----");
        assert_eq!(lines[1].len(), 64);
        assert_eq!(lines[2].len(), 16);
        assert_eq!(lines[3], "-----END X-----");
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_file_without_anything_says_what_it_might_be() {
        for (bytes, hint) in [
            (&b""[..], "no certificate"),
            (b"hello", "no certificate"),
            (b"\x30\x82\x01\x01", "DER"),
            (
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "encrypted",
            ),
        ] {
            let Err(error) = PemFile::parse(bytes) else { panic!("{bytes:?} is accepted") };
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}
