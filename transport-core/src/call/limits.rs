//! The bounds on calls.

use std::time::Duration;

/// How many calls there may be at a time, and how long each may take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallLimits {
    /// Most calls under way over one connection; on the side that answers, most handlers at work for it. Default
    /// 1,024. A caller with a larger bound than the other side's finds its calls waiting there.
    pub calls: usize,
    /// How long a call may take unless it says otherwise, from when it is made to its reply. Default 30 s.
    pub time: Duration,
}

impl Default for CallLimits {
    fn default() -> CallLimits {
        CallLimits { calls: 1024, time: Duration::from_secs(30) }
    }
}

impl CallLimits {
    /// Sets [`calls`](CallLimits::calls).
    #[must_use]
    pub fn with_calls(mut self, calls: usize) -> CallLimits {
        self.calls = calls;
        self
    }

    /// Sets [`time`](CallLimits::time).
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> CallLimits {
        self.time = time;
        self
    }
}
