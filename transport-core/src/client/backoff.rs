//! How long to wait before the next attempt: the logic, without a clock.

use std::time::Duration;

/// The settings of a [`Backoff`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::{Backoff, BackoffConfig};
/// let config = BackoffConfig::default().with_first(Duration::from_secs(1)).with_longest(Duration::from_secs(4));
/// let mut backoff = Backoff::new(config);
/// for ceiling in [1, 2, 4, 4, 4] {
///     assert!(backoff.next_wait() <= Duration::from_secs(ceiling));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The longest that the first wait can be; each further one can be twice as long. Default 200 ms.
    pub first: Duration,
    /// The longest that any wait can be. Default 30 s.
    pub longest: Duration,
    /// A connection that lasted this long was a good one: the waits start small again. Default 10 s.
    pub stable_after: Duration,
    /// Makes the waits the same in every run: for simulations only, since programs with the same seed come back at the
    /// same time. Default: none.
    pub seed: Option<u64>,
}

impl Default for BackoffConfig {
    fn default() -> BackoffConfig {
        BackoffConfig {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            seed: None,
        }
    }
}

impl BackoffConfig {
    /// Sets [`first`](BackoffConfig::first).
    #[must_use]
    pub fn with_first(mut self, time: Duration) -> BackoffConfig {
        self.first = time;
        self
    }

    /// Sets [`longest`](BackoffConfig::longest).
    #[must_use]
    pub fn with_longest(mut self, time: Duration) -> BackoffConfig {
        self.longest = time;
        self
    }

    /// Sets [`stable_after`](BackoffConfig::stable_after).
    #[must_use]
    pub fn with_stable_after(mut self, time: Duration) -> BackoffConfig {
        self.stable_after = time;
        self
    }

    /// Sets [`seed`](BackoffConfig::seed).
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> BackoffConfig {
        self.seed = Some(seed);
        self
    }
}

/// How long to wait before the next attempt: capped exponential back-off with full jitter.
///
/// A wait is anything from nothing to a ceiling, which doubles with each failure up to the longest. When a server comes
/// back, its thousands of clients come back spread over that time, and not all at once.
///
/// It has no clock and does not sleep: it says how long, and is told how long a connection lasted.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// A back-off without failures yet.
    pub fn new(config: BackoffConfig) -> Backoff {
        let random = config.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Backoff { config, failures: 0, random }
    }

    /// Counts a failure, and says how long to wait because of it.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        let nanoseconds = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.u64(0..=nanoseconds))
    }

    /// The longest that the next wait can be.
    pub fn ceiling(&self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.config.first.saturating_mul(factor).min(self.config.longest)
    }

    /// Tells how long a connection lasted; true if that was long enough to forget the failures before it.
    ///
    /// A server that lets peers in and throws them out at once is not better than one that is away.
    pub fn lasted(&mut self, time: Duration) -> bool {
        let stable = time >= self.config.stable_after;
        if stable {
            self.failures = 0;
        }
        stable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> BackoffConfig {
        BackoffConfig::default().with_first(SECOND).with_longest(30 * SECOND)
    }

    #[test]
    fn ceilings_double_up_to_the_longest() {
        let mut backoff = Backoff::new(config());
        let ceilings: Vec<u64> = (0..8)
            .map(|_| {
                let ceiling = backoff.ceiling();
                backoff.next_wait();
                ceiling.as_secs()
            })
            .collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn waits_spread_over_all_of_the_time_below_the_ceiling() {
        let waits: Vec<Duration> =
            (0..1000).map(|seed| Backoff::new(config().with_seed(seed)).next_wait()).collect();
        let in_tenth = |tenth: u32| {
            let tenths = waits.iter().filter(|wait| **wait >= SECOND * tenth / 10);
            tenths.filter(|wait| **wait < SECOND * (tenth + 1) / 10).count()
        };
        let counts: Vec<usize> = (0..10).map(in_tenth).collect();
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_seed_gives_the_same_waits_again() {
        let waits = |seed| {
            let mut backoff = Backoff::new(config().with_seed(seed));
            (0..10).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn two_clients_without_a_seed_do_not_wait_alike() {
        let waits = || {
            let mut backoff = Backoff::new(config());
            (0..10).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_ne!(waits(), waits());
    }

    #[test]
    fn only_a_connection_that_lasted_makes_the_waits_small_again() {
        let mut backoff = Backoff::new(config().with_stable_after(10 * SECOND));
        for _ in 0..5 {
            backoff.next_wait();
        }
        assert!(!backoff.lasted(9 * SECOND));
        assert_eq!(backoff.ceiling(), 30 * SECOND);
        assert!(backoff.lasted(10 * SECOND));
        assert_eq!(backoff.ceiling(), SECOND);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_ceiling(
            seed in any::<u64>(), first in any::<u64>(), longest in any::<u64>(), failures in 0usize..80,
        ) {
            let first = Duration::from_millis(first);
            let longest = Duration::from_millis(longest);
            let config = BackoffConfig::default().with_first(first).with_longest(longest).with_seed(seed);
            let mut backoff = Backoff::new(config);
            for _ in 0..failures {
                let ceiling = backoff.ceiling();
                prop_assert!(ceiling <= longest);
                prop_assert!(backoff.next_wait() <= ceiling);
            }
        }
    }
}
