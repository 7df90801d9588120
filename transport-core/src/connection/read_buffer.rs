//! What has arrived and is not decoded yet, and how much to read at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use crate::framing::MessageDecoder;
use crate::write_buffer::SHARE_FROM;

/// Grows with the traffic, and gives memory back when it has become small.
pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    /// How much to read at once: grows with the traffic.
    read_size: usize,
    /// Reads in a row that filled little of their room.
    small_reads: u32,
    /// The length of the frames that come, where they are large and a read has room for one; else 0.
    large_frame: usize,
    /// The most that `bytes` has held since its memory was new.
    most_held: usize,
    /// Bytes that came, and those of them that were handed out as messages, since `useless` was last decided on.
    arrived: usize,
    handed_out: usize,
    /// Most of what came last were no messages.
    useless: bool,
}

/// Small reads go through the stack, so that an idle connection needs no buffer and a lone message only one of its
/// own size.
pub(super) const STACK_READ: usize = 2 << 10;
const LARGEST_READ: usize = 128 << 10;
/// So many reads in a row that fill less than an eighth of their room mean that the traffic has become small.
const SMALL_READS: u32 = 16;

impl ReadBuffer {
    /// The buffer of the handshake is of no use any more, but for what it holds.
    pub(super) fn new(handshake: BytesMut) -> ReadBuffer {
        let bytes = if handshake.is_empty() { BytesMut::new() } else { handshake };
        let arrived = bytes.len();
        ReadBuffer {
            bytes,
            read_size: STACK_READ,
            small_reads: 0,
            large_frame: 0,
            most_held: 0,
            arrived,
            handed_out: 0,
            useless: false,
        }
    }

    /// Messages of so many bytes are handed out together; false when they are not worth the memory that they keep alive: a peer
    /// that sends little else than commands has each of few messages keep a buffer full of those.
    pub(super) fn hand_out(&mut self, bytes: usize) -> bool {
        self.handed_out += bytes;
        let used = self.arrived.saturating_sub(self.bytes.len());
        if used >= 2 * LARGEST_READ {
            self.useless = self.handed_out < used / 2;
            (self.arrived, self.handed_out) = (self.bytes.len(), 0);
        }
        !self.useless || bytes >= LARGEST_READ / 2
    }

    /// Adds what came by another way.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.arrived += bytes.len();
        self.most_held = self.most_held.max(self.bytes.len());
    }

    /// Reads once, and tells how much came: 0 at the end of the stream.
    pub(super) fn poll_fill<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        decoder: &dyn MessageDecoder,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.read_size == STACK_READ && self.bytes.is_empty() {
            let mut stack = [0; STACK_READ];
            let mut buffer = ReadBuf::new(&mut stack);
            ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
            let length = buffer.filled().len();
            self.push(buffer.filled());
            self.grow(length, STACK_READ);
            return Poll::Ready(Ok(length));
        }
        // One large message must not leave a large buffer for many small ones.
        if self.bytes.is_empty() && self.most_held > 3 * LARGEST_READ {
            self.release_memory();
        }
        let room = self.make_room(decoder);
        let result = tokio_util::io::poll_read_buf(Pin::new(io), cx, &mut (&mut self.bytes).limit(room));
        if let Poll::Ready(Ok(length)) = &result {
            self.most_held = self.most_held.max(self.bytes.len());
            self.arrived += *length;
            self.grow(*length, room);
        }
        result
    }

    /// Makes room to read into, and tells how much of it to use. Reads of large frames end where one of them does, so that no
    /// part of the next one has to be moved when they are handed out. It is never more room than for twice what has arrived,
    /// or than traffic so far has needed.
    fn make_room(&mut self, decoder: &dyn MessageDecoder) -> usize {
        let frame = decoder.frame_length(&self.bytes).filter(|length| *length >= SHARE_FROM);
        if !self.bytes.is_empty() {
            self.large_frame = frame.filter(|length| *length <= LARGEST_READ).unwrap_or(0);
        }
        let (held, large) = (self.bytes.len(), self.large_frame);
        let needed = match frame {
            Some(length) => length.saturating_sub(held).clamp(1, self.read_size.max(held)),
            None if large > 0 && self.read_size == LARGEST_READ => large * (2 * LARGEST_READ).div_ceil(large),
            None => self.read_size,
        };
        if self.bytes.capacity() - held < needed {
            self.bytes.reserve(needed);
        }
        let room = self.bytes.capacity() - held;
        match frame {
            Some(_) => needed + (room - needed).checked_div(large).unwrap_or(0) * large,
            None if large > 0 => needed,
            None => room.min(LARGEST_READ),
        }
    }

    /// Reads more at once when the last read filled its room, and less when many did not.
    fn grow(&mut self, length: usize, room: usize) {
        if length == room && self.read_size < LARGEST_READ {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        self.small_reads = if length < room / 8 { self.small_reads + 1 } else { 0 };
        if self.small_reads >= SMALL_READS && self.read_size > STACK_READ && self.bytes.len() == length {
            self.read_size = STACK_READ;
            // Of the old buffer only what has just come is left.
            self.bytes = BytesMut::from(&self.bytes[..]);
        }
    }

    /// Whether there is more memory than an idle connection keeps.
    pub(super) fn holds_memory(&self) -> bool {
        self.read_size > STACK_READ || self.bytes.capacity() > STACK_READ
    }

    /// What the traffic needed goes back, but for bytes of an unfinished message.
    pub(super) fn release_memory(&mut self) {
        self.read_size = STACK_READ;
        self.small_reads = 0;
        self.most_held = self.bytes.len();
        self.large_frame = 0;
        self.bytes = if self.bytes.is_empty() { BytesMut::new() } else { BytesMut::from(&self.bytes[..]) };
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Buf as _;

    use super::*;
    use crate::batch::Batch;
    use crate::connection::alarm::now;
    use crate::framing::zmtp::Zmtp;
    use crate::framing::{FramingFactory as _, Role};
    use crate::limits::Limits;

    /// Gives all that it has to whoever reads, and notes how much room there was.
    struct Source {
        bytes: Vec<u8>,
        at: usize,
        rooms: Vec<usize>,
    }

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let end = self.bytes.len().min(self.at + buf.remaining());
            self.rooms.push(buf.remaining());
            buf.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    struct Reading {
        buffer: ReadBuffer,
        decoder: Box<dyn MessageDecoder>,
    }

    fn reading() -> Reading {
        let limits = Limits::default().with_message(1 << 30);
        let halves = Zmtp::new().framing(Role::Server, &["NULL"], &limits);
        let decoder = halves.into_halves(None, &limits, now()).unwrap().decoder;
        Reading { buffer: ReadBuffer::new(BytesMut::new()), decoder }
    }

    /// Reads everything as messages come in, and returns how many there were and what was left of `source`.
    fn read_all(reading: &mut Reading, bytes: Vec<u8>) -> (usize, Source) {
        let mut source = Source { bytes, at: 0, rooms: Vec::new() };
        let Reading { buffer, decoder } = reading;
        let mut count = 0;
        loop {
            let mut cx = Context::from_waker(Waker::noop());
            let read = buffer.poll_fill(&**decoder, &mut source, &mut cx);
            if matches!(read, Poll::Ready(Ok(0))) {
                return (count, source);
            }
            let mut batch = Batch::new();
            decoder.decode_batch(&mut buffer.bytes, &mut batch, usize::MAX).unwrap();
            count += batch.len();
        }
    }

    #[test]
    fn reads_end_where_large_frames_do() {
        let frame = [&[2][..], &65_536u64.to_be_bytes(), &[7; 65_536]].concat();
        let (count, source) = read_all(&mut reading(), frame.repeat(100));
        assert_eq!(count, 100);
        let last = &source.rooms[source.rooms.len() - 6..];
        assert!(last.iter().all(|room| *room == 4 * frame.len()), "{:?}", source.rooms);
    }

    #[test]
    fn messages_are_worth_their_memory_as_long_as_they_are_most_of_what_comes() {
        let Reading { mut buffer, .. } = reading();
        let mut worth = |messages: usize, others: usize, waiting: usize| {
            buffer.push(&vec![0; messages + others + waiting]);
            buffer.bytes.advance(messages + others);
            let worth = buffer.hand_out(messages);
            buffer.bytes.clear();
            buffer.arrived -= waiting;
            worth
        };
        for _ in 0..100 {
            assert!(worth(6000, 4000, 1 << 20), "what is not decoded yet does not matter");
        }
        // It shows after a while, and is over after a while.
        for (messages, others, expected) in [(4000, 6000, false), (6000, 4000, true)] {
            let shows = (0..100).position(|_| worth(messages, others, 0) == expected).unwrap();
            assert!(shows <= 4 * LARGEST_READ / 10_000, "{shows}");
            assert_eq!(worth(4000, 0, 0), expected);
        }
        assert!(!worth(1, 10 << 20, 0), "at once when it is so much");
        assert!(worth(LARGEST_READ / 2, LARGEST_READ, 0), "what is large is worth it");
    }

    #[test]
    fn small_frames_after_large_ones_are_read_as_ever() {
        let mut reading = reading();
        let frame = [&[2][..], &65_536u64.to_be_bytes(), &[7; 65_536]].concat();
        read_all(&mut reading, [frame.repeat(100), b"\x00\x03abc\x00\x03a".to_vec()].concat());
        let (count, source) =
            read_all(&mut reading, [b"bc".to_vec(), b"\x00\x03abc".repeat(200_000)].concat());
        assert_eq!(count, 200_001);
        assert!(source.rooms.iter().all(|room| *room <= LARGEST_READ), "{:?}", source.rooms);
    }

    #[test]
    fn room_grows_with_what_arrived_and_not_with_what_was_announced() {
        let mut reading = reading();
        let frame = [&[2][..], &(1u64 << 29).to_be_bytes(), &[7; 3_000_000]].concat();
        let (count, source) = read_all(&mut reading, frame);
        assert_eq!(count, 0);
        assert!(reading.buffer.bytes.capacity() < 4 * 3_000_000, "{}", reading.buffer.bytes.capacity());
        let mut arrived = 0;
        for room in source.rooms {
            assert!(room <= 2 * arrived.max(LARGEST_READ), "room for {room} when {arrived} had come");
            arrived += room;
        }
    }
}
