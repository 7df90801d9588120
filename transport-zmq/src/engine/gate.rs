//! How much of a peer may wait to be received.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::config::HighWaterMark;

/// Counts what has arrived of one peer and was not received yet; its reading stops at the mark.
#[derive(Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    mark: HighWaterMark,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    opened: Notify,
}

/// What a batch has taken; given back when it is dropped.
pub(crate) struct Taken {
    gate: Gate,
    messages: usize,
    bytes: usize,
}

impl Gate {
    pub(crate) fn new(mark: HighWaterMark) -> Gate {
        let (messages, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Gate { shared: Arc::new(Shared { mark, messages, bytes, opened: Notify::new() }) }
    }

    /// How many messages may be read now; 0 when the gate is shut. Half of the mark at most, so that the peer's task
    /// reads while the application works on what it has.
    pub(crate) fn room(&self) -> usize {
        let Shared { mark, messages, bytes, .. } = &*self.shared;
        if bytes.load(Ordering::Acquire) >= mark.bytes.max(1) {
            return 0;
        }
        let most = mark.messages.max(1);
        most.saturating_sub(messages.load(Ordering::Acquire)).min(most.div_ceil(2))
    }

    /// How many bytes wait.
    pub(crate) fn held(&self) -> usize {
        self.shared.bytes.load(Ordering::Acquire)
    }

    /// Waits until there is room.
    pub(crate) async fn opened(&self) {
        while self.room() == 0 {
            self.shared.opened.notified().await;
        }
    }

    pub(crate) fn take(&self, messages: usize, bytes: usize) -> Taken {
        self.shared.messages.fetch_add(messages, Ordering::AcqRel);
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        Taken { gate: self.clone(), messages, bytes }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let shared = &self.gate.shared;
        shared.messages.fetch_sub(self.messages, Ordering::AcqRel);
        shared.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        // One task at most waits; a permit is kept for it if it is just about to.
        shared.opened.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_shuts_by_messages_or_by_bytes_and_opens_again() {
        let gate = Gate::new(HighWaterMark::new(10, 1000));
        assert_eq!(gate.room(), 5);
        let first = gate.take(7, 0);
        assert_eq!(gate.room(), 3);
        let second = gate.take(4, 0);
        assert_eq!(gate.room(), 0);
        drop(second);
        assert_eq!(gate.room(), 3);
        drop(first);
        let _large = gate.take(1, 5000);
        assert_eq!(gate.room(), 0);
    }

    #[test]
    fn a_mark_of_zero_lets_one_message_through() {
        let gate = Gate::new(HighWaterMark::new(0, 0));
        assert_eq!(gate.room(), 1);
        let _one = gate.take(1, 1);
        assert_eq!(gate.room(), 0);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let gate = Gate::new(HighWaterMark::new(1, 1000));
        let taken = gate.take(1, 1);
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.opened().await }
        });
        tokio::task::yield_now().await;
        drop(taken);
        tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }
}
