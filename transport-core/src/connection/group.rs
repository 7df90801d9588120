//! Sending through many connections at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::alarm::now;

/// Connections whose [`Sender`](super::Sender)s are used together, as by a socket that spreads its messages over many peers.
///
/// One task can wait for room at any of them, and a burst is noticed although each single one gets few of its messages.
///
/// # Examples
///
/// ```
/// # use transport_core::{Connection, Receiver, SendError, Sender, SenderGroup};
/// struct Spreader {
///     group: SenderGroup,
///     senders: Vec<Sender>,
/// }
///
/// impl Spreader {
///     fn add(&mut self, connection: Connection) -> Receiver {
///         let (sender, receiver) = connection.split_into(&self.group);
///         self.senders.push(sender);
///         receiver
///     }
///
///     /// Sends to whoever has room first.
///     async fn send(&self, message: &[u8]) -> Result<(), SendError> {
///         loop {
///             let progress = self.group.progress();
///             for sender in &self.senders {
///                 if sender.try_send(message)? {
///                     return Ok(());
///                 }
///             }
///             progress.await;
///         }
///     }
/// }
/// ```
#[derive(Clone)]
pub struct SenderGroup {
    shared: Arc<Shared>,
}

struct Shared {
    /// Notified whenever a flusher has taken a queue, has ended, or has failed.
    progress: Arc<Notify>,
    start: Instant,
    /// When a write ended last, in nanoseconds since the start; 0 for never.
    last_write: AtomicU64,
}

/// A sender that comes so many nanoseconds after the last write is not alone: its message waits for company.
const BURST: u64 = 10_000;

impl SenderGroup {
    /// A group without connections yet.
    pub fn new() -> SenderGroup {
        let (progress, start) = (Arc::new(Notify::new()), now());
        SenderGroup { shared: Arc::new(Shared { progress, start, last_write: AtomicU64::new(0) }) }
    }

    /// Ready when any of the senders may have got room, has written everything, or has failed, after this call.
    ///
    /// Call it first, then look, and only then wait: so that nothing falls in between.
    pub fn progress(&self) -> OwnedNotified {
        Arc::clone(&self.shared.progress).notified_owned()
    }

    /// Wakes everyone who waits for progress: something else has changed that they should look at.
    pub fn wake(&self) {
        self.shared.progress.notify_waiters();
    }

    /// Whether a message comes so soon after the last write that others will follow.
    pub(super) fn is_burst(&self) -> bool {
        let last = self.shared.last_write.load(Ordering::Relaxed);
        last != 0 && self.nanoseconds().saturating_sub(last) < BURST
    }

    pub(super) fn written(&self) {
        self.shared.last_write.store(self.nanoseconds(), Ordering::Relaxed);
    }

    fn nanoseconds(&self) -> u64 {
        // 0 stands for never.
        let since = now().saturating_duration_since(self.shared.start).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX).max(1)
    }
}

impl Default for SenderGroup {
    fn default() -> SenderGroup {
        SenderGroup::new()
    }
}

impl fmt::Debug for SenderGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SenderGroup")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_what_follows_a_write_closely() {
        let group = SenderGroup::new();
        assert!(!group.is_burst(), "nothing was written yet");
        let ago = group.nanoseconds();
        group.shared.last_write.store(ago, Ordering::Relaxed);
        while group.nanoseconds() < ago + BURST {}
        assert!(!group.is_burst());
    }
}
