//! What will go wrong with a stream: the script.

use std::time::Duration;

use super::super::random::Random;

/// What will go wrong with one stream.
///
/// The default is nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::test_util::{Direction, FaultPlan};
///
/// // A slow way in, and a peer that is gone after 1,000 bytes out.
/// let plan = FaultPlan::new()
///     .incoming(Direction::new().delayed(Duration::from_millis(80)).in_pieces(512))
///     .outgoing(Direction::new().reset_after(1000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    pub(super) incoming: Direction,
    pub(super) outgoing: Direction,
    pub(super) reset_at: Option<Duration>,
}

/// What will go wrong with what one end reads, or with what it writes.
///
/// Offsets count the bytes of this direction since the stream was opened, those of handshakes too.
#[derive(Clone, Debug, Default)]
pub struct Direction {
    pub(super) pieces: Option<usize>,
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) corrupt: Vec<(u64, u8)>,
    pub(super) stall: Option<(u64, Duration)>,
    pub(super) ending: Option<(u64, Ending)>,
}

/// How a stream ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an error.
    Reset,
    /// As if the other side had closed.
    End,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn new() -> FaultPlan {
        FaultPlan::default()
    }

    /// What goes wrong with what this end reads.
    #[must_use]
    pub fn incoming(mut self, direction: Direction) -> FaultPlan {
        self.incoming = direction;
        self
    }

    /// What goes wrong with what this end writes.
    #[must_use]
    pub fn outgoing(mut self, direction: Direction) -> FaultPlan {
        self.outgoing = direction;
        self
    }

    /// The stream is reset so long after it was opened; what was on its way to this end is lost.
    #[must_use]
    pub fn reset_at(mut self, time: Duration) -> FaultPlan {
        self.reset_at = Some(time);
        self
    }

    /// A plan that is drawn: each kind of fault with some chance, within the first `bytes` of each direction and the
    /// first `time` of the stream's life.
    ///
    /// Nothing is corrupted, since no protocol without a MAC would notice: see [`Direction::corrupt`].
    pub fn draw(random: &mut Random, bytes: u64, time: Duration) -> FaultPlan {
        let (mut incoming, outgoing) =
            (Direction::draw(random, bytes, time), Direction::draw(random, bytes, time));
        // On what is written, a delay of each of many pieces would add up to a standstill.
        if random.chance(30) {
            incoming = incoming.delayed(random.time(Duration::from_millis(1)..=Duration::from_millis(300)));
        }
        let mut plan = FaultPlan::new().incoming(incoming).outgoing(outgoing);
        if random.chance(25) {
            plan = plan.reset_at(random.time(Duration::ZERO..=time));
        }
        plan
    }
}

impl Direction {
    /// Nothing goes wrong.
    pub fn new() -> Direction {
        Direction::default()
    }

    /// At most so many bytes at once, drawn anew each time.
    #[must_use]
    pub fn in_pieces(mut self, most: usize) -> Direction {
        self.pieces = Some(most.max(1));
        self
    }

    /// What is read shows so long after it has come; what is written is taken so much later.
    #[must_use]
    pub fn delayed(mut self, time: Duration) -> Direction {
        self.delay = time;
        self
    }

    /// No faster than this.
    #[must_use]
    pub fn slowed_to(mut self, bytes_per_second: u64) -> Direction {
        self.bytes_per_second = Some(bytes_per_second.max(1));
        self
    }

    /// The byte at `offset` has these bits turned over.
    #[must_use]
    pub fn corrupt(mut self, offset: u64, bits: u8) -> Direction {
        self.corrupt.push((offset, bits));
        self
    }

    /// After so many bytes nothing moves for `time`; [`Duration::MAX`] is for ever.
    #[must_use]
    pub fn stall_after(mut self, bytes: u64, time: Duration) -> Direction {
        self.stall = Some((bytes, time));
        self
    }

    /// After so many bytes the stream is reset, both ways.
    #[must_use]
    pub fn reset_after(mut self, bytes: u64) -> Direction {
        self.ending = Some((bytes, Ending::Reset));
        self
    }

    /// After so many bytes this direction ends, as if the side that writes had closed it.
    #[must_use]
    pub fn end_after(mut self, bytes: u64) -> Direction {
        self.ending = Some((bytes, Ending::End));
        self
    }

    fn draw(random: &mut Random, bytes: u64, time: Duration) -> Direction {
        let mut direction = Direction::new();
        if random.chance(40) {
            direction = direction.in_pieces(random.length(1..=200));
        }
        if random.chance(15) {
            direction = direction.slowed_to(random.number(5_000..=1_000_000));
        }
        if random.chance(15) {
            direction = direction.stall_after(random.number(0..=bytes), random.time(Duration::ZERO..=time));
        }
        match random.number(0..=9) {
            0 | 1 => direction.reset_after(random.number(0..=bytes)),
            2 => direction.end_after(random.number(0..=bytes)),
            _ => direction,
        }
    }
}
