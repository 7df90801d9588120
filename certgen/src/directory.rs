//! An authority's folder.
//!
//! ```text
//! DIR/                 mode 0700; locked while certgen works in it
//!   ca.pem             its certificate, for every peer
//!   ca.key             its private key, mode 0400
//!   crl.pem            what is revoked, once there is something
//!   issued/SERIAL.pem  each certificate that it issued, without its key
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::CertificateAuthority;
use crate::certificate::Certificate;
use crate::error::Error;
use crate::files::FileSet;
use crate::pem::PemFile;
use crate::private_key::PrivateKey;
use crate::revocation::{RevocationConfig, RevocationList, RevocationReason};
use crate::serial::SerialNumber;
use crate::validity::{self, Validity};

/// An authority whose key and records are in a folder, which is locked for as long as this exists.
///
/// What it issues goes to [`record`](AuthorityDirectory::record) with the same [`FileSet`] that the certificate is written with, and
/// before it, so that there is no certificate without a record.
pub struct AuthorityDirectory {
    path: PathBuf,
    authority: CertificateAuthority,
    _lock: Option<File>,
}

impl AuthorityDirectory {
    /// Keeps a new authority in a folder that does not exist or is empty. It exists when `files` are committed.
    ///
    /// # Errors
    ///
    /// When the folder is not empty, or a file cannot be written.
    pub fn create(
        path: impl Into<PathBuf>,
        authority: CertificateAuthority,
        files: &mut FileSet,
    ) -> Result<AuthorityDirectory, Error> {
        let path = path.into();
        files.add_folder(&path)?;
        files.add_folder(path.join(ISSUED))?;
        files.add(path.join(KEY), authority.key().pem().as_bytes(), 0o400)?;
        files.add(path.join(CERTIFICATE), authority.certificate().pem().as_bytes(), 0o644)?;
        Ok(AuthorityDirectory { path, authority, _lock: None })
    }

    /// Opens an authority's folder, and waits up to 30 seconds for others that work in it: each
    /// takes a few writes to the disk, and a busy one may take a second for them.
    ///
    /// # Errors
    ///
    /// When it is no authority's folder, others can read its key, its key is not its certificate's, or the others do not
    /// end.
    pub fn open(path: impl Into<PathBuf>) -> Result<AuthorityDirectory, Error> {
        let path = path.into();
        let (certificate, key) = (path.join(CERTIFICATE), path.join(KEY));
        for file in [&certificate, &key] {
            match fs::metadata(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let problem = format!(
                        "{} is no authority's folder, which has {CERTIFICATE} and {KEY}: make one with `certgen ca {}`",
                        path.display(),
                        path.display()
                    );
                    return Err(Error::Config(problem));
                }
                Err(error) => return Err(Error::io("read", file, error)),
                Ok(_) => {}
            }
        }
        let lock = lock(&path, LOCK_TIME)?;
        check_private(&key)?;
        let authority = CertificateAuthority::from_parts(Certificate::read(&certificate)?, read_key(&key)?)
            .map_err(|error| error.in_file(&path))?;
        Ok(AuthorityDirectory { path, authority, _lock: Some(lock) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The authority.
    pub fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// Records a certificate that the authority issued.
    ///
    /// # Errors
    ///
    /// When the record cannot be written.
    pub fn record(&self, certificate: &Certificate, files: &mut FileSet) -> Result<(), Error> {
        let path = self.path.join(ISSUED).join(format!("{}.pem", certificate.serial()));
        files.add(path, certificate.pem().as_bytes(), 0o644)
    }

    /// The certificate with this serial number, as it was recorded.
    ///
    /// # Errors
    ///
    /// When the authority has issued none with this number.
    pub fn issued(&self, serial: &SerialNumber) -> Result<Certificate, Error> {
        let path = self.path.join(ISSUED).join(format!("{serial}.pem"));
        if !path.exists() {
            let problem =
                format!("{} has issued no certificate with the serial number {serial}", self.path.display());
            return Err(Error::Config(problem));
        }
        Certificate::read(path)
    }

    /// What is revoked so far; `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// When the list cannot be read or is not this authority's.
    pub fn revocation_list(&self) -> Result<Option<RevocationList>, Error> {
        let path = self.path.join(REVOKED);
        // A link that leads nowhere is a list that is missing.
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
            Ok(_) => {}
        }
        let mut lists = PemFile::read(&path)?.revocation_lists;
        let list = match lists.len() {
            1 => lists.remove(0),
            count => {
                let problem = format!("it has {count} revocation lists, not one");
                return Err(Error::Malformed(problem).in_file(&path));
            }
        };
        list.is_issued_by(self.authority.certificate()).map_err(|error| error.in_file(&path))?;
        Ok(Some(list))
    }

    /// Revokes certificates, and signs the list anew; with no certificates, it only gets another next update.
    ///
    /// # Errors
    ///
    /// When the list so far cannot be read, or the new one cannot be signed or written.
    pub fn revoke(
        &self,
        serials: &[SerialNumber],
        reason: RevocationReason,
        validity: Validity,
        files: &mut FileSet,
    ) -> Result<RevocationList, Error> {
        let so_far = self.revocation_list()?;
        let config = so_far.as_ref().map_or_else(RevocationConfig::default, RevocationConfig::after);
        let config = serials.iter().fold(config, |config, serial| config.with_revoked(serial, reason));
        let list = self.authority.revocation_list(&config.with_validity(validity))?;
        let path = self.path.join(REVOKED);
        match so_far {
            Some(_) => files.add_in_place_of(path, list.pem().as_bytes())?,
            None => files.add(path, list.pem().as_bytes(), 0o644)?,
        }
        Ok(list)
    }

    /// Refuses a certificate that is not this authority's, or that it has revoked.
    ///
    /// # Errors
    ///
    /// When it is one of these.
    pub fn check_in_force(&self, certificate: &Certificate) -> Result<(), Error> {
        certificate.is_issued_by(self.authority.certificate())?;
        let list = self.revocation_list()?;
        match list.as_ref().and_then(|list| list.find(certificate.serial())) {
            Some(revoked) => Err(Error::Malformed(format!(
                "it is revoked since {}: issue another one with `certgen leaf`",
                validity::display_minute(revoked.since)
            ))),
            None => Ok(()),
        }
    }
}

/// The key in a file that only its owner can read.
fn read_key(path: &Path) -> Result<PrivateKey, Error> {
    let mut keys = PemFile::read(path)?.keys;
    match keys.len() {
        1 => Ok(keys.remove(0)),
        count => Err(Error::Malformed(format!("it has {count} private keys, not one")).in_file(path)),
    }
}

/// Refuses a key that others can read or change.
pub(crate) fn check_private(path: &Path) -> Result<(), Error> {
    let mode = fs::metadata(path).map_err(|error| Error::io("read", path, error))?.mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::Mode {
        problem: format!(
            "others can read or change the private key {} (mode {:04o})",
            path.display(),
            mode & 0o7777
        ),
        remedy: format!("chmod 400 {}", path.display()),
    })
}

fn lock(path: &Path, time: Duration) -> Result<File, Error> {
    let failed = |error| Error::io("lock", path, error);
    let folder = File::open(path).map_err(failed)?;
    let deadline = Instant::now() + time;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

pub(crate) const CERTIFICATE: &str = "ca.pem";
pub(crate) const KEY: &str = "ca.key";
pub(crate) const ISSUED: &str = "issued";
pub(crate) const REVOKED: &str = "crl.pem";
const LOCK_TIME: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_in_use_for_long_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path(), Duration::ZERO).unwrap();
        let error = lock(folder.path(), LOCK_PAUSE * 2).unwrap_err();
        assert!(error.to_string().starts_with("another certgen is at work in "), "{error}");
        drop(held);
        lock(folder.path(), Duration::ZERO).unwrap();
    }
}
