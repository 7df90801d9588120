//! Certificate signing requests (PKCS #10, RFC 2986).

use std::path::Path;

use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer as _, ParsedExtension};

use crate::algorithm::Algorithm;
use crate::authority::CertificateAuthority;
use crate::certificate::{Certificate, name_of, printable};
use crate::error::Error;
use crate::leaf::LeafConfig;
use crate::names::{self, Name};
use crate::pem::{self, PemFile};
use crate::private_key::PrivateKey;
use crate::profile::Profile;
use crate::template;

/// A request for a certificate: who has the key asks for names; whoever signs decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    der: Vec<u8>,
    subject: String,
    names: Vec<Name>,
    profile: Option<Profile>,
    public_key: Vec<u8>,
}

impl Request {
    /// Makes a request for a key. Its names and profile are asked for; the time is the authority's to decide.
    ///
    /// # Errors
    ///
    /// When the configuration contradicts itself, or is for the cables network, whose peers make their own authority.
    pub fn new(config: &LeafConfig, key: &PrivateKey) -> Result<Request, Error> {
        config.profile.check(key.algorithm())?;
        let params = template::request(config, key.algorithm())?;
        let made = params.serialize_request(key.pair()).map_err(Error::crypto("sign the request"))?;
        Request::from_der(made.der())
    }

    /// Parses a request in DER, and checks that who made it has the key.
    ///
    /// # Errors
    ///
    /// When it is none, is not signed by its own key, asks for an authority, or for names of a kind that is not issued.
    pub fn from_der(der: &[u8]) -> Result<Request, Error> {
        let request = match X509CertificationRequest::from_der(der) {
            Ok(([], request)) => request,
            Ok(_) => return Err(malformed("there are bytes after its request")),
            Err(error) => return Err(malformed(&format!("its request is malformed: {error}"))),
        };
        request.verify_signature().map_err(|_| malformed("its request is not signed by the key in it"))?;
        let info = &request.certification_request_info;
        let (mut names, mut profile) = (Vec::new(), None);
        for extension in request.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::SubjectAlternativeName(asked) => {
                    for name in &asked.general_names {
                        let name = name_of(name).ok_or_else(|| malformed(UNKNOWN_KIND))?;
                        // With its kind in front, so that it stays of this kind and obeys its rules.
                        names.push(name.to_string().parse()?);
                    }
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    profile = match (usage.server_auth, usage.client_auth, usage.email_protection) {
                        (true, false, false) => Some(Profile::Server),
                        (false, true, false) => Some(Profile::Client),
                        (false, false, true) => Some(Profile::Cms),
                        _ => None,
                    };
                }
                ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                    return Err(malformed("it asks to become an authority, which is never granted"));
                }
                _ => {}
            }
        }
        names::check_spiffe_is_alone(&names)?;
        Ok(Request {
            der: der.to_vec(),
            subject: printable(&info.subject.to_string()),
            names,
            profile,
            public_key: info.subject_pki.raw.to_vec(),
        })
    }

    /// Reads a PEM file that has one request.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or does not have exactly one.
    pub fn read(path: impl AsRef<Path>) -> Result<Request, Error> {
        let path = path.as_ref();
        let mut requests = PemFile::read(path)?.requests;
        match requests.len() {
            0 => Err(malformed("it has no signing request").in_file(path)),
            1 => Ok(requests.remove(0)),
            count => Err(malformed(&format!("it has {count} signing requests, not one")).in_file(path)),
        }
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its bytes as PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der).to_string()
    }

    /// Whose it is, for people.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The names that it asks for.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The profile of the extended key usage that it asks for, else [`Profile::Peer`].
    pub fn profile(&self) -> Profile {
        self.profile.unwrap_or_default()
    }

    /// A configuration of what it asks for: its names and its profile.
    ///
    /// # Errors
    ///
    /// When it asks for no names.
    pub fn config(&self) -> Result<LeafConfig, Error> {
        if self.names.is_empty() {
            return Err(malformed("its request asks for no names (subjectAltName): name them when you sign"));
        }
        let config = LeafConfig { names: self.names.clone(), ..LeafConfig::default() };
        Ok(config.with_profile(self.profile()))
    }
}

impl CertificateAuthority {
    /// Issues a certificate for a public key: that of a [`Request`], or of a certificate that is renewed.
    ///
    /// Of a request nothing but the key is used. Whoever signs decides on names, profile and time; see
    /// [`Request::config`].
    ///
    /// # Errors
    ///
    /// As [`issue`](CertificateAuthority::issue), and when the key is of no [`Algorithm`].
    pub fn sign(&self, public_key: &[u8], config: &LeafConfig) -> Result<Certificate, Error> {
        let algorithm = Algorithm::of_public_key(public_key)?;
        let key = SubjectPublicKeyInfo::from_der(public_key).map_err(Error::crypto("use the public key"))?;
        self.certify(config, algorithm, &key)
    }
}

fn malformed(problem: &str) -> Error {
    Error::Malformed(problem.to_owned())
}

const UNKNOWN_KIND: &str = "it asks for a name that is neither a host name, an IP address, a URI nor a mail address: such are not issued";
