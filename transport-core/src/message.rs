//! Messages: one or more parts of bytes.

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

/// A message: one or more parts of bytes, sent and received as a whole.
///
/// The parts of a received message are slices of the buffer that the bytes arrived in: cheap to keep for a
/// moment, but a small part that is kept for long keeps that buffer alive: 128 KiB, up to 384 KiB where it came between
/// large messages, or as much as a larger message that came with it. [`Message::detach`] copies the parts out for that.
///
/// # Examples
///
/// ```
/// use transport_core::Message;
/// let greeting = Message::from("hello");
/// let order: Message = ["buy", "3 apples"].into_iter().collect();
/// assert_eq!(order.part_count(), 2);
/// assert_eq!(&order[1][..], b"3 apples");
/// # let _ = greeting;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    // Inline room for one part: a Vec costs 8 to 17 % of throughput at 64 bytes.
    // Never empty.
    parts: SmallVec<[Bytes; 1]>,
}

impl Message {
    /// A message of one part.
    pub fn new(part: impl Into<Bytes>) -> Message {
        Message { parts: smallvec![part.into()] }
    }

    pub(crate) fn from_small_vec(parts: SmallVec<[Bytes; 1]>) -> Message {
        debug_assert!(!parts.is_empty(), "a message has at least one part");
        Message { parts }
    }

    /// The parts.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// How many parts there are: at least one.
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// The bytes of all parts together.
    pub fn byte_count(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Adds a part at the end.
    pub fn push(&mut self, part: impl Into<Bytes>) {
        self.parts.push(part.into());
    }

    /// The parts, by value.
    pub fn into_parts(self) -> impl ExactSizeIterator<Item = Bytes> {
        self.parts.into_iter()
    }

    /// The first part as text, if it is UTF-8.
    pub fn to_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.parts[0]).ok()
    }

    /// A copy that shares no memory with the buffer that this message arrived in.
    #[must_use]
    pub fn detach(&self) -> Message {
        Message { parts: self.parts.iter().map(|part| Bytes::copy_from_slice(part)).collect() }
    }
}

impl std::ops::Index<usize> for Message {
    type Output = Bytes;

    /// The part at `index`.
    ///
    /// # Panics
    ///
    /// When there is no such part.
    fn index(&self, index: usize) -> &Bytes {
        &self.parts[index]
    }
}

/// Collects parts; of no parts it makes a message of one empty part, since a message always has one.
impl<P: Into<Bytes>> FromIterator<P> for Message {
    fn from_iter<I: IntoIterator<Item = P>>(parts: I) -> Message {
        let mut parts: SmallVec<[Bytes; 1]> = parts.into_iter().map(Into::into).collect();
        if parts.is_empty() {
            parts.push(Bytes::new());
        }
        Message { parts }
    }
}

macro_rules! message_from {
    ($($type:ty),*) => {$(
        impl From<$type> for Message {
            fn from(part: $type) -> Message {
                Message::new(part)
            }
        }
    )*};
}
message_from!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

impl From<bytes::BytesMut> for Message {
    fn from(part: bytes::BytesMut) -> Message {
        Message::new(part.freeze())
    }
}

/// A message that is lent for sending.
///
/// Sending borrows: small parts are copied into the write buffer and parts of 16 KiB and more are shared by
/// reference count, so the caller keeps the message and can send it again. A plain slice has no reference count
/// and is always copied.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a>(pub(crate) Lent<'a>);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Lent<'a> {
    Slice(&'a [u8]),
    Parts(&'a [Bytes]),
    /// Never empty.
    Slices(&'a [&'a [u8]]),
    Headed(&'a Headed<'a>),
    /// Parts in front of another message. Those in front are never empty.
    Behind(&'a [Bytes], &'a MessageRef<'a>),
}

/// A part that goes before a message that is lent already: the head of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headed<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) rest: MessageRef<'a>,
}

/// Messages of more parts are not lent but shared.
pub(crate) const MOST_LENT_PARTS: usize = 8;

impl<'a> MessageRef<'a> {
    /// The same message with parts in front of it, such as the envelope of a request.
    #[must_use]
    pub fn behind(&'a self, envelope: &'a [Bytes]) -> MessageRef<'a> {
        if envelope.is_empty() { *self } else { MessageRef(Lent::Behind(envelope, self)) }
    }

    /// How many parts there are: at least one.
    pub fn part_count(&self) -> usize {
        match self.0 {
            Lent::Slice(_) => 1,
            Lent::Parts(parts) => parts.len(),
            Lent::Slices(slices) => slices.len(),
            Lent::Headed(headed) => 1 + headed.rest.part_count(),
            Lent::Behind(envelope, rest) => envelope.len() + rest.part_count(),
        }
    }

    /// The bytes of all parts together.
    pub fn byte_count(&self) -> usize {
        match self.0 {
            Lent::Slice(slice) => slice.len(),
            Lent::Parts(parts) => parts.iter().map(Bytes::len).sum(),
            Lent::Slices(slices) => slices.iter().map(|slice| slice.len()).sum(),
            Lent::Headed(headed) => headed.head.len() + headed.rest.byte_count(),
            Lent::Behind(envelope, rest) => {
                envelope.iter().map(Bytes::len).sum::<usize>() + rest.byte_count()
            }
        }
    }

    /// The bytes of each part.
    pub fn parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = (self.part_count() > 0).then_some(*self);
        std::iter::from_fn(move || {
            let (first, others) = rest?.split_first();
            rest = others;
            Some(first)
        })
    }

    /// The parts as [`Bytes`], unless the message is lent as plain slices: for an encoder that hands large parts to
    /// [`WriteBuffer::put_bytes`](crate::WriteBuffer::put_bytes).
    pub fn shared_parts(&self) -> Option<&'a [Bytes]> {
        match self.0 {
            Lent::Parts(parts) => Some(parts),
            Lent::Slice(_) | Lent::Slices(_) | Lent::Headed(_) | Lent::Behind(..) => None,
        }
    }

    /// An owned message with the same parts: [`Bytes`] are shared, plain slices are copied.
    pub fn to_message(&self) -> Message {
        match self.0 {
            Lent::Slice(slice) => Message::new(Bytes::copy_from_slice(slice)),
            Lent::Parts(parts) => parts.iter().cloned().collect(),
            Lent::Slices(slices) => slices.iter().map(|slice| Bytes::copy_from_slice(slice)).collect(),
            Lent::Headed(headed) => {
                let mut message: Message = std::iter::once(Bytes::copy_from_slice(headed.head)).collect();
                message.parts.extend(headed.rest.to_message().parts);
                message
            }
            Lent::Behind(envelope, rest) => {
                let rest = rest.to_message().parts;
                envelope.iter().cloned().chain(rest).collect()
            }
        }
    }

    /// The first part, and the message that the others make; `None` when there are no others.
    #[inline]
    pub fn split_first(self) -> (&'a [u8], Option<MessageRef<'a>>) {
        match self.0 {
            Lent::Slice(slice) => (slice, None),
            Lent::Slices([head, rest]) => (head, Some(MessageRef(Lent::Slice(rest)))),
            Lent::Slices([head, rest @ ..]) => {
                (head, (!rest.is_empty()).then_some(MessageRef(Lent::Slices(rest))))
            }
            Lent::Parts([head, rest @ ..]) => {
                (head, (!rest.is_empty()).then_some(MessageRef(Lent::Parts(rest))))
            }
            Lent::Headed(headed) => (headed.head, Some(headed.rest)),
            Lent::Behind([head], rest) => (head, Some(*rest)),
            Lent::Behind([head, others @ ..], rest) => (head, Some(MessageRef(Lent::Behind(others, rest)))),
            Lent::Slices([]) | Lent::Parts([]) | Lent::Behind([], _) => {
                unreachable!("a message has at least one part")
            }
        }
    }
}

impl<'a> From<&'a Message> for MessageRef<'a> {
    fn from(message: &'a Message) -> MessageRef<'a> {
        MessageRef(Lent::Parts(&message.parts))
    }
}

impl<'a> From<&'a Bytes> for MessageRef<'a> {
    fn from(part: &'a Bytes) -> MessageRef<'a> {
        MessageRef(Lent::Parts(std::slice::from_ref(part)))
    }
}

impl<'a> From<&'a [u8]> for MessageRef<'a> {
    fn from(part: &'a [u8]) -> MessageRef<'a> {
        MessageRef(Lent::Slice(part))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for MessageRef<'a> {
    fn from(part: &'a [u8; N]) -> MessageRef<'a> {
        MessageRef(Lent::Slice(part))
    }
}

impl<'a> From<&'a Vec<u8>> for MessageRef<'a> {
    fn from(part: &'a Vec<u8>) -> MessageRef<'a> {
        MessageRef(Lent::Slice(part))
    }
}

impl<'a> From<&'a str> for MessageRef<'a> {
    fn from(part: &'a str) -> MessageRef<'a> {
        MessageRef(Lent::Slice(part.as_bytes()))
    }
}

impl<'a> From<&'a String> for MessageRef<'a> {
    fn from(part: &'a String) -> MessageRef<'a> {
        MessageRef(Lent::Slice(part.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_no_parts_becomes_one_empty_part() {
        let message: Message = Vec::<Bytes>::new().into_iter().collect();
        assert_eq!((message.part_count(), message.byte_count()), (1, 0));
    }

    #[test]
    fn a_detached_message_shares_no_memory() {
        let buffer = Bytes::from(vec![7; 1000]);
        let message = Message::new(buffer.slice(10..20));
        let detached = message.detach();
        assert_eq!(message, detached);
        assert_ne!(message[0].as_ptr(), detached[0].as_ptr());
    }

    #[test]
    fn a_lent_message_counts_as_the_message_does() {
        let message: Message = ["a", "bc"].into_iter().collect();
        let lent = MessageRef::from(&message);
        assert_eq!((lent.part_count(), lent.byte_count()), (2, 3));
        assert_eq!(lent.to_message(), message);
        assert_eq!(MessageRef::from("x").parts().collect::<Vec<_>>(), [b"x"]);
    }

    #[test]
    fn an_envelope_goes_in_front() {
        let envelope = [Bytes::from_static(b"id"), Bytes::new()];
        let message: Message = ["a", "bc"].into_iter().collect();
        for (lent, expected) in [
            (MessageRef::from("x"), ["id", "", "x"].into_iter().collect::<Message>()),
            (MessageRef::from(&message), ["id", "", "a", "bc"].into_iter().collect()),
        ] {
            let lent = lent.behind(&envelope);
            assert_eq!(lent.to_message(), expected);
            assert_eq!(
                (lent.part_count(), lent.byte_count()),
                (expected.part_count(), expected.byte_count())
            );
            assert!(lent.parts().eq(expected.parts()));
        }
        assert_eq!(MessageRef::from("x").behind(&[]).part_count(), 1);
    }

    #[test]
    fn however_a_message_is_lent_it_is_the_same() {
        let message: Message = ["a", "bc", "d"].into_iter().collect();
        let slices = [&b"a"[..], b"bc", b"d"];
        let (head, rest) = MessageRef(Lent::Slices(&slices)).split_first();
        let headed = Headed { head, rest: rest.unwrap() };
        for lent in
            [MessageRef::from(&message), MessageRef(Lent::Slices(&slices)), MessageRef(Lent::Headed(&headed))]
        {
            assert_eq!((lent.part_count(), lent.byte_count()), (3, 4));
            assert_eq!(lent.parts().collect::<Vec<_>>(), slices);
            assert_eq!(lent.to_message(), message);
            let (head, rest) = lent.split_first();
            assert_eq!((head, rest.unwrap().to_message()), (&b"a"[..], ["bc", "d"].into_iter().collect()));
        }
        assert!(MessageRef::from("a").split_first().1.is_none());
        assert!(MessageRef(Lent::Slices(&slices[..1])).split_first().1.is_none());
    }
}
