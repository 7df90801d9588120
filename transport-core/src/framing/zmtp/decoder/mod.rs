//! Frames to messages and control events.

mod in_place;
mod opened;
mod taken;

use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use smallvec::{SmallVec, smallvec};

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

    /// Moves all complete frames of `input` to `chunk`; false when there is none.
    fn refill(&mut self, input: &mut BytesMut) -> Result<bool, FramingError> {
        debug_assert_eq!(self.at, self.chunk.len(), "the chunk must be used up");
        self.let_go_of_chunk();
        let mut end = 0;
        while let Some(header) = Header::read(&input[end..]) {
            let taken = match self.check(header) {
                Ok(taken) => taken,
                // What is complete before it is delivered first, however the bytes were cut.
                Err(_) if end > 0 => break,
                Err(error) => return Err(error),
            };
            // `check` bounds the body by the limit, which is a usize.
            let frame = header.length.saturating_add(usize::try_from(header.body).unwrap_or(usize::MAX));
            if input.len() - end < frame {
                break;
            }
            self.scanned = taken;
            end += frame;
        }
        if end > 0 {
            self.chunk = input.split_to(end).freeze();
        }
        Ok(end > 0)
    }

    /// Gives the buffer back, so that the connection can use it again. Parts of an unfinished message that are small
    /// beside it are copied out first: a peer could otherwise make each of them keep a large buffer alive.
    fn let_go_of_chunk(&mut self) {
        let buffer = self.chunk.len();
        for part in &mut self.parts[self.own_parts..] {
            if part.len() < buffer / 4 {
                *part = Bytes::copy_from_slice(part);
            }
        }
        self.own_parts = self.parts.len();
        self.chunk = Bytes::new();
        self.at = 0;
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

    /// Decodes frames of `chunk` until an event is complete; `None` at its end.
    #[inline]
    fn next_in_chunk(&mut self) -> Result<Option<Event>, FramingError> {
        while let Some(header) = Header::read(&self.chunk[self.at..]) {
            let start = self.at + header.length;
            let end = self.at + frame_length(header);
            self.at = end;
            let body = self.chunk.slice(start..end);
            if header.flags & (MORE | COMMAND) == 0 && self.parts.is_empty() {
                return Ok(Some(Event::Message(Message::from_small_vec(smallvec![body]))));
            }
            if let Some(event) = self.uncommon_frame(header.flags, body)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Decodes frames at the front of `input`, each as a chunk of its own, until an event is complete.
    fn decode_front(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        while let Some(header) = Header::read(input) {
            let taken = self.check(header)?;
            let frame = frame_length(header);
            if input.len() < frame {
                break;
            }
            self.scanned = taken;
            self.chunk = input.split_to(frame).freeze();
            self.at = frame;
            let event = self.uncommon_frame(header.flags, self.chunk.slice(header.length..))?;
            self.let_go_of_chunk();
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// A frame of a multipart message, or a command.
    fn uncommon_frame(&mut self, flags: u8, body: Bytes) -> Result<Option<Event>, FramingError> {
        if flags & COMMAND != 0 { self.command(&body) } else { Ok(self.part(flags & MORE != 0, body)) }
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

/// The bytes of a frame whose header has been checked: its body is then bounded by a limit, which is a usize.
#[inline]
fn frame_length(header: Header) -> usize {
    header.length.saturating_add(usize::try_from(header.body).unwrap_or(usize::MAX))
}

/// Takes the first `end` bytes off; when they are few, they get memory of their own, since those who are slow to receive must
/// not keep a read buffer alive for each.
#[inline]
fn take_front(input: &mut BytesMut, end: usize) -> Bytes {
    if end >= SMALL_PART {
        return input.split_to(end).freeze();
    }
    let few = Bytes::copy_from_slice(&input[..end]);
    input.advance(end);
    few
}

/// Longest command after the handshake: PING has a few bytes, a subscription the bytes of its topic.
const COMMAND_LIMIT: usize = 64 << 10;

/// Parts from this size on are worth the memory that they lie in.
const SMALL_PART: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::MessageEncoder;
    use crate::framing::zmtp::encoder::ZmtpEncoder;
    use crate::write_buffer::WriteBuffer;
    use proptest::prelude::*;

    fn decoder(message: usize, parts: usize) -> ZmtpDecoder {
        let limits = Limits::default().with_message(message).with_parts(parts);
        ZmtpDecoder::new(&limits, None, true, Instant::now())
    }

    fn text(event: Event) -> String {
        format!("{event:?}")
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
        let mut decoder = decoder(1 << 20, 1000);
        let mut input = BytesMut::new();
        let command = [&[0x06][..], &60_000u64.to_be_bytes(), b"\x01X", &[0; 59_998]].concat();
        for _ in 0..10 {
            input.extend_from_slice(&[&command[..], b"\x01\x01a"].concat());
            assert!(decoder.decode(&mut input).unwrap().is_none());
        }
        decoder.let_go_of_chunk();
        assert!(decoder.parts.iter().all(|part| part.is_unique()), "each part has memory of its own");
        input.extend_from_slice(&[&[0x06][..], &65_537u64.to_be_bytes()].concat());
        assert!(matches!(decoder.decode(&mut input), Err(FramingError::TooLarge { .. })));
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
        fn any_split_of_the_bytes_gives_the_same_messages(
            sent in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![0usize..4, 250usize..260, 20_000usize..20_001], 1..5), 1..6),
            cuts in proptest::collection::vec(1usize..5000, 1..50),
        ) {
            let sent: Vec<Message> = sent
                .into_iter()
                .map(|parts| parts.into_iter().map(|size| vec![u8::try_from(size % 251).unwrap(); size]).collect())
                .collect();
            let mut out = WriteBuffer::new();
            for message in &sent {
                ZmtpEncoder { sealer: None, subscription_commands: false }.encode(message.into(), &mut out).unwrap();
            }
            let bytes = out.to_vec();
            let mut decoder = decoder(1 << 20, 10);
            let mut received = Vec::new();
            let mut input = BytesMut::new();
            let mut rest = &bytes[..];
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                input.extend_from_slice(now);
                rest = later;
                decoder.decode_many(&mut input, &mut received, 2).unwrap();
                if rest.is_empty() {
                    break;
                }
            }
            decoder.decode_many(&mut input, &mut received, usize::MAX).unwrap();
            prop_assert!(!decoder.is_mid_message(&input));
            prop_assert_eq!(received, sent);
        }

        #[test]
        fn lending_gives_the_same_messages_as_decoding(
            bytes in proptest::collection::vec(prop_oneof![0u8..8, Just(4), any::<u8>()], 0..200),
            cut in 0usize..200,
            taken_before in 0usize..3,
        ) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let mut expected = Vec::new();
            let mut plain = decoder(1000, 4);
            let mut input = BytesMut::from(&bytes[..]);
            let end = loop {
                match plain.decode(&mut input) {
                    Ok(Some(Event::Message(message))) => expected.push(message),
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let mut lent = Vec::new();
            let mut lending = decoder(1000, 4);
            let mut input = BytesMut::from(one);
            let mut failed = None;
            for _ in 0..taken_before {
                match lending.decode(&mut input) {
                    Ok(Some(Event::Message(message))) => lent.push(message),
                    Ok(_) => {}
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            for more in [&[][..], two] {
                input.extend_from_slice(more);
                while failed.is_none() {
                    match lending.decode_each(&mut input, &mut |message| lent.push(message.to_message())) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(error) => failed = Some(error),
                    }
                }
            }
            prop_assert_eq!(lent, expected);
            prop_assert_eq!(failed, end);
        }

        #[test]
        fn batches_give_the_same_messages_as_decoding(
            bytes in proptest::collection::vec(prop_oneof![0u8..8, Just(4), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(1usize..40, 1..10),
            max in 1usize..5,
            one_by_one in 0usize..3,
        ) {
            let mut plain = decoder(1000, 4);
            let mut expected = Vec::new();
            let mut input = BytesMut::from(&bytes[..]);
            let end = loop {
                match plain.decode(&mut input) {
                    Ok(Some(event)) => expected.push(text(event)),
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let mut batching = decoder(1000, 4);
            let (mut events, mut failed) = (Vec::new(), None);
            let (mut input, mut rest) = (BytesMut::new(), &bytes[..]);
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                input.extend_from_slice(now);
                rest = later;
                // Some are decoded one by one before.
                for _ in 0..one_by_one {
                    match batching.decode(&mut input) {
                        Ok(event) => events.extend(event.map(text)),
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                while failed.is_none() {
                    let mut batch = Batch::new();
                    let decoded = batching.decode_batch(&mut input, &mut batch, max);
                    let count = batch.len();
                    prop_assert!(count <= max);
                    events.extend(batch.map(|message| text(Event::Message(message))));
                    match decoded {
                        Ok(None) if count == 0 => break,
                        Ok(event) => events.extend(event.map(text)),
                        Err(error) => failed = Some(error),
                    }
                }
                if rest.is_empty() || failed.is_some() {
                    break;
                }
            }
            prop_assert_eq!(events, expected);
            prop_assert_eq!(failed, end);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all(&mut decoder(1000, 4), &bytes);
        }
    }
}
