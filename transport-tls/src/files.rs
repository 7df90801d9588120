//! Reading the files that are no secrets: certificates, authorities and revocation lists.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::error::LoadError;

/// Lists of revocations can be long; nothing else comes near.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a file that only its owner and its group can change: whoever can write it decides who is trusted.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    const EVERYONE_WRITES: u32 = 0o002;
    let failed = |source: io::Error| LoadError::Read { path: path.to_owned(), source };
    // Opening a pipe must not wait for somebody who writes to it.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    if metadata.mode() & EVERYONE_WRITES != 0 {
        return Err(LoadError::Writable { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(io::Error::other("it has more than 64 MiB")));
    }
    Ok(bytes)
}

/// The certificates in PEM text, in their order; other sections are passed over.
pub(crate) fn certificates(pem: &[u8], origin: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    sections(pem, origin)
}

/// The revocation lists of a file: PEM, or one in DER.
pub(crate) fn revocation_lists(
    bytes: &[u8],
    origin: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, LoadError> {
    const DER_SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    sections(bytes, origin)
}

fn sections<T: PemObject>(pem: &[u8], origin: &Path) -> Result<Vec<T>, LoadError> {
    let sections = T::pem_slice_iter(pem).collect::<Result<_, _>>();
    sections.map_err(|problem| LoadError::Pem { path: origin.to_owned(), problem: format!("{problem:?}") })
}
