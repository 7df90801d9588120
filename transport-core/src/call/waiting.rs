//! Calls that wait for a handler: the logic, without I/O.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::wire::CallId;
use crate::message::{Message, MessageRef};

/// Calls for which there was no room yet, in their order. No more is read when they are full, so they hold at most what
/// one read brings on top; until then it is, since some may be given up.
///
/// A call that is given up is found by its id: a caller can give up very many in one read.
#[derive(Default)]
pub(super) struct Waiting {
    /// By their number.
    calls: BTreeMap<u64, (CallId, Message)>,
    numbers: HashMap<CallId, u64>,
    next: u64,
    bytes: usize,
}

/// From so many bytes on no more is read.
const FULL: usize = 128 << 10;
/// What a call counts on top of its bytes.
const OVERHEAD: usize = 64;

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// Takes a call in; false when one with this id waits already.
    pub(super) fn push(&mut self, id: CallId, message: MessageRef<'_>) -> bool {
        let Entry::Vacant(number) = self.numbers.entry(id) else { return false };
        number.insert(self.next);
        self.bytes += message.byte_count() + OVERHEAD;
        self.calls.insert(self.next, (id, message.to_message()));
        self.next += 1;
        true
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) -> Option<(CallId, Message)> {
        let (_, (id, message)) = self.calls.pop_first()?;
        self.numbers.remove(&id);
        self.bytes -= message.byte_count() + OVERHEAD;
        Some((id, message))
    }

    /// The caller has given the call up.
    pub(super) fn cancel(&mut self, id: CallId) {
        let number = self.numbers.remove(&id);
        if let Some((_, message)) = number.and_then(|number| self.calls.remove(&number)) {
            self.bytes -= message.byte_count() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn full() -> Waiting {
        let mut waiting = Waiting::default();
        let mut ids = (0..).map(CallId);
        while !waiting.is_full() {
            assert!(waiting.push(ids.next().unwrap(), "".into()));
        }
        waiting
    }

    #[test]
    fn calls_wait_in_their_order_and_those_that_were_given_up_leave_room() {
        let mut waiting = full();
        let count = waiting.calls.len() as u64;
        assert_eq!(count, 2048);
        assert!(!waiting.push(CallId(7), "again".into()), "its id is in use");
        for id in (0..count).filter(|id| id % 3 != 0) {
            waiting.cancel(CallId(id));
            waiting.cancel(CallId(id));
        }
        assert!(!waiting.is_full());
        assert!(waiting.push(CallId(7), "again".into()));
        let order: Vec<u64> = std::iter::from_fn(|| waiting.pop().map(|(id, _)| id.0)).collect();
        let expected: Vec<u64> = (0..count).filter(|id| id % 3 == 0).chain([7]).collect();
        assert_eq!(order, expected);
        assert!(waiting.is_empty() && waiting.numbers.is_empty() && waiting.bytes == 0);
    }

    #[test]
    fn giving_up_what_does_not_wait_costs_about_the_same_however_many_calls_do() {
        let cancel = |waiting: &mut Waiting| {
            let start = Instant::now();
            (0..5000).for_each(|id| waiting.cancel(CallId(1_000_000 + id)));
            start.elapsed()
        };
        let fastest = |waiting: &mut Waiting| (0..5).map(|_| cancel(waiting)).min().unwrap();
        let (none, many) = (fastest(&mut Waiting::default()), fastest(&mut full()));
        // A look at each would take a thousand times as long.
        assert!(many < 50 * none + Duration::from_millis(1), "{many:?} instead of {none:?}");
    }
}
