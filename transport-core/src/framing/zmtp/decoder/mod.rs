//! Frames to messages and control events.

#[cfg(test)]
mod agreement;
mod chunk;
mod in_place;
mod opened;
mod taken;

use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use smallvec::SmallVec;

use self::taken::{MessageLimits, Taken};
use super::command;
use super::frame::{COMMAND, Header, MORE};
use super::heartbeat::Heartbeat;
use super::sealed::SealedFrames;
use crate::batch::Batch;
use crate::framing::{Control, Event, FramingError, MessageDecoder, Opener};
use crate::limits::{Limits, PART_OVERHEAD};
use crate::message::{Message, MessageRef};

/// Decodes in two passes, so that a buffer full of small messages costs one split and each message one slice:
///
/// ```text
/// input   [frame frame frame fra]     scan: limits are checked as soon as a header is there
/// chunk   [frame frame frame]         split off and frozen once
///          ^at  -> slices
/// ```
pub(super) struct ZmtpDecoder {
    limits: MessageLimits,
    heartbeat: Heartbeat,
    sealed: Option<Box<SealedFrames>>,
    /// Whether SUBSCRIBE and CANCEL are messages to the application.
    takes_subscriptions: bool,
    /// Complete frames, within the limits.
    chunk: Bytes,
    /// How much of `chunk` has been decoded. Invariant: at the start of a frame, or at the end.
    at: usize,
    /// What the unfinished message has taken: at the end of `chunk`, or, where frames are sealed, when it was opened.
    scanned: Taken,
    /// The parts of the unfinished message at `at`.
    parts: SmallVec<[Bytes; 1]>,
    /// How many of `parts` do not lie in `chunk`.
    own_parts: usize,
}

impl ZmtpDecoder {
    pub(super) fn new(
        limits: &Limits,
        opener: Option<Box<dyn Opener>>,
        may_ping: bool,
        now: Instant,
    ) -> ZmtpDecoder {
        ZmtpDecoder {
            limits: MessageLimits { bytes: limits.message, parts: limits.parts },
            heartbeat: Heartbeat::new(limits, may_ping, now),
            sealed: opener.map(|opener| Box::new(SealedFrames::new(opener, limits.message))),
            takes_subscriptions: false,
            chunk: Bytes::new(),
            at: 0,
            scanned: Taken::default(),
            parts: SmallVec::new(),
            own_parts: 0,
        }
    }

    pub(super) fn with_subscriptions(mut self, taken: bool) -> ZmtpDecoder {
        self.takes_subscriptions = taken;
        self
    }

    /// Checks a frame against the limits before its body has arrived.
    #[inline]
    fn check(&self, header: Header) -> Result<Taken, FramingError> {
        if header.flags & COMMAND != 0 {
            let limit = COMMAND_LIMIT.min(self.limits.bytes);
            let fits = header.body <= limit as u64;
            let too_large = FramingError::TooLarge { announced: header.body, limit };
            return if fits { Ok(self.scanned) } else { Err(too_large) };
        }
        let taken = self.scanned.add(header.body, &self.limits)?;
        Ok(if header.flags & MORE != 0 { taken } else { Taken::default() })
    }

    /// Adds a part to the message; the message, when it was the last one.
    fn part(&mut self, more: bool, content: Bytes) -> Option<Event> {
        self.parts.push(content);
        if more {
            return None;
        }
        self.own_parts = 0;
        Some(Event::Message(Message::from_small_vec(std::mem::take(&mut self.parts))))
    }

    /// PING, PONG and, where they are taken, subscriptions; every other command after the handshake is ignored, as libzmq
    /// does.
    fn command(&mut self, body: &Bytes) -> Result<Option<Event>, FramingError> {
        let Some(command) = command::read(body) else {
            return Ok(None);
        };
        if self.takes_subscriptions
            && let Some(subscription) = command::read_subscription(&command)
        {
            return Ok(Some(Event::Message(Message::new(subscription))));
        }
        let control = command::read_control(&command)?;
        if let Some(Control::Ping { ttl, .. }) = &control {
            self.heartbeat.ping_received(*ttl);
        }
        Ok(control.map(Event::Control))
    }
}

impl MessageDecoder for ZmtpDecoder {
    #[inline]
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        if self.sealed.is_some() {
            return self.decode_sealed(input);
        }
        loop {
            if let Some(event) = self.next_in_chunk()? {
                return Ok(Some(event));
            }
            if !self.refill(input)? {
                return Ok(None);
            }
        }
    }

    /// Without the detour over `chunk`: whole messages are lent where they lie in `input`.
    fn decode_each(
        &mut self,
        input: &mut BytesMut,
        visit: &mut dyn FnMut(MessageRef<'_>),
    ) -> Result<Option<Event>, FramingError> {
        if self.sealed.is_some() {
            return self.lend_sealed(input, visit);
        }
        while let Some(event) = self.next_in_chunk()? {
            match event {
                Event::Message(message) => visit((&message).into()),
                other => return Ok(Some(other)),
            }
        }
        self.let_go_of_chunk();
        loop {
            let lent = self.lend_messages(input, visit);
            input.advance(lent);
            match self.decode_front(input)? {
                Some(Event::Message(message)) => visit((&message).into()),
                other => return Ok(other),
            }
        }
    }

    /// Only whole messages are taken from `input`, and only noted down.
    fn decode_batch(
        &mut self,
        input: &mut BytesMut,
        batch: &mut Batch,
        max: usize,
    ) -> Result<Option<Event>, FramingError> {
        if !batch.is_empty() {
            return Ok(None);
        }
        let mut event = self.next_in_chunk()?;
        if event.is_none() && self.sealed.is_some() {
            event = self.batch_sealed(input, batch, max)?;
        } else if event.is_none() {
            self.let_go_of_chunk();
            let (end, places, messages) = self.find_messages(input, max);
            if messages > 0 {
                batch.fill(take_front(input, end), places, messages);
                return Ok(None);
            }
            event = self.decode_front(input)?;
        }
        match event {
            Some(Event::Message(message)) => batch.push(message),
            other => return Ok(other),
        }
        Ok(None)
    }

    fn frame_length(&self, input: &[u8]) -> Option<usize> {
        Header::read(input).map(frame_length)
    }

    fn is_mid_message(&self, input: &BytesMut) -> bool {
        !input.is_empty() || !self.parts.is_empty()
    }

    fn give_back(&mut self, input: &mut BytesMut) {
        if self.at < self.chunk.len() {
            let mut undecoded = BytesMut::from(&self.chunk[self.at..]);
            undecoded.extend_from_slice(input);
            *input = undecoded;
            self.at = self.chunk.len();
            // The scan goes back to where the parts end.
            let bytes = self.parts.iter().map(|part| part.len() + PART_OVERHEAD).sum();
            self.scanned = Taken { bytes, parts: self.parts.len() };
        }
        self.let_go_of_chunk();
    }

    fn held_bytes(&self) -> usize {
        self.chunk.len() - self.at + self.parts.iter().map(|part| part.len() + PART_OVERHEAD).sum::<usize>()
    }

    fn heard(&mut self, now: Instant) {
        self.heartbeat.heard(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.heartbeat.deadline()
    }

    fn on_deadline(&mut self, now: Instant) -> Result<Option<Control>, FramingError> {
        self.heartbeat.on_deadline(now)
    }

    fn sign_of_life(&self) -> Option<(Duration, Control)> {
        self.heartbeat.sign_of_life()
    }
}

/// The bytes of a frame, of which there may never be so many: whoever adds to them must mind the end of a usize.
#[inline]
fn frame_length(header: Header) -> usize {
    header.length.saturating_add(usize::try_from(header.body).unwrap_or(usize::MAX))
}

/// Takes the first `end` bytes off; when they are few, they get memory of their own, since those who are slow to receive must
/// not keep a read buffer alive for each.
#[inline]
fn take_front(input: &mut BytesMut, end: usize) -> Bytes {
    if end >= SMALL_BATCH {
        return input.split_to(end).freeze();
    }
    let few = Bytes::copy_from_slice(&input[..end]);
    input.advance(end);
    few
}

/// Longest command after the handshake: PING has a few bytes, a subscription the bytes of its topic.
const COMMAND_LIMIT: usize = 64 << 10;

/// Messages that come together and are so few get memory of their own.
const SMALL_BATCH: usize = 4 << 10;

/// Parts of an unfinished message from this size on are worth the read buffer that they lie in.
const LARGE_PART: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn decoder(message: usize, parts: usize) -> ZmtpDecoder {
        let limits = Limits::default().with_message(message).with_parts(parts);
        ZmtpDecoder::new(&limits, None, true, Instant::now())
    }

    fn decode_all(decoder: &mut ZmtpDecoder, bytes: &[u8]) -> Result<Vec<Message>, FramingError> {
        let mut input = BytesMut::from(bytes);
        let mut messages = Vec::new();
        while let Some(event) = decoder.decode(&mut input)? {
            if let Event::Message(message) = event {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_body_arrives() {
        for size in [1u64 << 63, u64::MAX, 64 << 30, 1001] {
            let mut bytes = vec![0x02];
            bytes.extend_from_slice(&size.to_be_bytes());
            let error = decode_all(&mut decoder(1000, 10), &bytes).unwrap_err();
            assert!(matches!(error, FramingError::TooLarge { limit: 1000, .. }), "{error}");
            bytes[0] |= COMMAND;
            assert!(decode_all(&mut decoder(1000, 10), &bytes).is_err());
        }
    }

    #[test]
    fn the_limit_holds_for_the_sum_of_all_parts() {
        let part = |flags| [&[flags, 100][..], &[0; 100]].concat();
        let three = [part(1), part(1), part(0)].concat();
        assert_eq!(decode_all(&mut decoder(348, 10), &three).unwrap().len(), 1);
        assert!(decode_all(&mut decoder(347, 10), &three).is_err());
        // Two messages do not add up.
        let two = [part(0), part(0)].concat();
        assert_eq!(decode_all(&mut decoder(116, 10), &two).unwrap().len(), 2);
    }

    #[test]
    fn a_flood_of_empty_parts_ends_at_the_limit() {
        let bytes = [1u8, 0].repeat(2_000_000);
        let mut decoder = decoder(16 << 20, 1024);
        let error = decode_all(&mut decoder, &bytes).unwrap_err();
        assert_eq!(error, FramingError::TooManyParts { limit: 1024 });
        assert_eq!(decoder.parts.len(), 1024);
    }

    #[test]
    fn messages_before_a_violation_are_delivered() {
        let mut decoder = decoder(1000, 10);
        let mut input = BytesMut::from(&b"\x00\x01a\x02\xff\xff\xff\xff\xff\xff\xff\xff"[..]);
        assert!(matches!(decoder.decode(&mut input), Ok(Some(Event::Message(_)))));
        assert!(decoder.decode(&mut input).is_err());
    }

    #[test]
    fn a_frame_of_2_to_the_64_bytes_behind_a_message_is_refused_or_waited_for_in_place_too() {
        for (limit, refused) in [(1000, true), (usize::MAX, false)] {
            let bytes = &b"\x00\x08eightabc\x02\xff\xff\xff\xff\xff\xff\xff\xff"[..];
            let (mut input, mut batching) = (BytesMut::from(bytes), decoder(limit, 10));
            let mut batch = Batch::new();
            assert!(batching.decode_batch(&mut input, &mut batch, 10).is_ok());
            assert_eq!((batch.len(), input.len()), (1, 9));
            assert_eq!(batching.decode_batch(&mut input, &mut Batch::new(), 10).is_err(), refused);
            let (mut input, mut lending) = (BytesMut::from(bytes), decoder(limit, 10));
            let mut lent = 0;
            assert_eq!(lending.decode_each(&mut input, &mut |_| lent += 1).is_err(), refused);
            assert_eq!((lent, input.len()), (1, 9));
        }
    }

    #[test]
    fn reserved_flags_and_long_form_of_short_bodies_are_accepted() {
        let messages = decode_all(&mut decoder(1000, 10), b"\xf8\x01a\x02\0\0\0\0\0\0\0\x01b").unwrap();
        assert_eq!(messages, [Message::from("a"), Message::from("b")]);
    }

    #[test]
    fn commands_between_the_parts_leave_the_message_intact() {
        let mut decoder = decoder(1000, 10);
        let mut input = BytesMut::from(&b"\x01\x02p1\x04\x08\x04PING\0\0c\x00\x02p2"[..]);
        let Ok(Some(Event::Control(Control::Ping { context, .. }))) = decoder.decode(&mut input) else {
            panic!("the ping comes first")
        };
        assert_eq!(context, "c");
        assert!(decoder.is_mid_message(&input));
        let Ok(Some(Event::Message(message))) = decoder.decode(&mut input) else {
            panic!("then the message")
        };
        assert_eq!(message, ["p1", "p2"].into_iter().collect());
        assert!(!decoder.is_mid_message(&input));
    }

    #[test]
    fn what_is_given_back_decodes_as_before() {
        let mut decoder = decoder(1000, 2);
        // Two messages, and one of two parts; then one part too many.
        let bytes = b"\x00\x01a\x00\x01b\x01\x01c\x00\x01d\x01\x00\x01\x00\x00\x00";
        let mut input = BytesMut::from(&bytes[..]);
        for _ in 0..2 {
            assert!(matches!(decoder.decode(&mut input), Ok(Some(Event::Message(_)))));
            decoder.give_back(&mut input);
        }
        assert!(
            matches!(decoder.decode(&mut input), Ok(Some(Event::Message(message))) if message.part_count() == 2)
        );
        decoder.give_back(&mut input);
        assert_eq!(decoder.decode(&mut input).unwrap_err(), FramingError::TooManyParts { limit: 2 });
    }

    #[test]
    fn a_small_part_does_not_keep_a_large_buffer_alive() {
        type Decode = fn(&mut ZmtpDecoder, &mut BytesMut) -> Result<Option<Event>, FramingError>;
        let ways: [Decode; 3] = [
            |decoder, input| decoder.decode(input),
            |decoder, input| decoder.decode_each(input, &mut |_| panic!("it is unfinished")),
            |decoder, input| decoder.decode_batch(input, &mut Batch::new(), 10),
        ];
        for decode in ways {
            let mut decoder = decoder(1 << 20, 1000);
            let mut input = BytesMut::new();
            let command = [&[0x06][..], &60_000u64.to_be_bytes(), b"\x01X", &[0; 59_998]].concat();
            for before in [&command[..], b""].repeat(5) {
                input.reserve(100_000);
                input.extend_from_slice(&[before, b"\x01\x01a"].concat());
                assert!(decode(&mut decoder, &mut input).unwrap().is_none());
            }
            decoder.let_go_of_chunk();
            assert_eq!(decoder.parts.len(), 10);
            assert!(decoder.parts.iter().all(|part| part.is_unique()), "each part has memory of its own");
            input.extend_from_slice(&[&[0x06][..], &65_537u64.to_be_bytes()].concat());
            assert!(matches!(decode(&mut decoder, &mut input), Err(FramingError::TooLarge { .. })));
        }
    }

    #[test]
    fn a_small_batch_does_not_keep_a_large_buffer_alive() {
        let (mut decoder, mut batches) = (decoder(1000, 10), Vec::new());
        let mut input = BytesMut::with_capacity(100_000);
        let buffer = input.as_ptr();
        for _ in 0..10 {
            input.extend_from_slice(b"\x00\x01a\x01\x00\x00\x01b");
            let mut batch = Batch::new();
            assert!(decoder.decode_batch(&mut input, &mut batch, 10).unwrap().is_none());
            assert_eq!(batch.len(), 2);
            batches.push(batch);
        }
        input.reserve(100_000);
        assert_eq!(input.as_ptr(), buffer, "it is used again");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all(&mut decoder(1000, 4), &bytes);
        }
    }
}
