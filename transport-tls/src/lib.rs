//! TLS over any transport: `tls://host:port`, with certificates on both sides.
//!
//! ```text
//! tls://db.example:7000                       over TCP; the server's certificate must be for db.example
//! tls://10.0.0.7:7000?name=db.example         ... for another name than the host's
//! tls+unix:///run/app.sock?name=db.example    over a Unix socket (TlsTransport::over)
//! ```
//!
//! | what | how |
//! |---|---|
//! | who this side is | [`OwnCertificate`]: one PEM file or two, the key's file checked for who can read it |
//! | whom it trusts | [`Trust`]: authorities in a file or directory, the platform's (feature `platform-trust`), pinned keys |
//! | who the peer is | its `Evidence`: names, key, validity, and the channel binding of RFC 9266 |
//! | what is spoken | TLS 1.3, X25519MLKEM768 first, no early data; a protocol (ALPN) is required |
//! | what changes | certificates, authorities and revocation lists are loaded again when their files change, and connections end whose peers no longer pass; [`TlsEvent`] tells |
//! | who is refused | a [`Refusal`] with the reason here, the same alert for all to the peer |
//!
//! # Examples
//!
//! See [`TlsTransport`].
#![forbid(unsafe_code)]

mod admission;
mod clock;
mod config;
mod contents;
mod display;
mod error;
mod establish;
mod event;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod handshake_verifier;
mod hello;
mod keeper;
mod key_log;
mod leaf;
mod listener;
mod open_connections;
mod own_certificate;
mod refusal;
mod revocation_list;
mod spiffe;
mod state;
mod stream;
mod transport;
mod trust;
mod verifier;

pub use config::{ClientCertificates, TlsConfig, ZMTP_PROTOCOL};
pub use error::{LoadError, NotSetUp, TlsError};
pub use event::{TlsEvent, TlsEvents};
pub use hello::{ClientHello, HelloChoice};
pub use own_certificate::OwnCertificate;
pub use refusal::Refusal;
pub use spiffe::SpiffeError;
pub use transport::TlsTransport;
pub use trust::{Pin, Trust};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
