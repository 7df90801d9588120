//! What can go wrong at a proxy.

use std::fmt;
use std::io;

use crate::identity::Printable;

/// Why a text is not a [`Proxy`](super::Proxy). It does not repeat the text, which may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyAddressError {
    /// The scheme is none that is known.
    #[error("write socks5://host:port or http://host:port for a proxy; proxies inside TLS are not supported")]
    Scheme,
    /// The host or port is missing or malformed.
    #[error("the proxy's place is not host:port")]
    Place,
    /// The user or password is malformed.
    #[error("the user and password for the proxy {0}")]
    Credentials(&'static str),
}

/// Why a proxy did not connect this side to its target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// What answers does not speak the protocol.
    #[error("it does not speak {protocol}: {problem}")]
    Protocol {
        /// The protocol.
        protocol: &'static str,
        /// What is wrong with its answer.
        problem: String,
    },
    /// It wants a user and password, or others than these.
    #[error("{0}")]
    Credentials(&'static str),
    /// It would not, or could not, reach the target.
    #[error("it answered: {0}")]
    Refused(ProxyAnswer),
    /// The target cannot be named to it.
    #[error("it cannot be told the host {host:?}: {problem}")]
    Target {
        /// The host.
        host: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It closed the stream instead of answering.
    #[error("it closed the stream instead of answering")]
    Closed,
    /// Reading or writing failed.
    #[error("the stream to it failed")]
    Io(#[from] io::Error),
}

impl ProxyError {
    /// Whether another attempt with the same settings could succeed.
    pub(crate) fn mends_itself(&self) -> bool {
        !matches!(self, ProxyError::Credentials(_) | ProxyError::Target { .. })
    }
}

/// What a proxy said instead of "connected".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAnswer {
    code: u16,
    text: String,
}

impl ProxyAnswer {
    pub(super) fn new(code: u16, text: &str) -> ProxyAnswer {
        ProxyAnswer { code, text: text.chars().take(MOST_SHOWN).collect() }
    }

    /// SOCKS5: the reply code (RFC 1928, section 6). HTTP: the status.
    pub fn code(&self) -> u16 {
        self.code
    }
}

impl fmt::Display for ProxyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, Printable(&self.text))
    }
}

/// A log line has room for so many of the proxy's own words.
const MOST_SHOWN: usize = 100;
