//! Which messages have arrived, as far as answers to pings prove it.

use std::collections::VecDeque;

/// A peer answers a ping when it has read everything before it: so an answer proves that the messages before its ping have
/// arrived. Answers come in the order of the pings, which all look alike.
#[derive(Default)]
pub(super) struct Receipts {
    /// Messages encoded so far.
    encoded: u64,
    /// The messages before each ping that has not been answered yet.
    pings: VecDeque<u64>,
    /// Messages that have arrived.
    arrived: u64,
}

/// A peer that never answers does not make this grow: further pings then prove nothing.
const MOST_PINGS: usize = 16;

impl Receipts {
    pub(super) fn message_encoded(&mut self) {
        self.encoded += 1;
    }

    pub(super) fn pinged(&mut self) {
        if self.pings.len() < MOST_PINGS {
            self.pings.push_back(self.encoded);
        }
    }

    pub(super) fn answered(&mut self) {
        if let Some(messages) = self.pings.pop_front() {
            self.arrived = messages;
        }
    }

    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_proves_what_came_before_its_ping_and_an_unasked_one_nothing() {
        let mut receipts = Receipts::default();
        receipts.message_encoded();
        receipts.answered();
        assert_eq!(receipts.arrived(), 0);
        receipts.pinged();
        receipts.message_encoded();
        receipts.pinged();
        receipts.message_encoded();
        receipts.answered();
        assert_eq!(receipts.arrived(), 1);
        receipts.answered();
        assert_eq!(receipts.arrived(), 2);
        receipts.answered();
        assert_eq!(receipts.arrived(), 2);
    }

    #[test]
    fn pings_that_are_never_answered_cost_nothing() {
        let mut receipts = Receipts::default();
        for _ in 0..1000 {
            receipts.message_encoded();
            receipts.pinged();
        }
        assert_eq!(receipts.pings.len(), MOST_PINGS);
        (0..1000).for_each(|_| receipts.answered());
        assert_eq!(receipts.arrived(), MOST_PINGS as u64);
    }
}
