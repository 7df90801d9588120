//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Why a certificate, a key or a file could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no certificate can have.
    #[error("{name:?} cannot be the name in a certificate: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// Something in the configuration does not fit the rest of it.
    #[error("{0}")]
    Config(String),
    /// The certificate would be valid for longer than the authority that signs it.
    #[error(
        "the certificate would be valid until {leaf}, but its authority {authority:?} only until {until}: ask for at most {days} days"
    )]
    OutlivesAuthority {
        /// The last day of the certificate.
        leaf: String,
        /// The name of the authority.
        authority: String,
        /// The last day of the authority.
        until: String,
        /// How many days from now still fit.
        days: u64,
    },
    /// The cryptographic library refused.
    #[error("cannot {action}")]
    Crypto {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: CryptoError,
    },
    /// Bytes that are not what they should be.
    #[error("{0}")]
    Malformed(String),
    /// The cause is an error about one file.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is there already.
    #[error("{} exists: nothing was written; use another name, or --force to replace it", .0.display())]
    Exists(PathBuf),
    /// A folder that should be new or empty is not.
    #[error("{} is not empty: nothing was written; choose a folder that does not exist", .0.display())]
    NotEmpty(PathBuf),
    /// A folder that should be new has what a process had made that was killed before the last of it was in its place.
    #[error("a certgen that was killed had made {} but for the last step, which is done now: nothing else was written", .0.display())]
    Mended(PathBuf),
    /// Others can read or change what they must not.
    #[error("{problem}: {remedy}")]
    Mode {
        /// Who can do what with which file.
        problem: String,
        /// The command that mends it.
        remedy: String,
    },
    /// Another process works in the authority's folder.
    #[error("another certgen is at work in {}: try again when it has ended", .0.display())]
    Busy(PathBuf),
}

/// What the cryptographic library said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CryptoError(rcgen::Error);

impl Error {
    /// This error as the cause why `path` cannot be used.
    pub(crate) fn in_file(self, path: &Path) -> Error {
        Error::File { path: path.to_owned(), source: Box::new(self) }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn crypto(action: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
        move |error| Error::Crypto { action, source: CryptoError(error) }
    }
}
