//! The certificate and key by which this side proves itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use transport_core::secret_file::SecretFile;
use zeroize::Zeroizing;

use crate::error::LoadError;
use crate::files;

/// Where the certificate and private key are by which this side proves itself.
///
/// The certificate comes first in its file and those of the authorities between it and the root after it. The key may be
/// before or after them. Key formats: PKCS #8, PKCS #1 and SEC 1, in PEM, not encrypted.
///
/// # Security
///
/// A file with a key must belong to this process's user or root, and nobody else may read it; the error names the command
/// that mends it. [`with_reader_group`](OwnCertificate::with_reader_group) lets one group read it.
///
/// # Examples
///
/// ```
/// use transport_tls::OwnCertificate;
/// let combined = OwnCertificate::combined("server.pem");
/// let two_files = OwnCertificate::files("server.crt", "server.key");
/// ```
#[derive(Clone)]
pub struct OwnCertificate {
    source: Source,
}

#[derive(Clone)]
enum Source {
    Combined(SecretFile),
    Files { certificate: PathBuf, key: SecretFile },
    Memory(Arc<Zeroizing<Vec<u8>>>),
}

impl OwnCertificate {
    /// Certificate and key in one file, in either order.
    pub fn combined(path: impl Into<PathBuf>) -> OwnCertificate {
        OwnCertificate { source: Source::Combined(SecretFile::new(path)) }
    }

    /// Certificate and key in a file each.
    pub fn files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> OwnCertificate {
        OwnCertificate {
            source: Source::Files { certificate: certificate.into(), key: SecretFile::new(key) },
        }
    }

    /// Certificate and key as PEM text, for those that are made on the fly or kept elsewhere than in files.
    pub fn from_pem(pem: impl Into<Vec<u8>>) -> OwnCertificate {
        OwnCertificate { source: Source::Memory(Arc::new(Zeroizing::new(pem.into()))) }
    }

    /// Lets this group read the file with the key: its mode may be 0640.
    #[must_use]
    pub fn with_reader_group(mut self, gid: u32) -> OwnCertificate {
        match &mut self.source {
            Source::Combined(key) | Source::Files { key, .. } => {
                *key = key.clone().with_reader_group(gid);
            }
            Source::Memory(_) => {}
        }
        self
    }

    /// The files that it is read from.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        match &self.source {
            Source::Combined(file) => vec![file.path()],
            Source::Files { certificate, key } => vec![certificate, key.path()],
            Source::Memory(_) => Vec::new(),
        }
    }

    /// Reads both, and checks that they belong together.
    pub(crate) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, LoadError> {
        match &self.source {
            Source::Combined(file) => {
                let pem = file.read()?;
                certified(&pem, file.path(), &pem, file.path(), provider)
            }
            Source::Files { certificate, key } => {
                // The certificate first: whoever replaces both files one after the other is noticed at the second.
                let certificate_pem = files::read(certificate)?;
                let key_pem = key.read()?;
                certified(&certificate_pem, certificate, &key_pem, key.path(), provider)
            }
            Source::Memory(pem) => {
                let origin = Path::new("the PEM text given");
                certified(pem, origin, pem, origin, provider)
            }
        }
    }
}

/// A path is that of a combined file.
impl From<&Path> for OwnCertificate {
    fn from(path: &Path) -> OwnCertificate {
        OwnCertificate::combined(path)
    }
}

/// A path is that of a combined file.
impl From<PathBuf> for OwnCertificate {
    fn from(path: PathBuf) -> OwnCertificate {
        OwnCertificate::combined(path)
    }
}

/// A text is the path of a combined file.
impl From<&str> for OwnCertificate {
    fn from(path: &str) -> OwnCertificate {
        OwnCertificate::combined(path)
    }
}

/// Shows where it comes from, never what it is.
impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnCertificate").field(&self.paths()).finish()
    }
}

fn certified(
    certificate_pem: &[u8],
    certificate_path: &Path,
    key_pem: &[u8],
    key_path: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, LoadError> {
    let chain = files::certificates(certificate_pem, certificate_path)?;
    if chain.is_empty() {
        return Err(LoadError::NoCertificate { path: certificate_path.to_owned() });
    }
    let key = private_key(key_pem, key_path)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            LoadError::KeyMismatch { certificate: certificate_path.to_owned(), key: key_path.to_owned() }
        }
        // Of the key itself rustls says no more than that it cannot be used.
        RustlsError::General(problem) => LoadError::Key { path: key_path.to_owned(), problem },
        other => LoadError::Key { path: key_path.to_owned(), problem: other.to_string() },
    })
}

fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    let path = || path.to_owned();
    let mut keys = PrivateKeyDer::pem_slice_iter(pem);
    let key = match keys.next() {
        Some(Ok(key)) => key,
        Some(Err(problem)) => return Err(LoadError::Pem { path: path(), problem: format!("{problem:?}") }),
        None if is_encrypted(pem) => return Err(LoadError::EncryptedKey { path: path() }),
        None => return Err(LoadError::NoKey { path: path() }),
    };
    match keys.next() {
        None => Ok(key),
        Some(_) => Err(LoadError::SeveralKeys { path: path() }),
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    pem.windows(MARK.len()).any(|window| window == MARK)
}
