//! Messages that arrived together.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use bytes::Bytes;

use crate::message::{Lent, MOST_LENT_PARTS, Message, MessageRef};
use crate::write_buffer::SHARE_FROM;

/// Messages that arrived together: to hand them to another task as a whole.
///
/// Most of them lie where they were read. [`lend_each`](Batch::lend_each) shows them without counting references; as an
/// iterator a batch gives [`Message`]s, each of which shares the memory.
///
/// ```text
/// memory   [ header part1 header part2 header part3 ]      then the messages that have memory of their own
/// places             ^^^^^ more   ^^^^^        ^^^^^
/// ```
///
/// # Examples
///
/// ```
/// # use transport_core::{Batch, Message};
/// let mut batch = Batch::new();
/// batch.push(Message::from("a"));
/// batch.push(Message::from("bc"));
/// assert_eq!((batch.len(), batch.byte_count()), (2, 3));
/// assert_eq!(batch.next(), Some(Message::from("a")));
/// batch.lend_each(|message| assert_eq!(message.byte_count(), 2));
/// ```
#[derive(Default)]
pub struct Batch {
    /// What was read, headers included.
    memory: Bytes,
    /// The parts in `memory`. Invariant: they lie within it, and the last one ends a message.
    places: Vec<Place>,
    /// How many of `places` were handed out: at the start of a message.
    at: usize,
    /// How many messages are left in `memory`.
    left: usize,
    /// Messages that have memory of their own: they come after those in `memory`.
    own: VecDeque<Message>,
}

/// Where a part of a message lies.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    start: u32,
    /// The length, and in the highest bit whether more parts of the message follow.
    length_and_more: u32,
}

const MORE: u32 = 1 << 31;

impl Place {
    /// `None` when it lies too far on, or is too long, to be noted down.
    #[inline]
    pub(crate) fn new(part: Range<usize>, more: bool) -> Option<Place> {
        let (start, length) = (u32::try_from(part.start).ok()?, u32::try_from(part.len()).ok()?);
        let flag = if more { MORE } else { 0 };
        (length < MORE).then_some(Place { start, length_and_more: length | flag })
    }

    #[inline]
    fn more(self) -> bool {
        self.length_and_more & MORE != 0
    }

    #[inline]
    fn length(self) -> usize {
        (self.length_and_more & !MORE) as usize
    }

    #[inline]
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.length()
    }
}

impl Batch {
    /// A batch without messages.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a message at the end: for a [`MessageDecoder`](crate::framing::MessageDecoder).
    pub fn push(&mut self, message: Message) {
        self.own.push_back(message);
    }

    /// Fills an empty batch with the messages at `places` in `memory`.
    pub(crate) fn fill(&mut self, memory: Bytes, mut places: Vec<Place>, messages: usize) {
        debug_assert!(self.is_empty(), "what lies in memory comes first");
        debug_assert!(places.last().is_none_or(|place| !place.more() && place.range().end <= memory.len()));
        // There was room for more of them.
        if places.len() < places.capacity() / 4 {
            places.shrink_to_fit();
        }
        (self.memory, self.places, self.at, self.left) = (memory, places, 0, messages);
    }

    /// How many bytes were read for the messages, about.
    pub(crate) fn bytes_read(&self) -> usize {
        self.memory.len() + self.own.iter().map(Message::byte_count).sum::<usize>()
    }

    /// Sees to it that the buffer that the messages were read into is not kept alive.
    pub(crate) fn leave_buffer(&mut self) {
        if self.left > 0 && !self.memory.is_unique() {
            self.copy_out();
        }
        self.own.iter_mut().for_each(|message| *message = message.detach());
    }

    /// How many messages are left.
    pub fn len(&self) -> usize {
        self.left + self.own.len()
    }

    /// Whether no message is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the messages that are left.
    pub fn byte_count(&self) -> usize {
        let placed = self.places[self.at..].iter().map(|place| place.length()).sum::<usize>();
        placed + self.own.iter().map(Message::byte_count).sum::<usize>()
    }

    /// Shows each message that is left to `visit`. Small parts are lent without counting references; parts of 16 KiB and
    /// more are shared, so that `visit` can pass them on without a copy.
    #[inline]
    pub fn lend_each(&self, mut visit: impl FnMut(MessageRef<'_>)) {
        let mut rest = &self.places[self.at..];
        while let Some((&first, after)) = rest.split_first() {
            if !first.more() && first.length() < SHARE_FROM {
                rest = after;
                visit(MessageRef(Lent::Slice(&self.memory[first.range()])));
            } else {
                let message;
                (message, rest) = split_message(rest);
                self.lend(message, &mut visit);
            }
        }
        self.own.iter().for_each(|message| visit(message.into()));
    }

    /// Keeps only the messages for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(MessageRef<'_>) -> bool) {
        let places = std::mem::take(&mut self.places);
        let mut rest = &places[std::mem::take(&mut self.at)..];
        self.left = 0;
        let mut kept_bytes = 0;
        while !rest.is_empty() {
            let message;
            (message, rest) = split_message(rest);
            let mut kept = false;
            self.lend(message, &mut |message| kept = keep(message));
            if kept {
                self.places.extend_from_slice(message);
                self.left += 1;
                kept_bytes += message.iter().map(|part| part.length()).sum::<usize>();
            }
        }
        self.own.retain(|message| keep(message.into()));
        // Those who are slow to receive must not keep much more alive than their messages count.
        if kept_bytes < self.memory.len() / 4 {
            self.copy_out();
        }
    }

    /// Forgets all messages.
    pub fn clear(&mut self) {
        *self = Batch::new();
    }

    /// Copies the parts that are left into memory of their own.
    fn copy_out(&mut self) {
        let rest = self.places.split_off(self.at);
        let mut memory = Vec::with_capacity(rest.iter().map(|place| place.length()).sum());
        let moved = rest.into_iter().map(|place| {
            let start = memory.len();
            memory.extend_from_slice(&self.memory[place.range()]);
            Place::new(start..memory.len(), place.more()).expect("it lies no further on than before")
        });
        (self.places, self.at) = (moved.collect(), 0);
        self.memory = memory.into();
    }

    /// Lends the message whose parts lie at `places`.
    fn lend(&self, places: &[Place], visit: &mut impl FnMut(MessageRef<'_>)) {
        let shared =
            places.len() > MOST_LENT_PARTS || places.iter().any(|place| place.length() >= SHARE_FROM);
        if shared {
            return visit((&self.share(places)).into());
        }
        let mut parts = [&[][..]; MOST_LENT_PARTS];
        for (part, place) in parts.iter_mut().zip(places) {
            *part = &self.memory[place.range()];
        }
        visit(MessageRef(Lent::Slices(&parts[..places.len()])));
    }

    fn share(&self, places: &[Place]) -> Message {
        places.iter().map(|place| self.memory.slice(place.range())).collect()
    }
}

impl Iterator for Batch {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        let Some(&first) = self.places.get(self.at) else {
            return self.own.pop_front();
        };
        self.left -= 1;
        if !first.more() {
            self.at += 1;
            return Some(Message::new(self.memory.slice(first.range())));
        }
        let (message, _) = split_message(&self.places[self.at..]);
        self.at += message.len();
        Some(self.share(message))
    }

    /// Exact. (An `ExactSizeIterator` will have an `is_empty` of its own.)
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl FusedIterator for Batch {}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("messages", &self.len()).finish_non_exhaustive()
    }
}

/// The places of the first message, and those of the others.
fn split_message(places: &[Place]) -> (&[Place], &[Place]) {
    let end = places.iter().position(|place| !place.more()).map_or(places.len(), |last| last + 1);
    places.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of parts of these lengths, in one piece of memory, with a byte before each part.
    fn batch(messages: &[&[usize]]) -> (Batch, Vec<Message>) {
        let (mut memory, mut places, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        for (message, lengths) in (0u8..).zip(messages) {
            for (i, length) in lengths.iter().enumerate() {
                memory.push(0xff);
                let start = memory.len();
                memory.resize(start + length, message);
                places.push(Place::new(start..start + length, i + 1 < lengths.len()).unwrap());
            }
            expected.push(lengths.iter().map(|length| vec![message; *length]).collect());
        }
        let mut batch = Batch::new();
        batch.fill(memory.into(), places, messages.len());
        (batch, expected)
    }

    fn lent(batch: &Batch) -> Vec<Message> {
        let mut lent = Vec::new();
        batch.lend_each(|message| lent.push(message.to_message()));
        lent
    }

    const MESSAGES: &[&[usize]] = &[&[3], &[0], &[1, 0, 2], &[SHARE_FROM], &[1, SHARE_FROM], &[1; 9]];

    #[test]
    fn messages_come_in_their_order_whether_lent_or_taken() {
        let (mut batch, mut expected) = batch(MESSAGES);
        batch.push(Message::from("own"));
        expected.push(Message::from("own"));
        while !expected.is_empty() {
            assert_eq!(batch.len(), expected.len());
            assert_eq!(batch.byte_count(), expected.iter().map(Message::byte_count).sum::<usize>());
            assert_eq!(lent(&batch), expected);
            assert_eq!(batch.next(), Some(expected.remove(0)));
        }
        assert!(batch.is_empty() && batch.next().is_none());
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let (mut batch, mut expected) = batch(MESSAGES);
        batch.push(Message::from("own"));
        batch.push(Message::from("x"));
        batch.next();
        let few = |parts: usize| parts < 3;
        batch.retain(|message| few(message.part_count()) && message.byte_count() != 1);
        expected.remove(0);
        expected.retain(|message| few(message.part_count()));
        expected.push(Message::from("own"));
        assert_eq!((lent(&batch), batch.len()), (expected.clone(), expected.len()));
        assert_eq!(batch.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_batch_that_leaves_its_buffer_has_the_same_messages_in_memory_of_its_own() {
        let (mut batch, messages) = batch(&[&[3, 0], &[10]]);
        let read = batch.memory.clone();
        batch.leave_buffer();
        assert!(read.is_unique());
        assert_eq!(lent(&batch), messages);

        let read = Bytes::from(vec![7; 100]);
        let mut batch = Batch::new();
        batch.push(Message::new(read.slice(..20)));
        assert_eq!(batch.bytes_read(), 20);
        batch.leave_buffer();
        assert!(read.is_unique());
        assert_eq!(lent(&batch), [Message::from(vec![7; 20])]);
    }

    #[test]
    fn what_is_left_of_many_messages_gets_memory_of_its_own() {
        let (mut batch, messages) = batch(&[&[500, 1], &[100], &[20, 10], &[400], &[5]]);
        let read = batch.memory.clone();
        batch.next();
        batch.retain(|message| message.byte_count() > 5);
        assert!(!read.is_unique());
        assert_eq!(lent(&batch), messages[1..4]);
        batch.next();
        batch.retain(|message| message.byte_count() < 100);
        assert!(read.is_unique());
        assert_eq!((lent(&batch), batch.len()), (messages[2..3].to_vec(), 1));
        assert_eq!(batch.next(), Some(messages[2].clone()));
    }

    #[test]
    fn large_parts_are_shared_and_small_ones_lent() {
        let (batch, _) = batch(&[&[SHARE_FROM], &[2]]);
        let mut shared = Vec::new();
        batch.lend_each(|message| shared.push(message.shared_parts().is_some()));
        assert_eq!(shared, [true, false]);
    }

    #[test]
    fn a_place_too_far_on_is_not_noted_down() {
        assert!(Place::new(0..1 << 31, false).is_none());
        assert!(Place::new((1 << 32)..(1 << 32) + 1, false).is_none());
        assert!(Place::new(0..(1 << 31) - 1, true).unwrap().more());
    }
}
