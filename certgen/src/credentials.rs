//! A key and its certificate.

use std::fmt;

use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::private_key::PrivateKey;

/// A private key and the certificate for it.
pub struct Credentials {
    key: PrivateKey,
    certificate: Certificate,
}

impl Credentials {
    pub(crate) fn new(key: PrivateKey, certificate: Certificate) -> Credentials {
        Credentials { key, certificate }
    }

    /// The key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Both in one PEM text: the key, an empty line, the certificate. It is wiped from memory when it is dropped.
    pub fn combined_pem(&self) -> Zeroizing<String> {
        let (key, certificate) = (self.key.pem(), self.certificate.pem());
        let mut text = Zeroizing::new(String::with_capacity(key.len() + 1 + certificate.len()));
        text.push_str(&key);
        text.push('\n');
        text.push_str(&certificate);
        text
    }

    /// The two apart.
    pub fn into_parts(self) -> (PrivateKey, Certificate) {
        (self.key, self.certificate)
    }
}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
