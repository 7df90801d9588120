//! Streams that do what their plan says.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::random::Random;
use super::control::Link;
use super::plan::{Ending, FaultPlan};
use super::way::{Step, Way};
use crate::connection::{Alarm, now};
use crate::transport::{BoxRead, BoxStream, BoxWrite, ReadHalf, Stream, WriteHalf};

/// A stream with faults. It gives no plain socket and carries no descriptors: they would pass the faults by.
pub(super) struct FaultyStream {
    io: BoxStream,
    incoming: Incoming,
    outgoing: Outgoing,
}

struct FaultyRead {
    io: BoxRead,
    incoming: Incoming,
}

struct FaultyWrite {
    io: BoxWrite,
    outgoing: Outgoing,
}

/// The faults of what is read.
struct Incoming {
    way: Way,
    link: Arc<Link>,
    reset_at: Option<Instant>,
    /// What has come and is held back.
    held: VecDeque<Held>,
    /// When the slow way is free for the next bytes.
    free_at: Option<Instant>,
    alarm: Alarm,
}

struct Held {
    due: Instant,
    what: Arrival,
}

enum Arrival {
    Bytes(Bytes),
    End,
    Failed(io::Error),
}

/// The faults of what is written.
struct Outgoing {
    way: Way,
    link: Arc<Link>,
    /// When the bytes that are offered will be taken, if they are held back.
    taken_at: Option<Instant>,
    alarm: Alarm,
}

/// As many bytes are held back at most; more stay where they are.
const HELD: usize = 64 << 10;

impl FaultyStream {
    pub(super) fn new(io: BoxStream, plan: FaultPlan, mut random: Random, link: Arc<Link>) -> FaultyStream {
        let incoming = Incoming {
            way: Way::new(plan.incoming, random.fork()),
            link: Arc::clone(&link),
            reset_at: plan.reset_at.and_then(|time| now().checked_add(time)),
            held: VecDeque::new(),
            free_at: None,
            alarm: Alarm::default(),
        };
        let way = Way::new(plan.outgoing, random);
        FaultyStream {
            io,
            incoming,
            outgoing: Outgoing { way, link, taken_at: None, alarm: Alarm::default() },
        }
    }
}

impl Stream for FaultyStream {
    fn has_arrived(&self) -> bool {
        self.incoming.has_arrived(|| self.io.has_arrived())
    }

    fn move_to_runtime(&mut self) -> io::Result<()> {
        self.incoming.alarm = Alarm::default();
        self.outgoing.alarm = Alarm::default();
        self.io.move_to_runtime()
    }

    fn into_split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let FaultyStream { io, incoming, outgoing } = *self;
        let (read, write) = io.into_split();
        (Box::new(FaultyRead { io: read, incoming }), Box::new(FaultyWrite { io: write, outgoing }))
    }
}

impl ReadHalf for FaultyRead {
    fn has_arrived(&self) -> bool {
        self.incoming.has_arrived(|| self.io.has_arrived())
    }
}

impl WriteHalf for FaultyWrite {}

macro_rules! reads {
    ($($stream:ty)*) => {$(
        impl AsyncRead for $stream {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let this = &mut *self;
                this.incoming.poll_read(&mut this.io, cx, buf)
            }
        }
    )*};
}
reads!(FaultyStream FaultyRead);

macro_rules! writes {
    ($($stream:ty)*) => {$(
        impl AsyncWrite for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let this = &mut *self;
                this.outgoing.poll_write(&mut this.io, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.io.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this = &mut *self;
                this.outgoing.poll_flush(&mut this.io, cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this = &mut *self;
                this.outgoing.poll_shutdown(&mut this.io, cx)
            }
        }
    )*};
}
writes!(FaultyStream FaultyWrite);

impl Incoming {
    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.link.watch_reading(cx);
        loop {
            let now = now();
            if self.reset_at.is_some_and(|at| now >= at) || self.way.over() == Some(Ending::Reset) {
                self.link.reset();
            }
            if self.link.is_reset() {
                return Poll::Ready(Err(reset()));
            }
            let until = match self.try_read(io, cx, buf, now) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Blocked::Failed(error)) => return Poll::Ready(Err(error)),
                Err(Blocked::Until(until)) => until,
            };
            ready!(self.alarm.poll(until.into_iter().chain(self.reset_at).min(), cx));
        }
    }

    fn try_read<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        now: Instant,
    ) -> Result<(), Blocked> {
        if self.link.is_partitioned() {
            return Err(Blocked::Until(None));
        }
        let before = buf.filled().len();
        let length = match self.way.next(buf.remaining(), now) {
            _ if buf.remaining() == 0 => return Ok(()),
            Step::Over(_) => return Ok(()),
            Step::Wait(until) => return Err(Blocked::Until(until)),
            Step::Pass(length) => length,
        };
        if self.way.is_slow() {
            self.hold_back(io, cx, now);
            self.show_held(buf, length, now)?;
        } else {
            read_up_to(io, cx, buf, length)?;
        }
        let new = &mut buf.filled_mut()[before..];
        self.way.corrupt(new);
        self.way.advance(new.len());
        Ok(())
    }

    /// Takes what has come.
    fn hold_back<R: AsyncRead + Unpin>(&mut self, io: &mut R, cx: &mut Context<'_>, now: Instant) {
        while self.has_room() {
            let mut stack = [0; 4 << 10];
            let most = stack.len().min(self.way.most_at_once());
            let mut buffer = ReadBuf::new(&mut stack[..most]);
            let what = match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => Arrival::Failed(error),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Arrival::End,
                Poll::Ready(Ok(())) => Arrival::Bytes(Bytes::copy_from_slice(buffer.filled())),
            };
            let start = self.free_at.map_or(now, |free| free.max(now));
            let free = start + self.way.time_for(buffer.filled().len());
            self.free_at = Some(free);
            self.held.push_back(Held { due: free + self.way.delay(), what });
        }
    }

    fn has_room(&self) -> bool {
        let held = self.held.iter().map(|held| match &held.what {
            Arrival::Bytes(bytes) => bytes.len(),
            Arrival::End | Arrival::Failed(_) => HELD,
        });
        held.sum::<usize>() < HELD
    }

    /// Shows what is due, once.
    fn show_held(&mut self, buf: &mut ReadBuf<'_>, length: usize, now: Instant) -> Result<(), Blocked> {
        match self.held.front_mut() {
            None => Err(Blocked::Until(None)),
            Some(Held { due, .. }) if *due > now => Err(Blocked::Until(Some(*due))),
            // It stays, since whoever asks again sees the end again.
            Some(Held { what: Arrival::End, .. }) => Ok(()),
            Some(Held { what: what @ Arrival::Failed(_), .. }) => match std::mem::replace(what, Arrival::End)
            {
                Arrival::Failed(error) => Err(Blocked::Failed(error)),
                Arrival::Bytes(_) | Arrival::End => Ok(()),
            },
            Some(Held { what: Arrival::Bytes(bytes), .. }) => {
                let length = length.min(bytes.len());
                buf.put_slice(&bytes[..length]);
                bytes.advance(length);
                if bytes.is_empty() {
                    self.held.pop_front();
                }
                Ok(())
            }
        }
    }

    fn has_arrived(&self, beneath: impl FnOnce() -> bool) -> bool {
        let now = now();
        let open = !self.link.is_reset() && !self.link.is_partitioned();
        let moves = self.way.over().is_none() && !self.way.is_stalled(now);
        open && moves
            && match self.held.front() {
                Some(held) => held.due <= now && matches!(held.what, Arrival::Bytes(_)),
                None => !self.way.is_slow() && beneath(),
            }
    }
}

/// Why nothing was read.
enum Blocked {
    /// Nothing comes before this moment, or before somebody wakes the task.
    Until(Option<Instant>),
    Failed(io::Error),
}

/// Reads once, at most `length` bytes.
fn read_up_to<R: AsyncRead + Unpin>(
    io: &mut R,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    length: usize,
) -> Result<(), Blocked> {
    let poll = if length >= buf.remaining() {
        Pin::new(io).poll_read(cx, buf)
    } else {
        let mut stack = [0; 4 << 10];
        let most = stack.len().min(length);
        let mut buffer = ReadBuf::new(&mut stack[..most]);
        let poll = Pin::new(io).poll_read(cx, &mut buffer);
        buf.put_slice(buffer.filled());
        poll
    };
    match poll {
        Poll::Pending => Err(Blocked::Until(None)),
        Poll::Ready(result) => result.map_err(Blocked::Failed),
    }
}

impl Outgoing {
    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        let length = ready!(self.poll_room(cx, wanted))?;
        let written = if self.way.corrupts(length) {
            let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| &buf[..]).copied().take(length).collect();
            self.way.corrupt(&mut bytes);
            Pin::new(&mut *io).poll_write(cx, &bytes)
        } else if length < wanted || bufs.len() == 1 {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| &buf[..]);
            Pin::new(&mut *io).poll_write(cx, &first[..length.min(first.len())])
        } else {
            Pin::new(&mut *io).poll_write_vectored(cx, bufs)
        };
        let written = ready!(written)?;
        self.taken_at = None;
        self.way.advance(written);
        match self.way.over() {
            // What has passed is on its way; the other end sees the end after it.
            Some(Ending::End) => {
                let _again_at_the_next_write = Pin::new(io).poll_shutdown(cx);
            }
            Some(Ending::Reset) => self.link.reset(),
            None => {}
        }
        Poll::Ready(Ok(written))
    }

    /// Waits until bytes may pass, and says how many.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.link.watch_writing(cx);
        loop {
            if self.link.is_reset() {
                return Poll::Ready(Err(reset()));
            }
            let now = now();
            let until = match self.way.next(wanted, now) {
                _ if wanted == 0 => return Poll::Ready(Ok(0)),
                Step::Over(Ending::End) => return Poll::Ready(Err(closed())),
                Step::Over(Ending::Reset) => {
                    self.link.reset();
                    continue;
                }
                Step::Wait(until) => until,
                Step::Pass(length) if self.way.is_slow() => {
                    let time = self.way.delay() + self.way.time_for(length);
                    let taken_at = *self.taken_at.get_or_insert(now + time);
                    if now >= taken_at {
                        return Poll::Ready(Ok(length));
                    }
                    Some(taken_at)
                }
                Step::Pass(length) => return Poll::Ready(Ok(length)),
            };
            ready!(self.alarm.poll(until, cx));
        }
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.link.watch_writing(cx);
        if self.link.is_reset() {
            return Poll::Ready(Err(reset()));
        }
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // The end of the stream waits behind a stall, as bytes do.
        if self.way.over() != Some(Ending::End) {
            ready!(self.poll_room(cx, 1))?;
        }
        Pin::new(io).poll_shutdown(cx)
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "reset by the fault plan")
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "ended by the fault plan")
}
