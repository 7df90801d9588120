//! Numbers that are the same in every run.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Numbers that look like chance and are the same for the same seed: for tests, never for secrets.
///
/// # Examples
///
/// ```
/// use transport_core::test_util::Random;
/// let draw = |seed| Random::new(seed).number(1..=6);
/// assert_eq!(draw(17), draw(17));
/// ```
#[derive(Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(fastrand::Rng::with_seed(seed))
    }

    /// A number of the range.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    /// A length of the range.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn length(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.usize(range)
    }

    /// A time of the range, in whole milliseconds.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn time(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.0.u64(millis(range.start())..=millis(range.end())))
    }

    /// True in so many of a hundred draws.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.0.u8(0..100) < percent
    }

    /// Numbers of their own for a part of the test, which are the same however much the other parts draw.
    #[must_use]
    pub fn fork(&mut self) -> Random {
        Random(self.0.fork())
    }
}
