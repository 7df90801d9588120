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
    /// Something that is loaded has changed and cannot be used: what was loaded of it before stays in use, and all else is used as
    /// it is now. Where files are watched, it is tried again every 30 seconds, and only another reason is told again.
    ReloadFailed {
        /// Why.
        error: Arc<LoadError>,
    },
    /// The files cannot be watched: they are looked at every 30 seconds instead.
    NotWatched {
        /// Why.
        problem: String,
    },
    /// The own certificate has expired: peers refuse it from now on.
    Expired {
        /// The end of its validity.
        not_after: SystemTime,
    },
    /// An open connection was closed, since its peer would not be accepted any more.
    Closed {
        /// Where the peer is.
        source: Source,
        /// Why it would not.
        reason: Refusal,
    },
}

impl TlsEvent {
    /// The names of all events.
    pub const NAMES: &[&str] = &["reloaded", "reload_failed", "not_watched", "expired", "closed"];

    /// The event's name, as a log or a filter may use it.
    pub fn name(&self) -> &'static str {
        match self {
            TlsEvent::Reloaded { .. } => "reloaded",
            TlsEvent::ReloadFailed { .. } => "reload_failed",
            TlsEvent::NotWatched { .. } => "not_watched",
            TlsEvent::Expired { .. } => "expired",
            TlsEvent::Closed { .. } => "closed",
        }
    }
}

/// The events of one [`TlsTransport`](crate::TlsTransport) and its clones, in order.
pub type TlsEvents = Events<TlsEvent>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_docs_names_every_event_and_no_other() {
        let docs = include_str!("../../docs/events-and-metrics.md");
        let section = docs.split_once("### Certificates (`TlsEvent`)\n").unwrap().1;
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows = rows.take_while(|line| line.starts_with('|'));
        let names: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
        assert_eq!(names, TlsEvent::NAMES);
    }
}
