//! The outgoing direction of a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;

use super::alarm::{Alarm, now};
use super::closed::CloseReason;
use super::error::SendError;
use super::life::Life;
use crate::framing::{Control, MessageEncoder, UnencodableError};
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::write_buffer::WriteBuffer;

/// Encodes messages into a buffer.
pub(crate) struct Outbound {
    pub(super) encoder: Box<dyn MessageEncoder>,
    pub(super) buffer: WriteBuffer,
    /// From this many queued bytes on, a sender has to wait until some are written.
    limit: usize,
    /// How many messages were encoded.
    pub(super) messages: u64,
}

/// So many bytes go into one write when there are enough. 64 KiB and less cost a system call too often, 256 KiB and more
/// do not fit a Unix socket's buffer and cost cache.
const WRITE_AT: usize = 128 << 10;

/// What a sender writes before it flushes are multiples of this: a stream that encrypts makes a record of so many bytes (RFC 8446,
/// section 5.1), and one of the rest of a write, which costs both sides a system call of its own.
const RECORD: usize = 16 << 10;

/// So many slices go into one write.
const MOST_SLICES: usize = 32;

/// Answers to pings stop at this many queued bytes: a peer that floods pings without reading gets no more memory.
const PONGS_UP_TO: usize = 64 << 10;

impl Outbound {
    pub(super) fn new(encoder: Box<dyn MessageEncoder>, limits: &Limits) -> Outbound {
        Outbound { encoder, buffer: WriteBuffer::new(), limit: limits.queued_out.max(1), messages: 0 }
    }

    /// Whether a sender that writes itself should do so before it queues more.
    #[inline]
    pub(crate) fn is_worth_a_write(&self) -> bool {
        self.buffer.len() >= WRITE_AT.min(self.limit)
    }

    /// Whether the queue is full.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        !self.has_room_behind(0)
    }

    /// Whether there is room for a message behind so many bytes more.
    #[inline]
    pub(super) fn has_room_behind(&self, bytes: usize) -> bool {
        self.buffer.len() + bytes < self.limit
    }

    /// How many queued bytes wait for more when a sender writes without a flush.
    pub(super) fn rest(&self) -> usize {
        self.buffer.len() % RECORD.min(self.limit)
    }

    #[inline]
    pub(crate) fn encode(&mut self, message: MessageRef<'_>) -> Result<(), UnencodableError> {
        self.encoder.encode(message, &mut self.buffer)?;
        self.messages += 1;
        Ok(())
    }

    /// Encodes a message that does not wait in the buffer.
    pub(super) fn encode_apart(
        &mut self,
        message: MessageRef<'_>,
        buffer: &mut WriteBuffer,
    ) -> Result<(), UnencodableError> {
        self.encoder.encode(message, buffer)?;
        self.messages += 1;
        Ok(())
    }

    /// What is in the buffer is about to be written.
    #[inline]
    pub(super) fn report(&self, life: &Life) {
        life.set_sent(self.messages);
    }

    pub(super) fn encode_control(&mut self, control: &Control) {
        let drop = matches!(control, Control::Pong { .. }) && self.buffer.len() >= PONGS_UP_TO;
        if !drop {
            self.encoder.encode_control(control, &mut self.buffer);
        }
    }
}

/// Writes buffers out, and notices a peer that takes nothing.
pub(super) struct Writer {
    write_time: Duration,
    /// Present while the stream takes no byte although some wait.
    stall: Option<Box<Stall>>,
    /// The stream may hold bytes that were written since it was flushed last: one that encrypts gathers.
    unflushed: bool,
}

struct Stall {
    since: Instant,
    alarm: Alarm,
}

impl Writer {
    pub(super) fn new(limits: &Limits) -> Writer {
        Writer { write_time: limits.write_time, stall: None, unflushed: false }
    }

    /// The timer is set anew when it is needed next, in the runtime of that time.
    pub(super) fn forget_timer(&mut self) {
        if let Some(stall) = &mut self.stall {
            stall.alarm = Alarm::default();
        }
    }

    /// Writes until the buffer is empty, and flushes the stream.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        buffer: &mut WriteBuffer,
        io: &mut W,
        life: &Life,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        ready!(self.poll_write(buffer, 0, io, life, cx))?;
        let flushed = Pin::new(io).poll_flush(cx);
        ready!(self.guard(flushed, life, cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Whether everything that was written has left the stream too.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Writes until no more than `rest` bytes are in the buffer.
    pub(super) fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        buffer: &mut WriteBuffer,
        rest: usize,
        io: &mut W,
        life: &Life,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if let Some(cut) = life.cut() {
            return Poll::Ready(Err(ended_by(SendError::Cut(cut), life)));
        }
        while buffer.len() > rest {
            self.unflushed = true;
            let written = poll_write(buffer, buffer.len() - rest, io, cx);
            let written = ready!(self.guard(written, life, cx))?;
            advance(buffer, written, life)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the first bytes of the buffer by `write`, which takes something else along with them.
    pub(super) fn poll_write_first(
        &mut self,
        buffer: &mut WriteBuffer,
        mut write: impl FnMut(&[IoSlice<'_>], &mut Context<'_>) -> Poll<io::Result<usize>>,
        life: &Life,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        let used = buffer.fill_slices(usize::MAX, &mut slices);
        let written = write(&slices[..used], cx);
        let written = ready!(self.guard(written, life, cx))?;
        self.unflushed = true;
        Poll::Ready(advance(buffer, written, life))
    }

    /// While the stream is not ready: watches the write deadline and orders to close.
    pub(super) fn guard<T>(
        &mut self,
        poll: Poll<io::Result<T>>,
        life: &Life,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, SendError>> {
        match poll {
            Poll::Ready(result) => {
                self.stall = None;
                Poll::Ready(result.map_err(|error| ended_by(error.into(), life)))
            }
            Poll::Pending => {
                if let Some(cut) = life.poll_cut_for_send(cx) {
                    return Poll::Ready(Err(ended_by(SendError::Cut(cut), life)));
                }
                let new = || Box::new(Stall { since: now(), alarm: Alarm::default() });
                let Stall { since, alarm } = &mut **self.stall.get_or_insert_with(new);
                if cx.waker().will_wake(Waker::noop()) {
                    // Only an attempt, perhaps on a thread without timers: who goes on with it waits for the deadline.
                    return Poll::Pending;
                }
                ready!(alarm.poll(since.checked_add(self.write_time), cx));
                Poll::Ready(Err(ended_by(SendError::Stalled(self.write_time), life)))
            }
        }
    }
}

/// Forgets what the stream has taken.
#[inline]
fn advance(buffer: &mut WriteBuffer, written: usize, life: &Life) -> Result<(), SendError> {
    if written == 0 {
        return Err(ended_by(io::Error::from(io::ErrorKind::WriteZero).into(), life));
    }
    life.count_written(written);
    buffer.advance(written);
    Ok(())
}

#[cold]
fn ended_by(error: SendError, life: &Life) -> SendError {
    life.end(|| CloseReason::of_sending(&error));
    error
}

/// Offers as much as possible of the first `most` bytes in one system call.
fn poll_write<W: AsyncWrite + Unpin + ?Sized>(
    buffer: &WriteBuffer,
    most: usize,
    io: &mut W,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if let Some(bytes) = buffer.as_single_slice() {
        return Pin::new(io).poll_write(cx, &bytes[..most]);
    }
    let mut slices = [IoSlice::new(&[]); MOST_SLICES];
    let used = buffer.fill_slices(most, &mut slices);
    if io.is_write_vectored() {
        Pin::new(io).poll_write_vectored(cx, &slices[..used])
    } else {
        Pin::new(io).poll_write(cx, &slices[0])
    }
}
