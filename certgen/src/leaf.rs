//! Certificates of servers, clients and people.

use std::time::SystemTime;

use crate::algorithm::Algorithm;
use crate::certificate::Certificate;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::names::{self, Name, host_names};
use crate::private_key::PrivateKey;
use crate::profile::Profile;
use crate::template;
use crate::validity::{self, Validity};

/// What a certificate says, and for how long.
#[derive(Clone, Debug)]
pub struct LeafConfig {
    /// The names that it is for. Default: those of this host.
    pub names: Vec<Name>,
    /// The common name of its subject, which is for people: no peer may trust it. Default: the first of the names.
    pub common_name: Option<String>,
    /// What it may be used for. Default: [`Profile::Peer`].
    pub profile: Profile,
    /// The kind of its key. Default: that of the profile.
    pub algorithm: Option<Algorithm>,
    /// From when until when. Default: [`Validity::LEAF`].
    pub validity: Validity,
}

impl LeafConfig {
    /// A certificate for these names, each sorted into its kind as [`Name`] says.
    ///
    /// # Errors
    ///
    /// When one of them is no name for a certificate.
    pub fn new<I>(names: I) -> Result<LeafConfig, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(LeafConfig { names: names::parse_all(names)?, ..LeafConfig::default() })
    }

    /// A certificate without names of its own: it gets those of this host, if it is for a server.
    ///
    /// # Errors
    ///
    /// When the profile is not for servers.
    pub fn for_profile(profile: Profile) -> Result<LeafConfig, Error> {
        if profile.is_host() {
            return Ok(LeafConfig::default().with_profile(profile));
        }
        // The name of an identity of the cables network is always the same.
        if profile == Profile::Cables {
            return Ok(LeafConfig { names: Vec::new(), profile, ..LeafConfig::default() });
        }
        let problem = format!(
            "a certificate of the profile {profile} needs a name, such as alice or alice@example.org"
        );
        Err(Error::Config(problem))
    }

    /// What a certificate says already: its names, common name, profile and number of days, to renew it.
    ///
    /// # Errors
    ///
    /// When its usages are of no profile, or its names could not be issued.
    pub fn like(certificate: &Certificate) -> Result<LeafConfig, Error> {
        LeafConfig::like_with(certificate, Profile::of(certificate)?)
    }

    /// As [`like`](LeafConfig::like), for another profile.
    ///
    /// # Errors
    ///
    /// When its names could not be issued.
    pub fn like_with(certificate: &Certificate, profile: Profile) -> Result<LeafConfig, Error> {
        let names = certificate.names().iter().map(|name| name.to_string().parse());
        let config = LeafConfig {
            names: names.collect::<Result<_, _>>()?,
            common_name: certificate.common_name().map(str::to_owned),
            profile,
            algorithm: Some(Algorithm::of_public_key(certificate.public_key())?),
            validity: Validity::Days(validity::days_of(certificate.not_before(), certificate.not_after())),
        };
        Ok(config)
    }

    /// Sets what it may be used for.
    pub fn with_profile(mut self, profile: Profile) -> LeafConfig {
        self.profile = profile;
        self
    }

    /// Sets the kind of its key.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> LeafConfig {
        self.algorithm = Some(algorithm);
        self
    }

    /// Sets from when until when it is valid.
    pub fn with_validity(mut self, validity: Validity) -> LeafConfig {
        self.validity = validity;
        self
    }

    /// Sets the common name of its subject.
    pub fn with_common_name(mut self, name: impl Into<String>) -> LeafConfig {
        self.common_name = Some(name.into());
        self
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or_else(|| self.profile.default_algorithm())
    }
}

impl Default for LeafConfig {
    fn default() -> LeafConfig {
        LeafConfig {
            names: host_names(),
            common_name: None,
            profile: Profile::default(),
            algorithm: None,
            validity: Validity::LEAF,
        }
    }
}

/// Makes a key and a certificate that it signs itself, as `make-dummy-cert` does.
///
/// Nobody vouches for it: a peer has to be given this very certificate or its [pin](Certificate::pin).
///
/// # Errors
///
/// When the configuration contradicts itself, or no key can be made.
pub fn self_signed(config: &LeafConfig) -> Result<Credentials, Error> {
    check(config, config.algorithm())?;
    self_signed_for(config, PrivateKey::generate(config.algorithm())?)
}

/// Makes a certificate that a key which exists already signs itself.
///
/// # Errors
///
/// As [`self_signed`].
pub fn self_signed_for(config: &LeafConfig, key: PrivateKey) -> Result<Credentials, Error> {
    check(config, key.algorithm())?;
    let dates = config.validity.resolve(SystemTime::now())?;
    let params = template::leaf(config, key.algorithm(), dates, None)?;
    let made = params.self_signed(key.pair()).map_err(Error::crypto("sign the certificate"))?;
    Ok(Credentials::new(key, Certificate::from_der(made.der())?))
}

/// What is wrong is told before a key is made, which may take seconds.
fn check(config: &LeafConfig, algorithm: Algorithm) -> Result<(), Error> {
    if config.profile == Profile::Cables {
        let problem =
            "an identity of the cables network has an authority of its own: make it with `certgen cables`";
        return Err(Error::Config(problem.into()));
    }
    config.profile.check(algorithm)
}
