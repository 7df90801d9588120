//! Other people's servers over our streams: HTTP with axum, gRPC with tonic.
//!
//! A [`RawServer`] decides who may in, as for every protocol; what it lets in is handed to axum ([`HttpListener`], feature
//! `axum`) or tonic ([`incoming`], feature `tonic`), with the [`HttpPeer`] in the extensions of each request.
//!
//! Over `tls`, name the protocols of HTTP in the settings: `TlsConfig::with_protocols(["h2", "http/1.1"])`.

#[cfg(feature = "axum")]
mod axum;
mod stream;
#[cfg(feature = "tonic")]
mod tonic;

#[cfg(feature = "axum")]
pub use axum::HttpListener;
pub use stream::{HttpPeer, HttpStream};
#[cfg(feature = "tonic")]
pub use tonic::incoming;
#[cfg(doc)]
use transport_core::RawServer;
