//! How far one direction of a stream has come in its script: the logic, without I/O.

use std::time::{Duration, Instant};

use super::super::random::Random;
use super::plan::{Direction, Ending};

/// One direction of one stream.
pub(super) struct Way {
    direction: Direction,
    random: Random,
    /// Bytes that have passed.
    passed: u64,
    /// When the stall that has begun ends; `Some(None)` for never.
    stalled: Option<Option<Instant>>,
}

/// What may happen next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes may pass, at least one.
    Pass(usize),
    /// Nothing passes before this moment; `None` for never.
    Wait(Option<Instant>),
    /// No byte passes any more.
    Over(Ending),
}

impl Way {
    pub(super) fn new(direction: Direction, random: Random) -> Way {
        Way { direction, random, passed: 0, stalled: None }
    }

    /// What may happen now to `wanted` bytes, at least one.
    pub(super) fn next(&mut self, wanted: usize, now: Instant) -> Step {
        if let Some(ending) = self.over() {
            return Step::Over(ending);
        }
        if let Some((after, time)) = self.direction.stall.filter(|(after, _)| self.passed >= *after) {
            let until = *self.stalled.get_or_insert_with(|| now.checked_add(time));
            if until.is_none_or(|until| now < until) {
                return Step::Wait(until);
            }
            debug_assert!(self.passed >= after);
            self.direction.stall = None;
        }
        let mut length = wanted;
        if let Some(most) = self.direction.pieces {
            length = length.min(self.random.length(1..=most));
        }
        length = length.min(self.most_at_once());
        let borders =
            [self.direction.stall.map(|(after, _)| after), self.direction.ending.map(|(after, _)| after)];
        for border in borders.into_iter().flatten() {
            length = length.min(usize::try_from(border - self.passed).unwrap_or(usize::MAX));
        }
        Step::Pass(length)
    }

    /// How this direction has ended, if it has.
    pub(super) fn over(&self) -> Option<Ending> {
        self.direction.ending.filter(|(after, _)| self.passed >= *after).map(|(_, ending)| ending)
    }

    /// Whether nothing passes now.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let (Some((after, _)), passed) = (self.direction.stall, self.passed) else {
            return false;
        };
        passed >= after && self.stalled.is_none_or(|until| until.is_none_or(|until| now < until))
    }

    /// Whether one of the next `length` bytes is corrupted.
    pub(super) fn corrupts(&self, length: usize) -> bool {
        let end = self.passed.saturating_add(length as u64);
        self.direction.corrupt.iter().any(|(offset, _)| (self.passed..end).contains(offset))
    }

    /// Corrupts what the script says of the next bytes.
    pub(super) fn corrupt(&self, bytes: &mut [u8]) {
        for (offset, bits) in &self.direction.corrupt {
            let index = offset.checked_sub(self.passed).and_then(|index| usize::try_from(index).ok());
            if let Some(byte) = index.and_then(|index| bytes.get_mut(index)) {
                *byte ^= bits;
            }
        }
    }

    /// So many bytes have passed.
    pub(super) fn advance(&mut self, length: usize) {
        self.passed += length as u64;
    }

    /// Whether bytes are held back.
    pub(super) fn is_slow(&self) -> bool {
        !self.direction.delay.is_zero() || self.direction.bytes_per_second.is_some()
    }

    /// How long bytes are held back.
    pub(super) fn delay(&self) -> Duration {
        self.direction.delay
    }

    /// On a slow way large pieces would look like a stall: a tenth of a second's worth passes at once.
    pub(super) fn most_at_once(&self) -> usize {
        let most = |pace: u64| usize::try_from(pace / 10).unwrap_or(usize::MAX).max(1);
        self.direction.bytes_per_second.map_or(usize::MAX, most)
    }

    /// How long so many bytes take at the script's pace.
    pub(super) fn time_for(&self, length: usize) -> Duration {
        let nanos =
            |pace: u64| (length as u128 * 1_000_000_000 / u128::from(pace)).try_into().unwrap_or(u64::MAX);
        self.direction.bytes_per_second.map_or(Duration::ZERO, |pace| Duration::from_nanos(nanos(pace)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(direction: Direction) -> Way {
        Way::new(direction, Random::new(1))
    }

    #[test]
    fn bytes_pass_up_to_the_border_of_the_next_fault() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut way = way(Direction::new().stall_after(10, second).reset_after(15));
        assert_eq!(way.next(100, now), Step::Pass(10));
        way.advance(4);
        assert_eq!(way.next(100, now), Step::Pass(6));
        way.advance(6);
        assert!(way.is_stalled(now));
        assert_eq!(way.next(100, now), Step::Wait(Some(now + second)));
        assert!(!way.is_stalled(now + second));
        assert_eq!(way.next(100, now + second), Step::Pass(5));
        way.advance(5);
        assert_eq!(way.next(100, now), Step::Over(Ending::Reset));
    }

    #[test]
    fn a_stall_for_ever_never_ends() {
        let now = Instant::now();
        let mut way = way(Direction::new().stall_after(0, Duration::MAX));
        assert_eq!(way.next(1, now), Step::Wait(None));
        assert!(way.is_stalled(now + Duration::from_secs(1 << 30)));
    }

    #[test]
    fn pieces_have_at_least_one_byte_and_at_most_as_many_as_asked_for() {
        let mut way = way(Direction::new().in_pieces(3));
        for _ in 0..100 {
            assert!(matches!(way.next(100, Instant::now()), Step::Pass(1..=3)));
            assert_eq!(way.next(1, Instant::now()), Step::Pass(1));
        }
    }

    #[test]
    fn bits_are_turned_over_at_their_offset_only() {
        let mut way = way(Direction::new().corrupt(5, 0x81));
        way.advance(4);
        assert!(way.corrupts(2) && !way.corrupts(1));
        let mut bytes = [0; 3];
        way.corrupt(&mut bytes);
        assert_eq!(bytes, [0, 0x81, 0]);
        way.advance(2);
        assert!(!way.corrupts(100));
    }
}
