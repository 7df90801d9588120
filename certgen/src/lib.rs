//! Certificates, a small certificate authority, and what both need to be safe.
//!
//! ```
//! use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig, Profile};
//!
//! # fn main() -> Result<(), certgen::Error> {
//! let authority = CertificateAuthority::new(&AuthorityConfig::default())?;
//! let server = authority.issue(&LeafConfig::new(["localhost", "127.0.0.1"])?.with_profile(Profile::Server))?;
//! let client = authority.issue(&LeafConfig::new(["alice"])?.with_profile(Profile::Client))?;
//! assert!(server.combined_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
//! # let _ = client; Ok(()) }
//! ```
//!
//! | for | there is |
//! |---|---|
//! | certificates in memory, for tests and programs that make their own | [`CertificateAuthority`], [`self_signed`], [`LeafConfig`] |
//! | certificates in files | [`AuthorityDirectory`], [`FileSet`], which writes all of its files or none |
//! | to know what a file has, and whether it is fit for use | [`PemFile`], [`Certificate`], [`check`](mod@check) |
//! | to change a part of a file | [`PemText`] |
//! | the command line | `certgen --help` |
//!
//! What each kind of certificate may be used for is its [`Profile`]; nothing has a default of the libraries below.
#![forbid(unsafe_code)]

mod algorithm;
mod authority;
mod cables;
mod certificate;
pub mod check;
mod credentials;
mod directory;
mod error;
mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod leaf;
mod names;
mod pem;
mod pem_text;
mod private_key;
mod profile;
mod request;
mod revocation;
mod serial;
mod staged_folder;
mod template;
mod temporary;
mod validity;

pub use algorithm::Algorithm;
pub use authority::{AuthorityConfig, CertificateAuthority};
pub use cables::{CablesConfig, CablesIdentity};
pub use certificate::Certificate;
pub use credentials::Credentials;
pub use directory::AuthorityDirectory;
pub use error::{CryptoError, Error};
pub use files::FileSet;
pub use leaf::{LeafConfig, self_signed, self_signed_for};
pub use names::{Name, host_names};
pub use pem::{PemFile, PemSection};
pub use pem_text::PemText;
pub use private_key::PrivateKey;
pub use profile::Profile;
pub use request::Request;
pub use revocation::{RevocationConfig, RevocationList, RevocationReason, Revoked};
pub use serial::SerialNumber;
pub use validity::{Validity, display_day, display_days, display_minute};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
