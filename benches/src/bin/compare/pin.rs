//! Pinning threads to cores, so that the scheduler's choices are not part of the measurement.

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::job::Result;

/// The core of the sending side, and of whatever threads it starts.
pub(crate) const SENDER: usize = 0;
/// The core of the receiving side, and of whatever threads it starts.
pub(crate) const RECEIVER: usize = 1;

/// Pins the calling thread to one core. Threads it starts later inherit that.
pub(crate) fn this_thread_to(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| {
        format!("cannot pin a thread to core {core}: {error} (cores 0 and 1 are needed)").into()
    })
}
