//! An identity: an authority, and the certificate that it issues to itself for signing.
//!
//! ```text
//! DIR/certs/ca.pem        the authority, whose hash is the user name
//! DIR/certs/verify.pem    the certificate that messages are verified with
//! DIR/certs/username      base32 of the authority's hash
//! DIR/private/root.pem    the authority's key
//! DIR/private/sign.pem    the key that signs messages
//! ```

use std::path::Path;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE32_NOPAD;

use crate::algorithm::Algorithm;
use crate::authority::{AuthorityConfig, CertificateAuthority};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::files::FileSet;
use crate::leaf::LeafConfig;
use crate::private_key::{KeyEncoding, PrivateKey};
use crate::profile::Profile;
use crate::validity::Validity;

/// How an identity is made.
#[derive(Clone, Debug)]
pub struct CablesConfig {
    /// The kind of its keys. Default: P-256.
    pub algorithm: Algorithm,
    /// As the original program makes them: one key for both certificates, and the address of an issuer's page. Default: no.
    pub is_classic: bool,
}

impl CablesConfig {
    /// As the original program makes them, with RSA of 8192 bits. No peer can tell it from one of those.
    pub fn classic() -> CablesConfig {
        CablesConfig { algorithm: Algorithm::Rsa8192, is_classic: true }
    }
}

impl Default for CablesConfig {
    fn default() -> CablesConfig {
        CablesConfig { algorithm: Algorithm::P256, is_classic: false }
    }
}

/// An identity of the cables network.
pub struct CablesIdentity {
    authority: CertificateAuthority,
    signer: Credentials,
}

impl CablesIdentity {
    /// Makes a new identity.
    ///
    /// # Errors
    ///
    /// When no key can be made, or its peers would not take one of this kind.
    pub fn new(config: &CablesConfig) -> Result<CablesIdentity, Error> {
        Profile::Cables.check(config.algorithm)?;
        let authority_config = AuthorityConfig::cables_of(config.is_classic).with_algorithm(config.algorithm);
        let authority = CertificateAuthority::new(&authority_config)?;
        let key = if config.is_classic {
            PrivateKey::from_der(authority.key().der(), KeyEncoding::Pkcs8)?
        } else {
            PrivateKey::generate(config.algorithm)?
        };
        let (not_before, not_after) =
            (authority.certificate().not_before(), authority.certificate().not_after());
        let leaf = LeafConfig::for_profile(Profile::Cables)?
            .with_validity(Validity::Between { not_before, not_after });
        let signer = authority.issue_for(&leaf, key)?;
        Ok(CablesIdentity { authority, signer })
    }

    /// The authority, which is the identity.
    pub fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// The key and certificate that sign messages.
    pub fn signer(&self) -> &Credentials {
        &self.signer
    }

    /// Base32 of SHA-1 of the authority's certificate: 32 small letters and digits.
    pub fn user_name(&self) -> String {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, self.authority.certificate().der());
        BASE32_NOPAD.encode(hash.as_ref()).to_ascii_lowercase()
    }

    /// Adds its files to a set, in a folder that does not exist or is empty.
    ///
    /// # Errors
    ///
    /// When the folder is not empty, or a file cannot be written.
    pub fn add_to(&self, files: &mut FileSet, folder: impl AsRef<Path>) -> Result<(), Error> {
        let (certs, private) = (folder.as_ref().join("certs"), folder.as_ref().join("private"));
        files.add_folder(&folder)?;
        files.add_folder(&private)?;
        files.add_folder(&certs)?;
        files.add(private.join("root.pem"), self.authority.key().pem().as_bytes(), 0o600)?;
        files.add(private.join("sign.pem"), self.signer.key().pem().as_bytes(), 0o600)?;
        files.add(certs.join("ca.pem"), self.authority.certificate().pem().as_bytes(), 0o644)?;
        files.add(certs.join("verify.pem"), self.signer.certificate().pem().as_bytes(), 0o644)?;
        files.add(certs.join("username"), format!("{}\n", self.user_name()).as_bytes(), 0o644)
    }
}
