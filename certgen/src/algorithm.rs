//! Which keys can be made.

use std::fmt;
use std::str::FromStr;

use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::error::Error;

/// The kind of a key: what `--algorithm` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on the curve P-256 with SHA-256: small, fast, and every peer knows it.
    #[default]
    P256,
    /// ECDSA on the curve P-384 with SHA-384.
    P384,
    /// Ed25519: small and fast; browsers and some older libraries do not take it.
    Ed25519,
    /// RSA with 2048 bits, for peers that know nothing else.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// RSA with 8192 bits, which the cables network was made with; takes up to a minute.
    Rsa8192,
}

impl Algorithm {
    /// Every algorithm, in the order of the help.
    pub const ALL: [Algorithm; 7] = [
        Algorithm::P256,
        Algorithm::P384,
        Algorithm::Ed25519,
        Algorithm::Rsa2048,
        Algorithm::Rsa3072,
        Algorithm::Rsa4096,
        Algorithm::Rsa8192,
    ];

    /// Its name as `--algorithm` takes it, such as `p256`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::P256 => "p256",
            Algorithm::P384 => "p384",
            Algorithm::Ed25519 => "ed25519",
            Algorithm::Rsa2048 => "rsa2048",
            Algorithm::Rsa3072 => "rsa3072",
            Algorithm::Rsa4096 => "rsa4096",
            Algorithm::Rsa8192 => "rsa8192",
        }
    }

    /// The algorithm of a public key (SubjectPublicKeyInfo, DER). For RSA of a size between two, it is the smaller one.
    ///
    /// # Errors
    ///
    /// When it is malformed or of none of these.
    pub fn of_public_key(der: &[u8]) -> Result<Algorithm, Error> {
        let unknown = "its key is neither P-256, P-384, Ed25519 nor RSA of 2048 to 8192 bits";
        let unknown = || Error::Malformed(unknown.into());
        let (rest, key) = SubjectPublicKeyInfo::from_der(der).map_err(|_| unknown())?;
        if !rest.is_empty() {
            return Err(unknown());
        }
        if key.algorithm.algorithm.to_id_string() == ED25519 {
            return Ok(Algorithm::Ed25519);
        }
        let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        match (key.parsed(), curve.map(|curve| curve.to_id_string()).as_deref()) {
            (Ok(PublicKey::EC(_)), Some(P256)) => Ok(Algorithm::P256),
            (Ok(PublicKey::EC(_)), Some(P384)) => Ok(Algorithm::P384),
            (Ok(PublicKey::RSA(rsa)), _) => match rsa.key_size() {
                2048..3072 => Ok(Algorithm::Rsa2048),
                3072..4096 => Ok(Algorithm::Rsa3072),
                4096..8192 => Ok(Algorithm::Rsa4096),
                8192 => Ok(Algorithm::Rsa8192),
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }

    /// Whether it is RSA, of any size.
    pub fn is_rsa(self) -> bool {
        matches!(self, Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 | Algorithm::Rsa8192)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Algorithm, Error> {
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == text);
        known.ok_or_else(|| {
            let names = Algorithm::ALL.map(Algorithm::name).join(", ");
            Error::Config(format!("there is no algorithm {text:?}: it is one of {names}"))
        })
    }
}

const ED25519: &str = "1.3.101.112";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
