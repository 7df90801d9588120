//! Sending through many connections at once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::Connection;
use super::alarm::now;
use super::error::SendError;
use super::halves::Sender;
use super::receiver::Receiver;
use crate::message::{Message, MessageRef};

/// Connections whose [`Sender`]s are used together, as by a socket that spreads its messages over many peers.
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

impl Connection {
    /// As [`split`](Connection::split), with a sender that belongs to `group`.
    pub fn split_into(self, group: &SenderGroup) -> (Sender, Receiver) {
        super::halves::split(self, group.clone())
    }
}

impl Sender {
    /// Sends a message if there is room in the queue for it; false when there is none.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    #[inline]
    pub fn try_send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<bool, SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        if queue.is_full() {
            return Ok(false);
        }
        self.shared.send(&mut queue, message.into())?;
        Ok(true)
    }

    /// Whether there is room for a message in the queue. Other senders may be faster.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn has_room(&self) -> Result<bool, SendError> {
        let queue = self.shared.lock();
        queue.check()?;
        Ok(!queue.is_full())
    }

    /// Sends messages as long as there is room, and tells how many it was.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; none was sent then. At a message that cannot be encoded it stops, and gives the error when that is the
    /// first one.
    pub fn try_send_each<'m>(
        &self,
        messages: impl Iterator<Item = MessageRef<'m>>,
    ) -> Result<usize, SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        let mut sent = 0;
        for message in messages {
            if queue.is_full() {
                break;
            }
            match queue.encode(message) {
                Ok(()) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        self.shared.see_to_writing(&mut queue);
        Ok(sent)
    }

    /// Sends a message without regard to the queue's limit: for what is little and must not wait, such as a
    /// subscription.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send_now<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        self.shared.send(&mut queue, message.into())
    }

    /// Sends a message in the place of the last one that was sent so, if the stream has not begun to take that: for what is
    /// of no use any more when something newer is there. It never waits.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send_latest<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        self.shared.send_latest(&mut queue, message.into())
    }

    /// Why nothing more can be sent, if so.
    pub fn error(&self) -> Option<SendError> {
        self.shared.lock().error().cloned()
    }

    /// Stops sending for good, and returns the messages that were sent and of which the stream has taken no byte: to send
    /// them on another connection. The outgoing direction ends.
    ///
    /// A framing that cannot tell, and one that is sealed, gives none.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: nothing more is sent, and another call returns the messages.
    pub async fn take_unsent(&self) -> Vec<Message> {
        loop {
            let progress = {
                let mut queue = self.shared.lock();
                if let Some(unsent) = self.shared.stop(&mut queue) {
                    return unsent;
                }
                // Created under the lock, so that no progress falls in between.
                self.shared.group.progress()
            };
            progress.await;
        }
    }

    /// How many messages wait that have not been taken for writing.
    pub fn queued(&self) -> usize {
        self.shared.lock().len()
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
