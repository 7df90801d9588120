//! Keys of CURVE and their text form.

use std::fmt;
use std::str::FromStr;

use dryoc::classic::crypto_core::crypto_scalarmult_base;
use transport_core::Policy;
use zeroize::Zeroizing;

use super::z85;

/// A public key: what a peer is known by.
///
/// Prints and parses as Z85, 40 characters, as ZeroMQ programs write keys.
///
/// # Examples
///
/// ```
/// use transport_zmq::curve::CurvePublicKey;
/// let key: CurvePublicKey = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6".parse()?;
/// assert_eq!(key.to_string(), "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");
/// # Ok::<(), transport_zmq::curve::CurveKeyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CurvePublicKey([u8; 32]);

impl CurvePublicKey {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> CurvePublicKey {
        CurvePublicKey(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As [`Policy`] and [`Identity`](transport_core::Identity) print it: 64 hex digits.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Allows the owner of this key, and nobody else.
    pub fn policy(&self) -> Policy {
        Policy::curve_key(self.0)
    }
}

impl FromStr for CurvePublicKey {
    type Err = CurveKeyError;

    fn from_str(text: &str) -> Result<CurvePublicKey, CurveKeyError> {
        z85::decode(text).map(|key| CurvePublicKey(*key)).ok_or(CurveKeyError)
    }
}

impl fmt::Display for CurvePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&z85::encode(&self.0))
    }
}

impl fmt::Debug for CurvePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurvePublicKey({self})")
    }
}

/// A secret key: wiped from memory when it is dropped, and never printed.
///
/// # Examples
///
/// Kept in a file that nobody else can read:
///
/// ```
/// use transport_core::secret_file::SecretFile;
/// use transport_zmq::curve::CurveSecretKey;
/// # let folder = std::env::temp_dir().join(format!("curve-docs-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
///
/// let file = SecretFile::new(folder.join("curve.key"));
/// let key = CurveSecretKey::generate();
/// file.write(key.to_z85().as_bytes())?;
///
/// let same = CurveSecretKey::from_z85(file.read_text()?.trim())?;
/// assert_eq!(same.public_key(), key.public_key());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CurveSecretKey(Zeroizing<[u8; 32]>);

impl CurveSecretKey {
    /// A new key.
    ///
    /// # Panics
    ///
    /// When the system has no random bytes.
    pub fn generate() -> CurveSecretKey {
        let mut key = Zeroizing::new([0; 32]);
        random(&mut *key);
        CurveSecretKey(key)
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> CurveSecretKey {
        CurveSecretKey(bytes)
    }

    /// The key of this text: 40 characters of Z85, nothing around them.
    ///
    /// # Errors
    ///
    /// When it is not a key.
    pub fn from_z85(text: &str) -> Result<CurveSecretKey, CurveKeyError> {
        z85::decode(text).map(CurveSecretKey).ok_or(CurveKeyError)
    }

    /// The text form, as ZeroMQ programs write keys.
    pub fn to_z85(&self) -> Zeroizing<String> {
        z85::encode(&self.0)
    }

    /// The public key that belongs to it.
    pub fn public_key(&self) -> CurvePublicKey {
        let mut public = [0; 32];
        crypto_scalarmult_base(&mut public, &self.0);
        CurvePublicKey(public)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CurveSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurveSecretKey")
    }
}

/// A text is not a CURVE key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a CURVE key is 40 characters of Z85, such as zmq_curve_keypair makes")]
pub struct CurveKeyError;

pub(super) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("a system that runs programs has random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_never_printed() {
        let key = CurveSecretKey::from_bytes(Zeroizing::new([0x61; 32]));
        assert_eq!(format!("{key:?}"), "CurveSecretKey");
    }

    #[test]
    fn a_public_key_prints_as_it_is_parsed_and_names_a_policy() {
        let key = CurveSecretKey::generate().public_key();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.policy().to_string(), format!("curve:{}", key.to_hex()));
        assert_eq!("too short".parse::<CurvePublicKey>(), Err(CurveKeyError));
    }

    #[test]
    fn two_new_keys_differ() {
        assert_ne!(CurveSecretKey::generate().public_key(), CurveSecretKey::generate().public_key());
    }
}
