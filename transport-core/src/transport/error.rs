//! Why a transport could not.

use std::io;

use crate::address::Address;
use crate::policy::Denied;
use crate::tcp::ProxyError;

/// Why a transport could not connect, listen or do its own handshake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address has the scheme but not the shape that this transport needs.
    #[error("{address} is no {scheme} address: {problem}")]
    Address {
        /// The address.
        address: Address,
        /// The transport's scheme.
        scheme: &'static str,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with what.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// A proxy on the way did not connect this side.
    #[error("the proxy {proxy} did not connect to {address}")]
    Proxy {
        /// The proxy, without its user and password.
        proxy: String,
        /// The address.
        address: Address,
        /// Why not.
        source: Box<ProxyError>,
    },
    /// The peer is not whom the policy allows, and was refused in the transport's own handshake.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The two ends did not agree, or the peer failed the transport's own authentication.
    #[error("the transport's handshake failed")]
    Handshake(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TransportError {
    /// The operating system refused to do `action`.
    pub fn io(action: impl Into<String>, source: io::Error) -> TransportError {
        TransportError::Io { action: action.into(), source }
    }

    /// The address does not have the shape that the transport needs.
    pub fn address(address: &Address, scheme: &'static str, problem: impl Into<String>) -> TransportError {
        TransportError::Address { address: address.clone(), scheme, problem: problem.into() }
    }
}
