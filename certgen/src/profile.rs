//! What a certificate may be used for.

use std::fmt;
use std::str::FromStr;

use rcgen::{ExtendedKeyUsagePurpose as Purpose, KeyUsagePurpose as Usage};

use crate::algorithm::Algorithm;
use crate::cables;
use crate::certificate::Certificate;
use crate::error::Error;

/// What a certificate is for, and so what its key may do (RFC 5280 Sections 4.2.1.3 and 4.2.1.12): what `--profile` takes.
///
/// | profile | key usage | extended key usage |
/// |---|---|---|
/// | `server` | digitalSignature | serverAuth |
/// | `client` | digitalSignature | clientAuth |
/// | `peer` | digitalSignature | serverAuth, clientAuth |
/// | `cms` | digitalSignature, and keyAgreement (P-256) or keyEncipherment (RSA) | emailProtection |
/// | `cables` | digitalSignature | emailProtection, critical |
/// | `flumotion` | digitalSignature, keyEncipherment | serverAuth |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// A TLS server.
    Server,
    /// A TLS client.
    Client,
    /// Both sides of TLS: the default.
    #[default]
    Peer,
    /// Signing and decrypting CMS messages (RFC 5652): P-256 or RSA.
    Cms,
    /// An identity of the cables network: its fixed name, and the extensions that its peers insist on.
    Cables,
    /// The server of a legacy Flumotion manager: RSA, and the key usage that key transport in TLS 1.2 needs.
    Flumotion,
}

impl Profile {
    /// Every profile, in the order of the help.
    pub const ALL: [Profile; 6] =
        [Profile::Server, Profile::Client, Profile::Peer, Profile::Cms, Profile::Cables, Profile::Flumotion];

    /// Its name as `--profile` takes it, such as `peer`.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Server => "server",
            Profile::Client => "client",
            Profile::Peer => "peer",
            Profile::Cms => "cms",
            Profile::Cables => "cables",
            Profile::Flumotion => "flumotion",
        }
    }

    /// The algorithm if none is asked for: RSA with 2048 bits for `flumotion`, P-256 for all others.
    pub fn default_algorithm(self) -> Algorithm {
        match self {
            Profile::Flumotion => Algorithm::Rsa2048,
            _ => Algorithm::P256,
        }
    }

    /// The profile that a certificate was made with.
    ///
    /// # Errors
    ///
    /// When its usages are those of none.
    pub fn of(certificate: &Certificate) -> Result<Profile, Error> {
        if cables::is_named(certificate) {
            return Ok(Profile::Cables);
        }
        let has = |usage| certificate.usages().contains(&usage);
        match (has("serverAuth"), has("clientAuth"), has("emailProtection")) {
            (true, true, false) => Ok(Profile::Peer),
            (true, false, false) if has("keyEncipherment") => Ok(Profile::Flumotion),
            (true, false, false) => Ok(Profile::Server),
            (false, true, false) => Ok(Profile::Client),
            (false, false, true) => Ok(Profile::Cms),
            _ => {
                let usages = certificate.usages().join(", ");
                Err(Error::Config(format!(
                    "its usages ({usages}) are those of no profile: name one with --profile"
                )))
            }
        }
    }

    /// Whether a certificate without names gets those of this host.
    pub(crate) fn is_host(self) -> bool {
        matches!(self, Profile::Server | Profile::Peer | Profile::Flumotion)
    }

    pub(crate) fn check(self, algorithm: Algorithm) -> Result<(), Error> {
        let takes = match self {
            Profile::Cms if !(algorithm.is_rsa() || algorithm == Algorithm::P256) => "p256 or RSA",
            Profile::Cables if algorithm == Algorithm::Ed25519 => "p256, p384 or RSA",
            Profile::Flumotion if !algorithm.is_rsa() => "RSA, such as rsa2048",
            _ => return Ok(()),
        };
        Err(Error::Config(format!("the profile {self} takes {takes}, not {algorithm}")))
    }

    pub(crate) fn key_usages(self, algorithm: Algorithm) -> Vec<Usage> {
        match self {
            Profile::Server | Profile::Client | Profile::Peer | Profile::Cables => {
                vec![Usage::DigitalSignature]
            }
            Profile::Cms if algorithm.is_rsa() => vec![Usage::DigitalSignature, Usage::KeyEncipherment],
            Profile::Cms => vec![Usage::DigitalSignature, Usage::KeyAgreement],
            Profile::Flumotion => vec![Usage::DigitalSignature, Usage::KeyEncipherment],
        }
    }

    pub(crate) fn extended_key_usages(self) -> Vec<Purpose> {
        match self {
            Profile::Server | Profile::Flumotion => vec![Purpose::ServerAuth],
            Profile::Client => vec![Purpose::ClientAuth],
            Profile::Peer => vec![Purpose::ServerAuth, Purpose::ClientAuth],
            Profile::Cms | Profile::Cables => vec![Purpose::EmailProtection],
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Profile, Error> {
        let known = Profile::ALL.into_iter().find(|profile| profile.name() == text);
        known.ok_or_else(|| {
            let names = Profile::ALL.map(Profile::name).join(", ");
            Error::Config(format!("there is no profile {text:?}: it is one of {names}"))
        })
    }
}
