//! A certificate authority in memory.

use std::time::SystemTime;

use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;

use crate::algorithm::Algorithm;
use crate::cables;
use crate::certificate::{Certificate, parse};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::leaf::LeafConfig;
use crate::private_key::PrivateKey;
use crate::template;
use crate::validity::{self, Validity};

/// How an authority is made.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// Its name, by which people know it. Default: `certgen CA` and eight random digits, so that no two have the same.
    pub name: Option<String>,
    /// The kind of its key. Default: P-256.
    pub algorithm: Algorithm,
    /// From when until when it can issue certificates. Default: [`Validity::AUTHORITY`].
    pub validity: Validity,
    /// Set for one of the cables network.
    pub(crate) cables: Option<cables::Kind>,
}

impl AuthorityConfig {
    /// An authority of the cables network: its fixed name, 18300 days, and the extensions that its peers insist on.
    pub fn cables() -> AuthorityConfig {
        AuthorityConfig::cables_of(false)
    }

    pub(crate) fn cables_of(is_classic: bool) -> AuthorityConfig {
        let kind = if is_classic { cables::Kind::Classic } else { cables::Kind::Plain };
        AuthorityConfig { validity: Validity::CABLES, cables: Some(kind), ..AuthorityConfig::default() }
    }

    /// Sets its name.
    pub fn with_name(mut self, name: impl Into<String>) -> AuthorityConfig {
        self.name = Some(name.into());
        self
    }

    /// Sets the kind of its key.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> AuthorityConfig {
        self.algorithm = algorithm;
        self
    }

    /// Sets from when until when it can issue certificates.
    pub fn with_validity(mut self, validity: Validity) -> AuthorityConfig {
        self.validity = validity;
        self
    }
}

impl Default for AuthorityConfig {
    fn default() -> AuthorityConfig {
        AuthorityConfig {
            name: None,
            algorithm: Algorithm::default(),
            validity: Validity::AUTHORITY,
            cables: None,
        }
    }
}

/// A certificate authority: issues certificates and revokes them. It touches no file; [`AuthorityDirectory`] does.
///
/// [`AuthorityDirectory`]: crate::AuthorityDirectory
pub struct CertificateAuthority {
    certificate: Certificate,
    key: PrivateKey,
}

impl CertificateAuthority {
    /// Makes a new authority with a new key.
    ///
    /// # Errors
    ///
    /// When the configuration contradicts itself, or no key can be made.
    pub fn new(config: &AuthorityConfig) -> Result<CertificateAuthority, Error> {
        let mut key = PrivateKey::generate(config.algorithm)?;
        if config.cables.is_some() {
            key = key.with_sha512()?;
        }
        let dates = config.validity.resolve(SystemTime::now())?;
        let params = template::authority(config, dates, &key.public_key())?;
        let made =
            params.self_signed(key.pair()).map_err(Error::crypto("sign the authority's certificate"))?;
        Ok(CertificateAuthority { certificate: Certificate::from_der(made.der())?, key })
    }

    /// An authority that exists already.
    ///
    /// # Errors
    ///
    /// When the key is not the certificate's, or the certificate may not sign others.
    pub fn from_parts(certificate: Certificate, key: PrivateKey) -> Result<CertificateAuthority, Error> {
        if key.public_key() != certificate.public_key() {
            return Err(Error::Malformed("the key is not the one of the authority's certificate".into()));
        }
        let usages = certificate.usages();
        if !certificate.is_authority() || !usages.contains(&"keyCertSign") {
            let problem = format!("the certificate of {} may not sign others", certificate.subject());
            return Err(Error::Malformed(problem));
        }
        let signed_with = parse(certificate.der())?.signature_algorithm.algorithm.to_id_string();
        let key = if signed_with == SHA512_WITH_RSA { key.with_sha512()? } else { key };
        Ok(CertificateAuthority { certificate, key })
    }

    /// Its certificate, which peers are given to trust.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Makes a key and issues a certificate for it.
    ///
    /// # Errors
    ///
    /// When the configuration contradicts itself, the certificate would outlive this authority, or no key can be made.
    pub fn issue(&self, config: &LeafConfig) -> Result<Credentials, Error> {
        let algorithm = config.algorithm();
        // Before the key, which may take seconds.
        self.check(config, algorithm)?;
        let key = PrivateKey::generate(algorithm)?;
        let certificate = self.certify(config, algorithm, key.pair())?;
        Ok(Credentials::new(key, certificate))
    }

    /// Issues a certificate for a key that exists already.
    ///
    /// # Errors
    ///
    /// As [`issue`](CertificateAuthority::issue).
    pub fn issue_for(&self, config: &LeafConfig, key: PrivateKey) -> Result<Credentials, Error> {
        let certificate = self.certify(config, key.algorithm(), key.pair())?;
        Ok(Credentials::new(key, certificate))
    }

    pub(crate) fn certify(
        &self,
        config: &LeafConfig,
        algorithm: Algorithm,
        public_key: &impl PublicKeyData,
    ) -> Result<Certificate, Error> {
        let dates = self.check(config, algorithm)?;
        let subject_key = public_key.subject_public_key_info();
        let params = template::leaf(config, algorithm, dates, Some((&self.certificate, &subject_key)))?;
        let made =
            params.signed_by(public_key, &self.issuer()?).map_err(Error::crypto("sign the certificate"))?;
        let certificate = Certificate::from_der(made.der())?;
        // Names of authorities that others made may have a form that the library below cannot write again.
        if certificate.issuer_der() != self.certificate.subject_der() {
            let problem = format!(
                "the authority's name {:?} has a form that cannot be used",
                self.certificate.subject()
            );
            return Err(Error::Malformed(problem));
        }
        Ok(certificate)
    }

    pub(crate) fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, Error> {
        let der = CertificateDer::from(self.certificate.der());
        // The library below panics at a name with an empty part.
        let parsed = parse(&der)?;
        if parsed.subject().iter().any(|part| part.iter().next().is_none()) {
            return Err(Error::Malformed("the authority's name has an empty part".into()));
        }
        Issuer::from_ca_cert_der(&der, self.key.pair())
            .map_err(Error::crypto("use the authority's certificate"))
    }

    /// The two moments of the certificate, if there can be one.
    fn check(&self, config: &LeafConfig, algorithm: Algorithm) -> Result<template::Dates, Error> {
        config.profile.check(algorithm)?;
        let now = SystemTime::now();
        let dates = config.validity.resolve(now)?;
        let until = self.certificate.not_after();
        if validity::to_date(until).is_some_and(|until| dates.1 > until) {
            return Err(Error::OutlivesAuthority {
                leaf: validity::display_minute(validity::from_seconds(dates.1.unix_timestamp())),
                authority: self.certificate.subject().to_owned(),
                until: validity::display_minute(until),
                days: validity::days_between(now, until),
            });
        }
        Ok(dates)
    }
}

const SHA512_WITH_RSA: &str = "1.2.840.113549.1.1.13";
