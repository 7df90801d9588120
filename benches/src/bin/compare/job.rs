//! What a subject is asked to do, and what it answers.

use std::error::Error;
use std::time::Duration;

/// The result of everything here that can fail: set-up errors of peers come in many types.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// TCP over 127.0.0.1, with `TCP_NODELAY`.
    Tcp,
    /// A Unix stream socket in a temporary folder.
    Unix,
}

impl Wire {
    /// The name of the wire within the name of a case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Tcp => "tcp",
            Wire::Unix => "unix",
        }
    }
}

/// One run of one subject: `count` messages of `size` bytes over `wire`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) wire: Wire,
    pub(crate) size: usize,
    pub(crate) count: u64,
}

/// What one run came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Work that is counted over a time: `received` is what arrived whole, as the receiver counted it.
    Flow { elapsed: Duration, received: u64 },
    /// Work that is timed one by one: an entry per round trip.
    Trips(Vec<Duration>),
}

impl Outcome {
    /// How many messages or round trips the run completed.
    pub(crate) fn completed(&self) -> u64 {
        match self {
            Outcome::Flow { received, .. } => *received,
            Outcome::Trips(trips) => trips.len() as u64,
        }
    }

    /// How long the measured part of the run took.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Outcome::Flow { elapsed, .. } => *elapsed,
            Outcome::Trips(trips) => trips.iter().sum(),
        }
    }
}

/// A subject's way of doing one kind of work.
///
/// It builds its two sides from nothing on two pinned threads (see `pair`), does the job once, takes
/// everything down again, and answers only if every message arrived with its length.
pub(crate) type Work = fn(&Job) -> Result<Outcome>;

/// The payload of every message of `size` bytes.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    vec![0x5a; size]
}

/// Refuses a message that did not arrive with the length it was sent with.
pub(crate) fn check_length(arrived: usize, job: &Job) -> Result<()> {
    if arrived == job.size {
        Ok(())
    } else {
        Err(format!("a message of {} bytes arrived with {arrived}", job.size).into())
    }
}
