//! What happens to certificates while a program runs, for logs and monitoring.

use std::sync::Arc;
use std::time::SystemTime;

use transport_core::{Events, Source};

use crate::error::LoadError;
use crate::refusal::Refusal;

/// Something that happened to a [`TlsTransport`](crate::TlsTransport).
///
/// Peers that are refused in a handshake are in the events of their server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TlsEvent {
    /// The files have changed and were loaded: new connections use what they say now.
    Reloaded {
        /// The end of the own certificate's validity, if there is one: monitor it.
        not_after: Option<SystemTime>,
    },
    /// The files have changed and cannot be used: what was loaded before stays in use.
    ReloadFailed {
        /// Why.
        error: Arc<LoadError>,
    },
    /// The files cannot be watched: they are looked at every 30 seconds instead.
    NotWatched {
        /// Why.
        problem: String,
    },
    /// An open connection was closed, since its peer would not be accepted any more.
    Closed {
        /// Where the peer is.
        source: Source,
        /// Why it would not.
        reason: Refusal,
    },
}

/// The events of one [`TlsTransport`](crate::TlsTransport) and its clones, in order.
pub type TlsEvents = Events<TlsEvent>;
