//! How a server reaches the connections that it has handed out: to drain, to close, to count what they hold, and to be told
//! when they are over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::Context;
use std::time::Instant;

use atomic_waker::AtomicWaker;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::about::About;
use super::alarm::now;
use super::closed::{CloseReason, Closed, ConnectionId, Traffic};
use super::error::Cut;

/// A connection's tie to its server; of a connecting side it is empty.
#[derive(Default)]
pub(crate) struct Life {
    member: Option<Arc<Member>>,
}

struct Member {
    registry: Arc<Registry>,
    id: u64,
    /// What the server tells it: one of the constants below; only ever grows.
    order: AtomicU8,
    /// Bytes that arrived and were not yet received by the application.
    unread: AtomicUsize,
    receiver: AtomicWaker,
    sender: AtomicWaker,
    /// Keeps the connection's place under the listener's cap.
    _place: OwnedSemaphorePermit,
    since: Instant,
    /// Set when the server has told of the connection: only then it tells of its end.
    about: OnceLock<Arc<About>>,
    /// What ended it, as soon as that is seen.
    reason: OnceLock<Box<CloseReason>>,
    counts: Counts,
}

/// What went over a connection. Each is counted by one half alone, and so costs no more than a plain number.
#[derive(Default)]
struct Counts {
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// For a number that nobody else changes.
#[inline]
fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

// 0: go on.
const DRAIN: u8 = 1;
const CUT_UNREAD: u8 = 2;
const CUT_STOPPED: u8 = 3;

/// The connections of one listener.
pub(crate) struct Registry {
    members: Mutex<Members>,
    unread: AtomicUsize,
    unread_limit: usize,
    left: Notify,
    on_closed: Box<dyn Fn(Closed) + Send + Sync>,
}

#[derive(Default)]
struct Members {
    next: u64,
    /// In their order of coming, so that orders reach them in the same order in every run of a simulation.
    open: BTreeMap<u64, Weak<Member>>,
    /// The order that late comers get.
    order: u8,
}

impl Registry {
    /// `on_closed` is called when a connection is over that was announced.
    pub(crate) fn new(unread_limit: usize, on_closed: Box<dyn Fn(Closed) + Send + Sync>) -> Arc<Registry> {
        let (members, unread) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Registry { members, unread, unread_limit, left: Notify::new(), on_closed })
    }

    /// Takes a connection in.
    pub(crate) fn join(self: &Arc<Registry>, place: OwnedSemaphorePermit) -> Life {
        let mut members = self.lock();
        let id = members.next;
        members.next += 1;
        let member = Arc::new(Member {
            registry: Arc::clone(self),
            id,
            order: AtomicU8::new(members.order),
            unread: AtomicUsize::new(0),
            receiver: AtomicWaker::new(),
            sender: AtomicWaker::new(),
            _place: place,
            since: now(),
            about: OnceLock::new(),
            reason: OnceLock::new(),
            counts: Counts::default(),
        });
        members.open.insert(id, Arc::downgrade(&member));
        Life { member: Some(member) }
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Asks all connections to end: their `recv` yields no more messages than have arrived.
    pub(crate) fn drain(&self) {
        self.order_all(DRAIN);
    }

    /// Closes all connections.
    pub(crate) fn stop(&self) {
        self.order_all(CUT_STOPPED);
    }

    /// Waits until no connection is left.
    pub(crate) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }

    fn order_all(&self, order: u8) {
        let mut members = self.lock();
        members.order = order;
        let open = members.open();
        // One that ends meanwhile takes the lock when it is dropped here.
        drop(members);
        open.iter().for_each(|member| member.give(order));
    }

    /// The budget of unread bytes is used up: whoever holds most gives way.
    fn close_fullest(&self) {
        // Outlives the lock, which one that ends meanwhile takes when it is dropped here.
        let open;
        let members = self.lock();
        // Another may have made room meanwhile.
        if self.unread.load(Ordering::Relaxed) <= self.unread_limit {
            return;
        }
        open = members.open();
        self.cut_fullest(&open);
    }

    fn cut_fullest(&self, open: &[Arc<Member>]) {
        let candidates = open.iter().filter(|member| member.order.load(Ordering::Relaxed) <= DRAIN);
        if let Some(fullest) = candidates.max_by_key(|member| member.unread.load(Ordering::Relaxed)) {
            // Its bytes count as given back at once, or the next in line would have to go too.
            self.unread.fetch_sub(fullest.unread.swap(0, Ordering::Acquire), Ordering::Relaxed);
            fullest.give(CUT_UNREAD);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Members> {
        // The lock is held for single map operations, which leave nothing half done.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn open(&self) -> Vec<Arc<Member>> {
        self.open.values().filter_map(Weak::upgrade).collect()
    }
}

impl Member {
    fn give(&self, order: u8) {
        self.order.fetch_max(order, Ordering::AcqRel);
        self.receiver.wake();
        self.sender.wake();
    }

    fn cut(&self) -> Option<Cut> {
        match self.order.load(Ordering::Acquire) {
            CUT_UNREAD => Some(Cut::Unread),
            CUT_STOPPED => Some(Cut::Stopped),
            _ => None,
        }
    }

    fn closed(&mut self) -> Option<Closed> {
        let about = self.about.take()?;
        let reason = self.reason.take().map(|reason| *reason);
        let reason = reason.unwrap_or_else(|| match self.cut() {
            Some(cut) => CloseReason::Cut(cut), // which nobody looked at
            None if self.order.load(Ordering::Acquire) == DRAIN => CloseReason::Drained,
            None => CloseReason::ThisSide,
        });
        let Counts { messages_in, messages_out, bytes_in, bytes_out } = &mut self.counts;
        let traffic = Traffic {
            messages_in: *messages_in.get_mut(),
            messages_out: *messages_out.get_mut(),
            bytes_in: *bytes_in.get_mut(),
            bytes_out: *bytes_out.get_mut(),
        };
        Some(Closed {
            connection: ConnectionId(self.id),
            source: about.source.clone(),
            identity: about.identity.clone(),
            reason,
            traffic,
            lasted: now().saturating_duration_since(self.since),
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Before it counts as gone: who waits for that finds everything told.
        if let Some(closed) = self.closed() {
            (self.registry.on_closed)(closed);
        }
        self.registry.lock().open.remove(&self.id);
        self.registry.unread.fetch_sub(self.unread.load(Ordering::Relaxed), Ordering::Relaxed);
        self.registry.left.notify_waiters();
    }
}

impl Life {
    /// The same tie for the other half of a split connection.
    pub(super) fn share(&self) -> Life {
        Life { member: self.member.clone() }
    }

    /// Which connection it is; `None` when it is not a server's.
    pub(crate) fn id(&self) -> Option<ConnectionId> {
        self.member.as_ref().map(|member| ConnectionId(member.id))
    }

    /// From now on the server is told when the connection is over.
    pub(crate) fn announce(&self, about: &Arc<About>) {
        if let Some(member) = &self.member {
            let _only_once = member.about.set(Arc::clone(about));
        }
    }

    /// Something ended the connection, or one of its directions. What was seen first counts.
    pub(crate) fn end(&self, reason: impl FnOnce() -> Option<CloseReason>) {
        if let Some(member) = &self.member
            && member.reason.get().is_none()
            && let Some(reason) = reason()
        {
            let _another_was_first = member.reason.set(Box::new(reason));
        }
    }

    /// Messages were received. To be called by the receiving half alone, as `count_read`.
    #[inline]
    pub(super) fn count_received(&self, messages: usize) {
        if let Some(member) = &self.member {
            add(&member.counts.messages_in, messages as u64);
        }
    }

    #[inline]
    pub(super) fn count_read(&self, bytes: usize) {
        if let Some(member) = &self.member {
            add(&member.counts.bytes_in, bytes as u64);
        }
    }

    /// So many messages were sent in all. To be called by whoever writes alone, as `count_written`.
    #[inline]
    pub(super) fn set_sent(&self, messages: u64) {
        if let Some(member) = &self.member {
            member.counts.messages_out.store(messages, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn count_written(&self, bytes: usize) {
        if let Some(member) = &self.member {
            add(&member.counts.bytes_out, bytes as u64);
        }
    }

    /// Whether the connection must close now; otherwise the receiving task is woken when it must.
    pub(crate) fn poll_cut_for_recv(&self, cx: &mut Context<'_>) -> Option<Cut> {
        let member = self.member.as_ref()?;
        member.receiver.register(cx.waker());
        member.cut()
    }

    /// As [`poll_cut_for_recv`](Life::poll_cut_for_recv), for the sending task.
    pub(crate) fn poll_cut_for_send(&self, cx: &mut Context<'_>) -> Option<Cut> {
        let member = self.member.as_ref()?;
        member.sender.register(cx.waker());
        member.cut()
    }

    /// Whether the connection must close now.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.member.as_ref()?.cut()
    }

    /// Whether the server asked for an end.
    pub(super) fn is_draining(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.order.load(Ordering::Acquire) >= DRAIN)
    }

    /// Tells how many bytes arrived here and were not yet received by the application; the answer says whether the
    /// connection must close now.
    pub(super) fn set_unread(&self, unread: usize) -> Option<Cut> {
        let member = self.member.as_ref()?;
        let registry = &member.registry;
        if let Some(cut) = member.cut() {
            return Some(cut); // its bytes have been given back
        }
        // Nobody else changes it but `close_fullest`, which gives its bytes back.
        let before = member.unread.load(Ordering::Relaxed);
        if unread == before {
            return None;
        }
        // More is added to the total first, or less than was added could be given back meanwhile.
        let more = unread.saturating_sub(before);
        let total = if more > 0 { registry.unread.fetch_add(more, Ordering::Relaxed) + more } else { 0 };
        let counted = member.unread.compare_exchange(before, unread, Ordering::Release, Ordering::Relaxed);
        let less = if counted.is_ok() { before.saturating_sub(unread) } else { more };
        if less > 0 {
            registry.unread.fetch_sub(less, Ordering::Relaxed);
        }
        if total > registry.unread_limit {
            registry.close_fullest();
        }
        member.cut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    fn join(registry: &Arc<Registry>) -> Life {
        registry.join(Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap())
    }

    #[test]
    fn the_fullest_connection_gives_way_when_the_budget_is_used_up() {
        let registry = Registry::new(1000, Box::new(|_| ()));
        let (a, b, c) = (join(&registry), join(&registry), join(&registry));
        a.set_unread(300);
        b.set_unread(600);
        c.set_unread(100);
        assert!([&a, &b, &c].iter().all(|life| life.cut().is_none()));
        c.set_unread(200);
        assert_eq!((a.cut(), b.cut(), c.cut()), (None, Some(Cut::Unread), None));
        registry.close_fullest();
        assert_eq!((a.cut(), c.cut()), (None, None), "there is room again");
        drop(b);
        a.set_unread(700);
        assert_eq!((a.cut(), c.cut()), (None, None));
    }

    #[test]
    fn the_total_is_right_whoever_gives_way_meanwhile() {
        let registry = Registry::new(usize::MAX, Box::new(|_| ()));
        std::thread::scope(|scope| {
            let telling = scope.spawn(|| {
                for _ in 0..100_000 {
                    let life = join(&registry);
                    for unread in [900, 100, 800, 0, 700] {
                        life.set_unread(unread);
                    }
                }
            });
            while !telling.is_finished() {
                let open = registry.lock().open();
                registry.cut_fullest(&open);
                let total = registry.unread.load(Ordering::Relaxed);
                assert!(total <= 2 * 900, "{total}");
            }
        });
        assert_eq!(registry.unread.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_comes_after_the_order_to_drain_gets_it_too() {
        let registry = Registry::new(1000, Box::new(|_| ()));
        let early = join(&registry);
        registry.drain();
        assert!(early.is_draining() && join(&registry).is_draining());
        assert_eq!(early.cut(), None);
        registry.stop();
        assert_eq!(early.cut(), Some(Cut::Stopped));
    }
}
