//! What a subject is asked to do, and what it answers.

use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of everything here that can fail: set-up errors of peers come in many types.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wire {
    /// TCP over 127.0.0.1, with `TCP_NODELAY`.
    Tcp,
    /// A Unix stream socket in a temporary folder.
    Unix,
}

/// One run of one subject: `count` messages of `size` bytes over `wire`, or whatever else the case counts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
    /// What each of `count` things takes, apart from time; also of each part of them, to see whether it stays the same.
    Each { count: u64, amount: f64, parts: Vec<f64> },
}

impl Outcome {
    /// How many messages or round trips the run completed.
    pub(crate) fn completed(&self) -> u64 {
        match self {
            Outcome::Flow { received, .. } => *received,
            Outcome::Trips(trips) => trips.len() as u64,
            Outcome::Each { count, .. } => *count,
        }
    }

    /// How long the measured part of the run took, if time is what was measured.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        match self {
            Outcome::Flow { elapsed, .. } => Some(*elapsed),
            Outcome::Trips(trips) => Some(trips.iter().sum()),
            Outcome::Each { .. } => None,
        }
    }
}

/// A subject's way of doing one kind of work.
///
/// It builds its two sides from nothing, on two pinned threads (see `pair`) or in two processes (see `process`), does the job once, takes
/// everything down again, and answers only if every message arrived with its length.
pub(crate) type Work = fn(&Job) -> Result<Outcome>;

/// Connections that are opened at a time where opening them is measured: enough that a server never waits for a client.
pub(crate) const IN_FLIGHT: usize = 16;

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
