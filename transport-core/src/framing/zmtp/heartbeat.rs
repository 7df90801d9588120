//! When to ask a silent peer for a sign of life, and when to give it up (RFC 37/ZMTP, section "Connection Heartbeating").

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::framing::{Control, FramingError};
use crate::limits::Limits;

/// The clockwork of heartbeats: it is told when bytes arrive and when time has passed.
#[derive(Debug)]
pub(super) struct Heartbeat {
    ping_after: Duration,
    dead_after: Duration,
    /// ZMTP 3.0 peers do not know PING, and some drop the connection over it.
    may_ping: bool,
    heard: Instant,
    next_ping: Instant,
    /// The peer asked to be taken for dead after this long without a frame; the next bytes end that.
    peer_ttl: Option<Duration>,
}

impl Heartbeat {
    pub(super) fn new(limits: &Limits, may_ping: bool, now: Instant) -> Heartbeat {
        let (ping_after, dead_after) = (limits.ping_after, limits.dead_after);
        Heartbeat {
            ping_after,
            dead_after,
            may_ping,
            heard: now,
            next_ping: now + ping_after,
            peer_ttl: None,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.next_ping = now + self.ping_after;
        self.peer_ttl = None;
    }

    /// Notes the time to live of a PING that came with the bytes heard last.
    pub(super) fn ping_received(&mut self, ttl: Duration) {
        self.peer_ttl = (!ttl.is_zero()).then_some(ttl);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let ping = self.may_ping.then(|| self.next_ping.min(self.heard + self.dead_after));
        let ttl = self.peer_ttl.map(|ttl| self.heard + ttl);
        ping.into_iter().chain(ttl).min()
    }

    pub(super) fn on_deadline(&mut self, now: Instant) -> Result<Option<Control>, FramingError> {
        let silence = now.saturating_duration_since(self.heard);
        let dead =
            self.peer_ttl.is_some_and(|ttl| silence >= ttl) || self.may_ping && silence >= self.dead_after;
        if dead {
            return Err(FramingError::Silent { silence });
        }
        if !self.may_ping || now < self.next_ping {
            return Ok(None);
        }
        self.next_ping = now + self.ping_after;
        // No TTL: the peer would then have to hear from us in time although nothing makes us send.
        Ok(Some(Control::Ping { ttl: Duration::ZERO, context: Bytes::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn heartbeat(may_ping: bool) -> (Heartbeat, Instant) {
        let now = Instant::now();
        let limits = Limits::default().with_ping_after(30 * SECOND).with_dead_after(90 * SECOND);
        (Heartbeat::new(&limits, may_ping, now), now)
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up() {
        let (mut heartbeat, start) = heartbeat(true);
        assert_eq!(heartbeat.deadline(), Some(start + 30 * SECOND));
        assert_eq!(heartbeat.on_deadline(start + 29 * SECOND), Ok(None));
        assert!(matches!(heartbeat.on_deadline(start + 30 * SECOND), Ok(Some(Control::Ping { .. }))));
        assert_eq!(heartbeat.deadline(), Some(start + 60 * SECOND));
        assert!(matches!(heartbeat.on_deadline(start + 60 * SECOND), Ok(Some(Control::Ping { .. }))));
        assert_eq!(heartbeat.deadline(), Some(start + 90 * SECOND));
        assert_eq!(
            heartbeat.on_deadline(start + 90 * SECOND),
            Err(FramingError::Silent { silence: 90 * SECOND })
        );
    }

    #[test]
    fn a_sign_of_life_starts_the_clock_again() {
        let (mut heartbeat, start) = heartbeat(true);
        assert!(heartbeat.on_deadline(start + 30 * SECOND).unwrap().is_some());
        heartbeat.heard(start + 31 * SECOND);
        assert_eq!(heartbeat.deadline(), Some(start + 61 * SECOND));
        assert_eq!(heartbeat.on_deadline(start + 60 * SECOND), Ok(None));
    }

    #[test]
    fn a_peer_of_minor_version_0_is_never_asked() {
        let (mut heartbeat, start) = heartbeat(false);
        assert_eq!(heartbeat.deadline(), None);
        assert_eq!(heartbeat.on_deadline(start + 1000 * SECOND), Ok(None));
    }

    #[test]
    fn a_ttl_holds_until_the_next_bytes() {
        let (mut heartbeat, start) = heartbeat(false);
        heartbeat.ping_received(2 * SECOND);
        assert_eq!(heartbeat.deadline(), Some(start + 2 * SECOND));
        assert!(heartbeat.on_deadline(start + 2 * SECOND).is_err());
        heartbeat.heard(start + SECOND);
        assert_eq!(heartbeat.deadline(), None);
    }
}
