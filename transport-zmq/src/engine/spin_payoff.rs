//! Adaptive spinning: whether looking again pays, as the waits so far show.

use std::time::Duration;

/// Learns whether waits are shorter when the task looks again than when it sleeps at once.
///
/// ```text
/// Sleeping --after `gap` waits--> Trying --shorter by a quarter--> Spinning
///    ^                               |                                 |
///    '-----------no shorter----------'<-------no longer shorter--------'
/// ```
///
/// That nothing else runs on the core, that the peer has another one, that it answers soon: none of it is asked for, all of it
/// shows in the waits. A wait that is long by itself says nothing, and whoever had one sleeps at the next.
pub(super) struct SpinPayoff {
    /// How long a wait is spun through at most.
    limit: Duration,
    phase: Phase,
    /// Waits until the phase tries something else.
    left: u32,
    /// How many waits go by until the next trial: more after each one in vain.
    gap: u32,
    asleep: Mean,
    spun: Mean,
    /// Whether the wait under way is spun through.
    spins: bool,
    /// Whether the wait before was too long to say anything.
    idle: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// All waits sleep.
    Sleeping,
    /// Some waits spin; so many of them have reached the limit.
    Trying { in_vain: u32 },
    /// All waits spin, but for one now and then that tells what sleeping would be.
    Spinning,
}

const FIRST_GAP: u32 = 16;
const LONGEST_GAP: u32 = 1 << 14;
/// Waits of a trial. Several in a row, since both sides may have to spin before either gains.
const TRIAL: u32 = 8;
/// A trial ends early with so many waits that reached the limit.
const MOST_IN_VAIN: u32 = 2;
/// One of so many waits sleeps while the others spin.
const CHECK: u32 = 256;
/// Waits of so many limits say nothing.
const LONG: u32 = 4;

impl SpinPayoff {
    pub(super) fn new(limit: Duration) -> SpinPayoff {
        SpinPayoff {
            limit,
            phase: Phase::Sleeping,
            left: FIRST_GAP,
            gap: FIRST_GAP,
            asleep: Mean::default(),
            spun: Mean::default(),
            spins: false,
            idle: true,
        }
    }

    /// A wait begins: whether to spin before it sleeps.
    pub(super) fn spins_next(&mut self) -> bool {
        self.spins = !self.idle
            && match self.phase {
                Phase::Sleeping => false,
                Phase::Trying { .. } => true,
                Phase::Spinning => self.left > 0,
            };
        self.spins
    }

    /// The wait is over, after so long.
    pub(super) fn waited(&mut self, time: Duration) {
        self.idle = time >= self.limit * LONG;
        if self.idle {
            return;
        }
        let mean = if self.spins { &mut self.spun } else { &mut self.asleep };
        // One wait must not outweigh many.
        mean.add(time.min(self.limit * 2));
        self.phase = self.next_phase(time >= self.limit);
    }

    fn next_phase(&mut self, in_vain: bool) -> Phase {
        let was_due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        match self.phase {
            Phase::Sleeping if self.left > 0 => Phase::Sleeping,
            Phase::Sleeping => {
                self.left = TRIAL;
                self.spun = Mean::default();
                Phase::Trying { in_vain: 0 }
            }
            Phase::Trying { in_vain: before } => {
                let in_vain = before + u32::from(in_vain && self.spins);
                if in_vain < MOST_IN_VAIN && self.left > 0 {
                    return Phase::Trying { in_vain };
                }
                if in_vain < MOST_IN_VAIN && self.spun.nanoseconds < self.asleep.nanoseconds / 4 * 3 {
                    self.left = CHECK;
                    return Phase::Spinning;
                }
                self.sleep()
            }
            Phase::Spinning if self.spun.is_below(self.limit) && self.spun < self.asleep => {
                if was_due {
                    self.left = CHECK;
                    self.gap = (self.gap / 4).max(FIRST_GAP);
                }
                Phase::Spinning
            }
            Phase::Spinning => self.sleep(),
        }
    }

    fn sleep(&mut self) -> Phase {
        self.left = self.gap;
        self.gap = (self.gap * 4).min(LONGEST_GAP);
        Phase::Sleeping
    }
}

/// A mean that forgets: the last eight or so count.
#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
struct Mean {
    nanoseconds: u64,
}

impl Mean {
    fn add(&mut self, time: Duration) {
        let new = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds = match self.nanoseconds {
            0 => new,
            before => before - before / 8 + new / 8,
        };
    }

    fn is_below(self, time: Duration) -> bool {
        Duration::from_nanos(self.nanoseconds) < time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);

    /// Waits so often; a wait lasts as long as `time` says, given whether it is spun through. Answers how many were.
    fn waits(payoff: &mut SpinPayoff, count: u32, time: impl Fn(bool) -> u64) -> u32 {
        (0..count)
            .map(|_| {
                let spins = payoff.spins_next();
                payoff.waited(Duration::from_micros(time(spins)));
                u32::from(spins)
            })
            .sum()
    }

    #[test]
    fn it_spins_where_that_makes_waits_shorter() {
        let mut payoff = SpinPayoff::new(LIMIT);
        let spun = waits(&mut payoff, 10_000, |spins| if spins { 5 } else { 60 });
        assert!((9_900..9_990).contains(&spun), "all but the first, and one now and then: {spun}");
    }

    #[test]
    fn it_hardly_ever_spins_where_that_makes_no_difference_or_waits_longer() {
        for [spun, asleep] in [[5, 5], [70, 70], [56, 4], [20, 6], [4, 5]] {
            let mut payoff = SpinPayoff::new(LIMIT);
            waits(&mut payoff, 30_000, |spins| if spins { spun } else { asleep });
            let count = waits(&mut payoff, 100_000, |spins| if spins { spun } else { asleep });
            assert!(count <= 7 * TRIAL, "{spun} rather than {asleep}: {count} waits of 100,000");
        }
    }

    #[test]
    fn waits_that_are_long_by_themselves_are_never_spun_through() {
        let mut payoff = SpinPayoff::new(LIMIT);
        assert_eq!(waits(&mut payoff, 10_000, |_| 1_000), 0);
        // Even when it has learned that spinning pays: after one such wait it sleeps.
        waits(&mut payoff, 1_000, |spins| if spins { 5 } else { 60 });
        assert_eq!(waits(&mut payoff, 1, |_| 1_000), 1);
        assert_eq!(waits(&mut payoff, 10_000, |_| 1_000), 0);
    }

    #[test]
    fn it_goes_on_spinning_after_a_pause() {
        let mut payoff = SpinPayoff::new(LIMIT);
        let time = |spins| if spins { 5 } else { 60 };
        waits(&mut payoff, 1_000, time);
        waits(&mut payoff, 1, |_| 1_000_000);
        let spun = waits(&mut payoff, 100, time);
        assert!(
            (98..=99).contains(&spun),
            "all but the first, and perhaps one that tells what sleeping would be: {spun}"
        );
    }

    #[test]
    fn it_stops_when_spinning_no_longer_pays_and_starts_when_it_does_again() {
        let mut payoff = SpinPayoff::new(LIMIT);
        let pays = |spins| if spins { 5 } else { 60 };
        waits(&mut payoff, 10_000, pays);
        // As when both ends come to share a core.
        let spun = waits(&mut payoff, 10_000, |spins| if spins { 56 } else { 5 });
        assert!(spun < 100, "{spun}");
        assert!(waits(&mut payoff, 40_000, pays) > 20_000);
    }

    #[test]
    fn one_slow_answer_does_not_stop_it() {
        let mut payoff = SpinPayoff::new(LIMIT);
        let pays = |spins| if spins { 5 } else { 60 };
        waits(&mut payoff, 1_000, pays);
        waits(&mut payoff, 1, |_| 190);
        assert!(waits(&mut payoff, 100, pays) >= 99);
    }
}
