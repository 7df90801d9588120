//! What a client says before anything is agreed, and what to do about it.

use transport_core::Source;

use crate::transport::TlsTransport;

/// What a client says in its hello. Nothing of it is proven.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientHello<'a> {
    /// The name that it asked for (SNI).
    pub server_name: Option<&'a str>,
    /// The protocols that it offers (ALPN).
    pub protocols: Vec<&'a [u8]>,
    /// Where it is.
    pub source: &'a Source,
}

/// What to do about a client's hello.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HelloChoice {
    /// Go on with the settings of the listener.
    GoOn,
    /// Go on with the certificate, trust and protocols of this one.
    Use(TlsTransport),
    /// Turn it away; the reason is for this side's log.
    Refuse(String),
}
