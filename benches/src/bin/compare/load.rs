//! Notices other programs at work on the cores, which would make the numbers worthless.

use std::fs;

/// The CPU time spent up to now, in the kernel's ticks.
pub(crate) struct Load {
    /// By all processes, not counting interrupts: those are mostly the measured traffic itself.
    everyone: u64,
    /// By this process and those that it has started and that have ended.
    ours: u64,
    /// By one core since boot, idle or not: what makes ticks a share of a core.
    core: u64,
}

impl Load {
    /// Reads the counters; `None` where there is no such `/proc`.
    pub(crate) fn now() -> Option<Self> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        let cores = system.lines().filter(|line| line.starts_with("cpu")).count().checked_sub(1)?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of these.
        let ticks: Vec<u64> = numbers(system.lines().next()?.split_whitespace().skip(1).take(8))?;
        let core = ticks.iter().sum::<u64>().checked_div(cores as u64)?;

        let own = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in brackets, may hold spaces; utime, stime, cutime and cstime are the 12th to 15th after it.
        let own: Vec<u64> = numbers(own.rsplit(')').next()?.split_whitespace().skip(11).take(4))?;
        Some(Load { everyone: ticks.iter().take(3).sum(), ours: own.iter().sum(), core })
    }

    /// How many cores' worth of time other processes took since `earlier`.
    #[expect(clippy::cast_precision_loss, reason = "ticks of a run are few")]
    pub(crate) fn of_others_since(&self, earlier: &Self) -> f64 {
        let everyone = self.everyone.saturating_sub(earlier.everyone);
        let ours = self.ours.saturating_sub(earlier.ours);
        let core = self.core.saturating_sub(earlier.core).max(1);
        everyone.saturating_sub(ours) as f64 / core as f64
    }
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<u64>> {
    words.map(|word| word.parse().ok()).collect()
}
