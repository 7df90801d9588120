//! How much of a peer may wait to be received.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::config::HighWaterMark;

/// Counts what has arrived of one peer and was not received yet; its reading stops at the mark, and when the budget is
/// spent.
#[derive(Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    mark: HighWaterMark,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    opened: Notify,
    budget: Arc<Budget>,
}

/// How much of all peers together may wait to be received, of those that have gone too: or one that comes again and again
/// would leave more behind each time. One batch of each peer may go beyond.
pub(crate) struct Budget {
    most: usize,
    held: AtomicUsize,
    opened: Notify,
}

/// What a message counts beside its bytes.
const MESSAGE: usize = 64;

/// What a batch has taken; given back when it is dropped.
pub(crate) struct Taken {
    gate: Gate,
    messages: usize,
    bytes: usize,
}

impl Gate {
    pub(crate) fn new(mark: HighWaterMark, budget: Arc<Budget>) -> Gate {
        let (messages, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Gate { shared: Arc::new(Shared { mark, messages, bytes, opened: Notify::new(), budget }) }
    }

    /// How many messages may be read now; 0 when the gate is shut. Half of the mark at most, so that the peer's task
    /// reads while the application works on what it has.
    pub(crate) fn room(&self) -> usize {
        let Shared { mark, messages, bytes, budget, .. } = &*self.shared;
        if bytes.load(Ordering::Acquire) >= mark.bytes.max(1) || budget.is_spent() {
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
            let by_all = self.shared.budget.opened.notified();
            // The budget may have been freed before this task listened.
            if self.room() > 0 {
                return;
            }
            tokio::select! {
                () = self.shared.opened.notified() => {}
                () = by_all => {}
            }
        }
    }

    pub(crate) fn take(&self, messages: usize, bytes: usize) -> Taken {
        self.shared.messages.fetch_add(messages, Ordering::AcqRel);
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.shared.budget.held.fetch_add(bytes + messages * MESSAGE, Ordering::AcqRel);
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
        shared.budget.give_back(self.bytes + self.messages * MESSAGE);
    }
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { most: most.max(1), held: AtomicUsize::new(0), opened: Notify::new() })
    }

    fn is_spent(&self) -> bool {
        self.held.load(Ordering::Acquire) >= self.most
    }

    fn give_back(&self, count: usize) {
        let before = self.held.fetch_sub(count, Ordering::AcqRel);
        if before >= self.most && before - count < self.most {
            self.opened.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gate(messages: usize, bytes: usize) -> Gate {
        Gate::new(HighWaterMark::new(messages, bytes), Budget::new(usize::MAX))
    }

    #[test]
    fn a_gate_shuts_by_messages_or_by_bytes_and_opens_again() {
        let gate = gate(10, 1000);
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
        let gate = gate(0, 0);
        assert_eq!(gate.room(), 1);
        let _one = gate.take(1, 1);
        assert_eq!(gate.room(), 0);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_by_its_own_room_and_by_that_of_all() {
        let budget = Budget::new(1000);
        let gates = [(); 2].map(|()| Gate::new(HighWaterMark::new(1, 1 << 20), Arc::clone(&budget)));
        for (held_by, waits) in [(0, 0), (0, 1), (1, 0)] {
            let taken = gates[held_by].take(1, 5000);
            assert_eq!((gates[0].room(), gates[1].room()), (0, 0));
            let waiting = tokio::spawn({
                let gate = gates[waits].clone();
                async move { gate.opened().await }
            });
            tokio::task::yield_now().await;
            drop(taken);
            tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.unwrap().unwrap();
        }
    }

    proptest! {
        /// Batches of two peers come and are used up in any order: both gates say what a plain count says.
        #[test]
        fn gates_open_and_shut_as_a_plain_count_does(
            (messages, bytes, most) in (0usize..6, 0usize..300, 1usize..600),
            steps in proptest::collection::vec((0usize..2, 0usize..4, 0usize..200, any::<bool>()), 0..40),
        ) {
            let budget = Budget::new(most);
            let gates = [(); 2].map(|()| Gate::new(HighWaterMark::new(messages, bytes), Arc::clone(&budget)));
            let mut held: Vec<(usize, Taken)> = Vec::new();
            for (peer, count, size, takes) in steps {
                if takes {
                    held.push((peer, gates[peer].take(count, size)));
                } else if !held.is_empty() {
                    held.remove(size % held.len());
                }
                let sum = |of: &dyn Fn(&(usize, Taken)) -> usize| held.iter().map(of).sum::<usize>();
                let all = sum(&|(_, taken)| taken.bytes + MESSAGE * taken.messages);
                for (i, gate) in gates.iter().enumerate() {
                    let own_bytes = sum(&|(peer, taken)| if *peer == i { taken.bytes } else { 0 });
                    let own = sum(&|(peer, taken)| if *peer == i { taken.messages } else { 0 });
                    let shut = own_bytes >= bytes.max(1) || all >= most;
                    let limit = messages.max(1);
                    let expected = if shut { 0 } else { limit.saturating_sub(own).min(limit.div_ceil(2)) };
                    prop_assert_eq!(gate.room(), expected);
                    prop_assert_eq!(gate.held(), own_bytes);
                }
            }
            held.clear();
            prop_assert!(gates[0].room() > 0 && gates[1].room() > 0);
        }
    }
}
