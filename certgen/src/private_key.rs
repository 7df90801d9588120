//! Private keys.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::{Zeroize as _, Zeroizing};

use crate::algorithm::Algorithm;
use crate::error::Error;
use crate::pem;

/// A private key. It is wiped from memory when it is dropped, and cannot be printed.
pub struct PrivateKey {
    pair: KeyPair,
    algorithm: Algorithm,
    encoding: KeyEncoding,
}

/// How the bytes of a private key are laid out, which its PEM label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyEncoding {
    /// RFC 5958.
    Pkcs8,
    /// RFC 5915.
    Sec1,
    /// RFC 8017.
    Pkcs1,
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers or no memory.
    pub fn generate(algorithm: Algorithm) -> Result<PrivateKey, Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        let pair = match algorithm {
            Algorithm::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Algorithm::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Algorithm::Ed25519 => generate_ed25519(),
            Algorithm::Rsa2048 => rsa(RsaKeySize::_2048),
            Algorithm::Rsa3072 => rsa(RsaKeySize::_3072),
            Algorithm::Rsa4096 => rsa(RsaKeySize::_4096),
            Algorithm::Rsa8192 => generate_rsa8192(),
        };
        let pair = pair.map_err(Error::crypto("make a key"))?;
        Ok(PrivateKey { pair, algorithm, encoding: KeyEncoding::Pkcs8 })
    }

    /// The key as PKCS#8 (RFC 5958) if it was made here, else as it was read.
    ///
    /// # Security
    ///
    /// Whoever copies these bytes has to wipe the copy.
    pub fn der(&self) -> &[u8] {
        self.pair.serialized_der()
    }

    /// The key as PEM; it is wiped from memory when it is dropped.
    pub fn pem(&self) -> Zeroizing<String> {
        let label = match self.encoding {
            KeyEncoding::Pkcs8 => "PRIVATE KEY",
            KeyEncoding::Sec1 => "EC PRIVATE KEY",
            KeyEncoding::Pkcs1 => "RSA PRIVATE KEY",
        };
        pem::encode(label, self.der())
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its public key, as a certificate holds it (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    pub(crate) fn from_der(der: &[u8], encoding: KeyEncoding) -> Result<PrivateKey, Error> {
        let key = match encoding {
            KeyEncoding::Pkcs8 => PrivateKeyDer::Pkcs8(der.into()),
            KeyEncoding::Sec1 => PrivateKeyDer::Sec1(der.into()),
            KeyEncoding::Pkcs1 => PrivateKeyDer::Pkcs1(der.into()),
        };
        let unknown =
            "its private key is damaged, or neither P-256, P-384, Ed25519 nor RSA of 2048 to 8192 bits";
        let pair = KeyPair::try_from(&key).map_err(|_| Error::Malformed(unknown.into()))?;
        let algorithm = Algorithm::of_public_key(&pair.subject_public_key_info())?;
        Ok(PrivateKey { pair, algorithm, encoding })
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// The same RSA key, but signing with SHA-512; any other key as it is.
    pub(crate) fn with_sha512(self) -> Result<PrivateKey, Error> {
        if !self.algorithm.is_rsa() || self.encoding != KeyEncoding::Pkcs8 {
            return Ok(self);
        }
        let der = PrivatePkcs8KeyDer::from(self.der());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA512)
            .map_err(Error::crypto("use an RSA key with SHA-512"))?;
        Ok(PrivateKey { pair, algorithm: self.algorithm, encoding: self.encoding })
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

/// rcgen's own has the public key in it too (RFC 5958, version 2), which OpenSSL does not read.
fn generate_ed25519() -> Result<KeyPair, rcgen::Error> {
    let failed = |_| rcgen::Error::RingUnspecified;
    let document = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1()).map_err(failed)?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(document.as_ref()))
}

/// rcgen's own sizes end at 4096 bits.
fn generate_rsa8192() -> Result<KeyPair, rcgen::Error> {
    let failed = |_| rcgen::Error::RingUnspecified;
    let pair = RsaKeyPair::generate(KeySize::Rsa8192).map_err(failed)?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(der.as_ref()))
}
