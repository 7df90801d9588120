//! Whom this side trusts to say who a peer is.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::error::LoadError;
use crate::{display, files, leaf};

/// Whom this side trusts to say who a peer is: certificate authorities, or single keys.
///
/// Nobody is trusted by default. Sources add up with [`or`](Trust::or).
///
/// | source | what the peer's certificate has proven |
/// |---|---|
/// | an authority ([`ca_file`](Trust::ca_file) and its like) | its names: an unbroken chain of valid certificates vouches for them |
/// | a pin ([`pin`](Trust::pin)) | its key; the names in it are only claims, and a client does not compare them |
///
/// # Examples
///
/// ```
/// use transport_tls::Trust;
/// let trust = Trust::ca_file("ca.pem").or(Trust::pin("sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse()?));
/// # Ok::<(), transport_tls::LoadError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trust {
    authorities: Vec<Authorities>,
    pins: Vec<Pin>,
    anyone: bool,
}

#[derive(Clone, Debug)]
enum Authorities {
    File(PathBuf),
    Directory(PathBuf),
    Pem(Arc<Vec<u8>>),
    #[cfg(feature = "platform-trust")]
    Platform,
}

/// The SHA-256 of a public key (SubjectPublicKeyInfo), written `sha256:` and base64 as in RFC 7469.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

impl Trust {
    /// Trusts the authorities in a PEM file.
    pub fn ca_file(path: impl Into<PathBuf>) -> Trust {
        Trust::authorities(Authorities::File(path.into()))
    }

    /// Trusts the authorities in a directory: every certificate in its files named `*.pem`, `*.crt`, `*.cer` or, as
    /// openssl links them, `HASH.0`.
    pub fn ca_directory(path: impl Into<PathBuf>) -> Trust {
        Trust::authorities(Authorities::Directory(path.into()))
    }

    /// Trusts the authorities in PEM text.
    pub fn ca_pem(pem: impl Into<Vec<u8>>) -> Trust {
        Trust::authorities(Authorities::Pem(Arc::new(pem.into())))
    }

    /// Trusts the authorities that the operating system trusts, or those that the environment names in their place, as
    /// openssl does: `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// They are read at the start and when anything else is loaded again; nobody watches them.
    ///
    /// # Security
    ///
    /// Any of some hundred authorities can vouch for any name then. Where both sides are yours, an authority of your own
    /// ([`ca_file`](Trust::ca_file)) trusts fewer.
    #[cfg(feature = "platform-trust")]
    pub fn platform() -> Trust {
        Trust::authorities(Authorities::Platform)
    }

    /// Trusts the owner of one key, whoever has issued its certificate: a self-signed one will do.
    ///
    /// Its validity still counts; who can issue a certificate for the key can issue a new one.
    ///
    /// # Security
    ///
    /// Revocation lists name certificates, and the owner of a key can make another one for it: take the pin out when the key
    /// is lost.
    pub fn pin(pin: Pin) -> Trust {
        Trust { pins: vec![pin], ..Trust::default() }
    }

    /// Trusts whom either trusts.
    #[must_use]
    pub fn or(mut self, other: Trust) -> Trust {
        self.authorities.extend(other.authorities);
        self.pins.extend(other.pins);
        self.anyone |= other.anyone;
        self
    }

    /// Verifies nothing: whoever has any certificate is taken in, known by its key.
    ///
    /// # Security
    ///
    /// Anyone on the way can be the other end. A connection to such a server counts as no better protected than the
    /// stream below.
    pub fn danger_anyone() -> Trust {
        Trust { anyone: true, ..Trust::default() }
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.authorities.is_empty() && self.pins.is_empty() && !self.anyone
    }

    /// Whether names are compared: only a pin, or no verification at all, does without.
    pub(crate) fn needs_name(&self) -> bool {
        !self.authorities.is_empty() && !self.anyone
    }

    pub(crate) fn is_anyone(&self) -> bool {
        self.anyone
    }

    pub(crate) fn pins(&self) -> impl Iterator<Item = [u8; 32]> {
        self.pins.iter().map(|pin| pin.0)
    }

    /// The files and directories that it is read from.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.authorities.iter().filter_map(|source| match source {
            Authorities::File(path) | Authorities::Directory(path) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The directories whose content matters, beside the files' parents.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.authorities.iter().filter_map(|source| match source {
            Authorities::Directory(path) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The authorities of each source.
    pub(crate) fn load_each(&self) -> impl Iterator<Item = Result<Vec<Anchor>, LoadError>> {
        self.authorities.iter().map(Authorities::load)
    }

    fn authorities(source: Authorities) -> Trust {
        Trust { authorities: vec![source], ..Trust::default() }
    }
}

impl FromStr for Pin {
    type Err = LoadError;

    /// Reads `sha256:BASE64`.
    fn from_str(text: &str) -> Result<Pin, LoadError> {
        let bytes = text.strip_prefix("sha256:").and_then(|base64| BASE64.decode(base64).ok());
        let pin = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        pin.map(Pin).ok_or_else(|| LoadError::Pin { text: text.chars().take(200).collect() })
    }
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&display::pin(&self.0))
    }
}

impl From<[u8; 32]> for Pin {
    fn from(sha256: [u8; 32]) -> Pin {
        Pin(sha256)
    }
}

impl Authorities {
    fn load(&self) -> Result<Vec<Anchor>, LoadError> {
        match self {
            Authorities::File(path) => {
                let anchors = anchors(&files::read(path)?, path)?;
                if anchors.is_empty() {
                    return Err(LoadError::NoAuthority { path: path.clone() });
                }
                Ok(anchors)
            }
            Authorities::Directory(path) => directory(path),
            Authorities::Pem(pem) => {
                let origin = Path::new("the PEM text given");
                let anchors = anchors(pem, origin)?;
                if anchors.is_empty() {
                    return Err(LoadError::NoAuthority { path: origin.to_owned() });
                }
                Ok(anchors)
            }
            #[cfg(feature = "platform-trust")]
            Authorities::Platform => platform(),
        }
    }
}

/// A trusted authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) trust_anchor: TrustAnchor<'static>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) not_after: SystemTime,
}

impl Anchor {
    fn new(certificate: CertificateDer<'static>, path: &Path) -> Result<Anchor, LoadError> {
        let unusable = |problem: String| LoadError::Authority { path: path.to_owned(), problem };
        let trust_anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| unusable(error.to_string()))?
            .to_owned();
        let (_, not_after) = leaf::validity(&certificate).map_err(|refusal| unusable(refusal.to_string()))?;
        Ok(Anchor { trust_anchor, certificate, not_after })
    }
}

fn anchors(pem: &[u8], path: &Path) -> Result<Vec<Anchor>, LoadError> {
    let certificates = files::certificates(pem, path)?;
    certificates.into_iter().map(|certificate| Anchor::new(certificate, path)).collect()
}

fn directory(path: &Path) -> Result<Vec<Anchor>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if is_certificate_name(&file) && file.is_file() {
            files.push(file);
        }
    }
    // The same order at each load, whatever the file system says.
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(anchors(&files::read(&file)?, &file)?);
    }
    if all.is_empty() {
        return Err(LoadError::NoAuthority { path: path.to_owned() });
    }
    Ok(all)
}

fn is_certificate_name(path: &Path) -> bool {
    let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else { return false };
    matches!(extension, "pem" | "crt" | "cer") || extension.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(feature = "platform-trust")]
fn platform() -> Result<Vec<Anchor>, LoadError> {
    let found = rustls_native_certs::load_native_certs();
    let origin = Path::new("the platform's store");
    // A store of hundreds has some that nobody can read; they are not trusted, and the others are.
    let anchors: Vec<Anchor> =
        found.certs.into_iter().filter_map(|certificate| Anchor::new(certificate, origin).ok()).collect();
    if anchors.is_empty() {
        return Err(LoadError::NoAuthority { path: origin.to_owned() });
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_prints() {
        let pin = Pin::from([7; 32]);
        assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
        for bad in ["", "sha256:", "sha256:AAAA", "md5:AAAA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
        {
            assert!(bad.parse::<Pin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_directory_is_read_by_the_names_of_its_files() {
        let named = |name: &str| is_certificate_name(Path::new(name));
        assert!(named("ca.pem") && named("ca.crt") && named("9d66eef0.0"));
        assert!(!named("ca.key") && !named("README") && !named("ca.pem.bak"));
    }
}
