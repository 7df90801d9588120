//! What waits to be sent, and what has become of it: the logic, without I/O.
//!
//! ```text
//! messages:   [ m1 m2 m3 | m4 m5 ... ]      m1 is being written, m2 and m3 wait in the connection's buffer as bytes,
//!               encoded                     m4 and m5 do not yet
//!
//! the stream takes all of m1    -> m1 leaves the queue, and may be lost from now on
//! the connection is lost        -> of m1 a byte was taken: it may be lost. m2 to m5 are kept, and sent on the next one
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use crate::limits::PART_OVERHEAD;
use crate::message::Message;

/// The messages that have not been handed over as a whole to the stream of a connection.
pub(super) struct Queue {
    messages: VecDeque<Waiting>,
    /// Where the first messages lie in the outgoing bytes of the connection. Invariant: no more places than messages.
    encoded: VecDeque<Range<u64>>,
    bytes: usize,
    limits: QueueLimits,
    /// All messages that were ever queued, and those that have left: what [`flush`](super::ClientHandle::flush) compares.
    queued: u64,
    left: u64,
    /// Messages that left for the connection that there is now.
    written: u64,
}

struct Waiting {
    message: Message,
    /// Messages right behind it that were taken out: they leave with it, since who waits for them waits for this one too.
    rejected: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub(super) bytes: usize,
    pub(super) messages: usize,
}

/// What has become of the messages when a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages of which the stream took at least one byte.
    pub(super) written: u64,
    /// Messages that wait.
    pub(super) kept: usize,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Queue {
        Queue {
            messages: VecDeque::new(),
            encoded: VecDeque::new(),
            bytes: 0,
            limits,
            queued: 0,
            left: 0,
            written: 0,
        }
    }

    /// Whether a sender has to wait. One message may go beyond the limit of bytes.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.limits.messages.max(1) || self.bytes >= self.limits.bytes.max(1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn push(&mut self, message: Message) {
        self.bytes += cost(&message);
        self.messages.push_back(Waiting { message, rejected: 0 });
        self.queued += 1;
    }

    /// How many messages were ever queued.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// How many messages have left, because they were written, may be lost, or could not be encoded.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The first message that has not been encoded for this connection.
    pub(super) fn next(&self) -> Option<&Message> {
        self.messages.get(self.encoded.len()).map(|waiting| &waiting.message)
    }

    /// [`next`](Queue::next) now lies at `place` in the outgoing bytes of the connection.
    pub(super) fn encoded(&mut self, place: Range<u64>) {
        debug_assert!(self.encoded.len() < self.messages.len(), "only a message can have been encoded");
        self.encoded.push_back(place);
    }

    /// [`next`](Queue::next) cannot be encoded: takes it out.
    pub(super) fn reject(&mut self) {
        let index = self.encoded.len();
        let Some(Waiting { message, rejected }) = self.messages.remove(index) else { return };
        let before = index.checked_sub(1).and_then(|before| self.messages.get_mut(before));
        *before.map_or(&mut self.left, |before| &mut before.rejected) += 1 + rejected;
        self.forget(&message);
    }

    /// The stream has taken the outgoing bytes up to `place`; true when messages left because of that.
    pub(super) fn written_to(&mut self, place: u64) -> bool {
        let before = self.left;
        while self.encoded.front().is_some_and(|message| message.end <= place) {
            self.leave();
        }
        self.left > before
    }

    /// The connection is lost, after its stream had taken the outgoing bytes up to `place`.
    pub(super) fn connection_lost(&mut self, place: u64) -> Tally {
        self.written_to(place);
        if self.encoded.front().is_some_and(|message| message.start < place) {
            self.leave();
        }
        self.encoded.clear();
        Tally { written: std::mem::take(&mut self.written), kept: self.messages.len() }
    }

    /// Takes everything that waits.
    pub(super) fn take(&mut self) -> Vec<Message> {
        debug_assert!(self.encoded.is_empty(), "the connection is gone by now");
        self.bytes = 0;
        self.left = self.queued;
        self.messages.drain(..).map(|waiting| waiting.message).collect()
    }

    /// The first message has been handed over, or part of it.
    fn leave(&mut self) {
        self.encoded.pop_front();
        if let Some(Waiting { message, rejected }) = self.messages.pop_front() {
            self.written += 1;
            self.left += 1 + rejected;
            self.forget(&message);
        }
    }

    fn forget(&mut self, message: &Message) {
        self.bytes -= cost(message);
        // A queue that was long once does not stay large.
        if self.messages.is_empty() && self.messages.capacity() > KEEP_ROOM {
            self.messages = VecDeque::new();
            self.encoded.shrink_to(KEEP_ROOM);
        }
    }
}

fn cost(message: &Message) -> usize {
    message.byte_count() + PART_OVERHEAD * message.part_count()
}

/// An empty queue keeps room for so many messages.
const KEEP_ROOM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(texts: &[&'static str]) -> Queue {
        let mut queue = Queue::new(QueueLimits { bytes: 1000, messages: 10 });
        texts.iter().for_each(|text| queue.push(Message::from(*text)));
        queue
    }

    /// Encodes as many messages as there are lengths, one behind the other.
    fn encode(queue: &mut Queue, lengths: &[u64]) {
        let mut at = 0;
        for length in lengths {
            assert!(queue.next().is_some());
            queue.encoded(at..at + length);
            at += length;
        }
    }

    fn waiting(queue: &mut Queue) -> Vec<String> {
        queue.take().iter().map(|message| message.to_text().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_message_of_which_a_byte_was_taken_is_not_kept() {
        let mut queue = queue(&["a", "b", "c", "d"]);
        encode(&mut queue, &[10, 10, 10]);
        assert!(queue.written_to(10));
        assert_eq!(queue.connection_lost(11), Tally { written: 2, kept: 2 });
        assert_eq!(waiting(&mut queue), ["c", "d"]);
    }

    #[test]
    fn a_message_that_cannot_be_encoded_leaves_with_the_one_before_it_and_at_once_when_there_is_none() {
        let mut queue = queue(&["a", "b", "c", "d"]);
        queue.reject();
        assert_eq!((queue.len(), queue.left()), (3, 1));
        encode(&mut queue, &[10]);
        queue.reject();
        assert_eq!((queue.len(), queue.left()), (2, 1), "a further one waits before it");
        // On the next connection it is the other way round.
        queue.connection_lost(0);
        encode(&mut queue, &[10, 10]);
        assert!(queue.written_to(10));
        assert_eq!(queue.left(), 3);
        assert!(queue.written_to(20));
        assert_eq!((queue.left(), queue.bytes), (4, 0));
    }

    #[test]
    fn a_message_of_which_no_byte_was_taken_is_kept() {
        let mut queue = queue(&["a", "b", "c"]);
        encode(&mut queue, &[10, 10]);
        assert_eq!(queue.connection_lost(10), Tally { written: 1, kept: 2 });
        assert_eq!(waiting(&mut queue), ["b", "c"]);
    }

    #[test]
    fn control_frames_between_messages_do_not_count() {
        let mut queue = queue(&["a", "b"]);
        queue.encoded(5..10);
        queue.encoded(17..20);
        assert!(!queue.written_to(5));
        assert!(queue.written_to(16));
        assert_eq!(queue.connection_lost(17), Tally { written: 1, kept: 1 });
    }

    #[test]
    fn the_next_connection_counts_for_itself() {
        let mut queue = queue(&["a", "b"]);
        encode(&mut queue, &[10]);
        assert_eq!(queue.connection_lost(10), Tally { written: 1, kept: 1 });
        encode(&mut queue, &[10]);
        assert_eq!(queue.connection_lost(0), Tally { written: 0, kept: 1 });
        assert_eq!((queue.queued(), queue.left()), (2, 1));
    }

    #[test]
    fn it_is_full_by_messages_or_by_bytes() {
        let mut by_count = Queue::new(QueueLimits { bytes: usize::MAX, messages: 2 });
        by_count.push("a".into());
        assert!(!by_count.is_full());
        by_count.push("b".into());
        assert!(by_count.is_full());
        let mut by_bytes = Queue::new(QueueLimits { bytes: 100, messages: usize::MAX });
        by_bytes.push(vec![0; 83].into());
        assert!(!by_bytes.is_full());
        by_bytes.push("".into());
        assert!(by_bytes.is_full(), "an empty message is not free");
        encode(&mut by_bytes, &[10, 2]);
        by_bytes.written_to(10);
        assert!(!by_bytes.is_full());
    }

    #[test]
    fn a_message_that_cannot_be_encoded_is_taken_out_alone() {
        let mut queue = queue(&["a", "b", "c"]);
        encode(&mut queue, &[10]);
        queue.reject();
        assert_eq!(queue.next().unwrap().to_text(), Some("c"));
        assert_eq!(queue.connection_lost(0), Tally { written: 0, kept: 2 });
        assert_eq!(waiting(&mut queue), ["a", "c"]);
    }

    proptest! {
        /// However many messages were encoded and however far the stream got: each message either left or is kept, in
        /// order, and it is kept exactly if none of its bytes was taken.
        #[test]
        fn every_message_is_either_written_or_kept(
            lengths in proptest::collection::vec((0u64..4, 1u64..50), 0..20), encoded in 0usize..20, cut in 0u64..800,
        ) {
            let mut queue = Queue::new(QueueLimits { bytes: usize::MAX, messages: usize::MAX });
            let mut at = 0;
            let places: Vec<Range<u64>> = lengths
                .iter()
                .map(|(gap, length)| { at += gap + length; at - length..at })
                .collect();
            (0..lengths.len()).for_each(|i| queue.push(Message::from(i.to_string())));
            let encoded = encoded.min(lengths.len());
            places[..encoded].iter().for_each(|place| queue.encoded(place.clone()));
            let cut = cut.min(encoded.checked_sub(1).map_or(0, |last| places[last].end));
            let written = places[..encoded].iter().filter(|place| place.start < cut).count();
            let tally = queue.connection_lost(cut);
            prop_assert_eq!(tally, Tally { written: written as u64, kept: lengths.len() - written });
            let kept: Vec<String> = (written..lengths.len()).map(|i| i.to_string()).collect();
            prop_assert_eq!(waiting(&mut queue), kept);
            prop_assert_eq!(queue.bytes, 0);
        }
    }
}
