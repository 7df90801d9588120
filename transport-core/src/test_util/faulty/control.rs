//! What goes wrong with all streams at once, and which plan each new stream gets.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;

use super::super::random::Random;
use super::plan::FaultPlan;
use crate::framing::Role;

/// Says what goes wrong in a [`FaultyTransport`](super::FaultyTransport), from the outside and while it runs.
///
/// # Examples
///
/// See [`FaultyTransport`](super::FaultyTransport).
#[derive(Clone)]
pub struct FaultControl {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when a partition ends.
    healed: Notify,
}

struct State {
    plan: Box<dyn FnMut(Role, u64) -> FaultPlan + Send>,
    /// What streams draw from.
    random: Random,
    opened: u64,
    refusing: bool,
    partitioned: bool,
    links: Vec<Weak<Link>>,
}

/// What one stream and the control share.
pub(super) struct Link {
    reset: AtomicBool,
    partitioned: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl FaultControl {
    pub(super) fn new() -> FaultControl {
        let state = State {
            plan: Box::new(|_, _| FaultPlan::new()),
            random: Random::new(0),
            opened: 0,
            refusing: false,
            partitioned: false,
            links: Vec::new(),
        };
        FaultControl { shared: Arc::new(Shared { state: Mutex::new(state), healed: Notify::new() }) }
    }

    /// Gives each stream that is opened from now on the plan that `plan` makes for it. It is told which end the stream
    /// is, and how many were opened before.
    pub fn plan(&self, plan: impl FnMut(Role, u64) -> FaultPlan + Send + 'static) {
        self.lock().plan = Box::new(plan);
    }

    /// Gives each stream that is opened from now on a plan drawn from this seed: see [`FaultPlan::draw`].
    pub fn plan_from_seed(&self, seed: u64, bytes: u64, time: Duration) {
        let mut random = Random::new(seed);
        self.lock().random = random.fork();
        self.plan(move |_, _| FaultPlan::draw(&mut random, bytes, time));
    }

    /// Streams that are opened from now on have no faults.
    pub fn plan_nothing(&self) {
        self.plan(|_, _| FaultPlan::new());
    }

    /// Whether connecting fails at once.
    pub fn refuse_connects(&self, refuse: bool) {
        self.lock().refusing = refuse;
    }

    /// Whether the two sides are out of each other's reach: connecting waits, and what is written stays on its way, until
    /// they are not any more.
    pub fn partition(&self, partitioned: bool) {
        let mut state = self.lock();
        state.partitioned = partitioned;
        for link in state.links() {
            link.partitioned.store(partitioned, Ordering::Release);
            link.wake();
        }
        drop(state);
        if !partitioned {
            self.shared.healed.notify_waiters();
        }
    }

    /// Resets all open streams, at both ends; what was on its way is lost.
    pub fn reset_all(&self) {
        self.lock().links().for_each(|link| link.reset());
    }

    /// How many ends of streams are open, in both roles: for tests that nothing is left behind.
    pub fn open_ends(&self) -> usize {
        self.lock().links().count()
    }

    /// Waits while connecting is impossible; false when it is refused.
    pub(super) async fn may_connect(&self) -> bool {
        loop {
            let healed = self.shared.healed.notified();
            {
                let state = self.lock();
                if state.refusing {
                    return false;
                }
                if !state.partitioned {
                    return true;
                }
            }
            healed.await;
        }
    }

    /// Takes a stream in: its plan, its own chance, and its tie to this control.
    pub(super) fn open(&self, role: Role) -> (FaultPlan, Random, Arc<Link>) {
        let mut state = self.lock();
        let number = state.opened;
        state.opened += 1;
        let plan = (state.plan)(role, number);
        let link = Arc::new(Link {
            reset: AtomicBool::new(false),
            partitioned: AtomicBool::new(state.partitioned),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(&link));
        (plan, state.random.fork(), link)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A plan that panics leaves the state as it was.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn links(&self) -> impl Iterator<Item = Arc<Link>> {
        self.links.iter().filter_map(Weak::upgrade)
    }
}

impl Link {
    /// Ends the stream with an error, both ways.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    pub(super) fn is_partitioned(&self) -> bool {
        self.partitioned.load(Ordering::Acquire)
    }

    /// The reading task will be woken when something changes.
    pub(super) fn watch_reading(&self, cx: &Context<'_>) {
        self.reader.register(cx.waker());
    }

    /// As [`watch_reading`](Link::watch_reading), for the writing task.
    pub(super) fn watch_writing(&self, cx: &Context<'_>) {
        self.writer.register(cx.waker());
    }

    fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl fmt::Debug for FaultControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultControl").field("open_ends", &self.open_ends()).finish_non_exhaustive()
    }
}
