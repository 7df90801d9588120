//! The topics of one peer.

use std::collections::HashSet;

use bytes::Bytes;

use crate::events::Rejection;

/// Topics, as many as are kept of one peer.
#[derive(Default)]
pub(crate) struct TopicSet {
    topics: HashSet<Bytes>,
    bytes: usize,
}

/// Subscriptions of one peer; libzmq has no limit.
const MOST_TOPICS: usize = 10_000;
const MOST_TOPIC_BYTES: usize = 1 << 20;

impl TopicSet {
    /// Adds a topic; false when it is there already.
    pub(super) fn insert(&mut self, topic: &[u8]) -> Result<bool, Rejection> {
        if self.topics.contains(topic) {
            return Ok(false);
        }
        if self.topics.len() >= MOST_TOPICS || self.bytes + topic.len() > MOST_TOPIC_BYTES {
            return Err(Rejection::TooManySubscriptions);
        }
        self.bytes += topic.len();
        // A copy: it must not keep the buffer alive that it came in.
        Ok(self.topics.insert(Bytes::copy_from_slice(topic)))
    }

    /// Takes a topic out; false when it is not there.
    pub(super) fn remove(&mut self, topic: &[u8]) -> bool {
        let was_there = self.topics.remove(topic);
        if was_there {
            self.bytes -= topic.len();
        }
        was_there
    }

    pub(super) fn contains(&self, topic: &[u8]) -> bool {
        self.topics.contains(topic)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.topics.iter()
    }
}
