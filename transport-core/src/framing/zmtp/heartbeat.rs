//! When to ask a silent peer for a sign of life, and when to give it up (RFC 37/ZMTP, section "Connection Heartbeating").

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::framing::{Control, FramingError};
use crate::limits::Limits;

/// The clockwork of heartbeats: it is told when bytes arrive and when time has passed.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// `None` when this side never asks: it is switched off, or the peer speaks ZMTP 3.0, which knows no PING.
    ping_after: Option<Duration>,
    /// From the first ping without an answer.
    patience: Duration,
    heard: Instant,
    /// Present when the peer has sent a PING.
    peer_pings: Option<Box<Rhythm>>,
    /// Absent most of the time: of what every idle connection has, little should be for what it rarely needs.
    waiting: Option<Box<Waiting>>,
}

/// What a peer has to answer, and what it asked for.
#[derive(Debug, Default)]
struct Waiting {
    /// The first ping since the peer was heard, and the last one.
    pings: Option<(Instant, Instant)>,
    /// The peer asked to be taken for dead after this long without a frame; the next bytes end that.
    peer_ttl: Option<Duration>,
}

/// How often the peer asks.
#[derive(Debug)]
struct Rhythm {
    last: Instant,
    /// Between the last two that did not come at once.
    interval: Option<Duration>,
}

/// Signs of life are not sent more often than this, whatever the peer does.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

impl Heartbeat {
    pub(super) fn new(limits: &Limits, may_ping: bool, now: Instant) -> Heartbeat {
        let Limits { ping_after, dead_after, .. } = *limits;
        let comes = may_ping && now.checked_add(ping_after).is_some();
        // A peer can only be dead that had time to answer.
        let ping_after = if ping_after < dead_after { ping_after } else { dead_after / 2 };
        let patience = dead_after - ping_after;
        let ping_after = Some(ping_after).filter(|time| comes && !time.is_zero());
        Heartbeat { ping_after, patience, heard: now, peer_pings: None, waiting: None }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.waiting = None;
    }

    /// Notes the time to live of a PING that came with the bytes heard last.
    pub(super) fn ping_received(&mut self, ttl: Duration) {
        let last = self.heard;
        let rhythm = self.peer_pings.get_or_insert_with(|| Box::new(Rhythm { last, interval: None }));
        let since = last.saturating_duration_since(rhythm.last);
        if !since.is_zero() {
            **rhythm = Rhythm { last, interval: Some(since) };
        }
        if !ttl.is_zero() {
            self.waiting.get_or_insert_default().peer_ttl = Some(ttl);
        }
    }

    /// The next moment at which something is due; a time that is too far away to be a moment never comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ttl = self.peer_ttl().and_then(|ttl| self.heard.checked_add(ttl));
        [self.next_ping(), self.dead_at(), ttl].into_iter().flatten().min()
    }

    pub(super) fn on_deadline(&mut self, now: Instant) -> Result<Option<Control>, FramingError> {
        let silence = now.saturating_duration_since(self.heard);
        let past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if past(self.dead_at()) || self.peer_ttl().is_some_and(|ttl| silence >= ttl) {
            return Err(FramingError::Silent { silence });
        }
        if !past(self.next_ping()) {
            return Ok(None);
        }
        let first = self.pings().map_or(now, |(first, _)| first);
        self.waiting.get_or_insert_default().pings = Some((first, now));
        Ok(Some(ping()))
    }

    /// How often to let the peer hear of this side while nothing of it is read: a peer that asks every so often is likely to
    /// give up after a little more than that.
    pub(super) fn sign_of_life(&self) -> Option<(Duration, Control)> {
        let interval = self.peer_pings.as_ref().and_then(|rhythm| rhythm.interval);
        let wanted = interval.map(|interval| (interval / 2).max(SHORTEST_INTERVAL));
        let every = wanted.into_iter().chain(self.ping_after).min()?;
        Some((every, ping()))
    }

    fn pings(&self) -> Option<(Instant, Instant)> {
        self.waiting.as_ref()?.pings
    }

    fn peer_ttl(&self) -> Option<Duration> {
        self.waiting.as_ref()?.peer_ttl
    }

    fn next_ping(&self) -> Option<Instant> {
        let since = self.pings().map_or(self.heard, |(_, last)| last);
        since.checked_add(self.ping_after?)
    }

    /// Only a peer that was asked can be dead: this side may not have looked for long.
    fn dead_at(&self) -> Option<Instant> {
        self.pings().and_then(|(first, _)| first.checked_add(self.patience))
    }
}

/// Without a TTL: the peer would then have to hear from us in time although nothing makes us send.
fn ping() -> Control {
    Control::Ping { ttl: Duration::ZERO, context: Bytes::new() }
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
    fn a_peer_that_was_never_asked_is_not_dead() {
        let (mut heartbeat, start) = heartbeat(true);
        assert!(matches!(heartbeat.on_deadline(start + 500 * SECOND), Ok(Some(Control::Ping { .. }))));
        assert_eq!(heartbeat.on_deadline(start + 501 * SECOND), Ok(None));
        assert!(heartbeat.on_deadline(start + 560 * SECOND).is_err());
    }

    #[test]
    fn heartbeats_can_be_switched_off() {
        let now = Instant::now();
        for limits in [
            Limits::default().with_ping_after(Duration::ZERO),
            Limits::default().with_dead_after(Duration::ZERO),
            Limits::default().with_ping_after(Duration::MAX),
            Limits::default().with_ping_after(Duration::MAX).with_dead_after(Duration::MAX),
        ] {
            assert_eq!(Heartbeat::new(&limits, true, now).deadline(), None);
        }
        let patient = Limits::default().with_dead_after(Duration::MAX);
        let mut heartbeat = Heartbeat::new(&patient, true, now);
        assert!(heartbeat.on_deadline(now + 30 * SECOND).unwrap().is_some());
        assert_eq!(heartbeat.deadline(), Some(now + 60 * SECOND));
    }

    #[test]
    fn who_is_to_be_dead_before_it_would_be_asked_is_asked_after_half_the_time() {
        let now = Instant::now();
        for ping_after in [30 * SECOND, 20 * SECOND, 3600 * SECOND] {
            let limits = Limits::default().with_ping_after(ping_after).with_dead_after(20 * SECOND);
            let mut heartbeat = Heartbeat::new(&limits, true, now);
            assert!(heartbeat.on_deadline(now + 10 * SECOND).unwrap().is_some());
            assert_eq!(heartbeat.deadline(), Some(now + 20 * SECOND));
            assert!(heartbeat.on_deadline(now + 20 * SECOND).is_err());
        }
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

    #[test]
    fn a_peer_hears_of_this_side_twice_as_often_as_it_asks() {
        let (mut heartbeat, start) = heartbeat(true);
        let every = |heartbeat: &Heartbeat| heartbeat.sign_of_life().map(|(every, _)| every);
        assert_eq!(every(&heartbeat), Some(30 * SECOND));
        for second in [1, 3, 5] {
            heartbeat.heard(start + second * SECOND);
            // What comes at once is one.
            heartbeat.ping_received(Duration::ZERO);
            heartbeat.ping_received(Duration::ZERO);
        }
        assert_eq!(every(&heartbeat), Some(SECOND));
        heartbeat.heard(start + 5001 * SECOND / 1000);
        heartbeat.ping_received(Duration::ZERO);
        assert_eq!(every(&heartbeat), Some(SHORTEST_INTERVAL));
        heartbeat.heard(start + 1000 * SECOND);
        heartbeat.ping_received(Duration::ZERO);
        assert_eq!(every(&heartbeat), Some(30 * SECOND));
    }

    #[test]
    fn who_knows_no_ping_gets_none_as_a_sign_of_life() {
        let (heartbeat, _) = heartbeat(false);
        assert_eq!(heartbeat.sign_of_life(), None);
    }
}
