//! The two halves of a connection, for use by different tasks.
//!
//! ```text
//! Sender, Sender ...  --encode-->  Queue (one buffer behind a lock)  --write-->  stream
//!                                    ^            by the sender itself when nothing else is going on,
//! Receiver  --pongs------------------'            else by a flusher task that lives as long as there is work
//! ```

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncWriteExt as _;

use super::error::SendError;
use super::flusher::{KEEP_STARTS, Out, Stop, Turn, Writing, flush, release};
use super::group::SenderGroup;
use super::kept::Kept;
use super::outbound::Outbound;
use super::receiver::{ReadEnd, Receiver};
use super::{About, Connection, Pipe};
use crate::claims::Claims;
use crate::descriptors;
use crate::framing::Control;
use crate::identity::Identity;
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// The outgoing half of a connection: cloned for as many tasks as send.
///
/// A message is handed over as a whole; messages of one `Sender` stay in their order.
#[derive(Clone)]
pub struct Sender {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) about: Arc<About>,
    /// How many descriptors the peer takes with a message; 0 where none are passed.
    most_descriptors: usize,
    queue: Mutex<Queue>,
    /// Told whenever the flusher has taken the queue, has ended, or has failed.
    pub(super) group: SenderGroup,
    pub(super) stop: Stop,
}

pub(super) struct Queue {
    pub(super) outbound: Outbound,
    /// Where in the outgoing bytes each message begins that waits.
    pub(super) starts: Vec<u64>,
    /// Where the message ends that gives way to the next of its kind, if it is the last in `starts`: see `encode_latest`.
    latest_end: u64,
    most_messages: usize,
    /// Absent while the flusher has them.
    pub(super) out: Option<Out>,
    /// Whether there is a flusher.
    pub(super) flushing: bool,
    error: Option<SendError>,
    /// Whether the sender of the last message that waits was told that it is not sent.
    refused: bool,
    /// What was being written when writing failed or was stopped.
    unwritten: Option<Writing>,
    pub(super) kept: Kept,
}

/// The most that a sender writes by itself, while others wait for the lock.
const INLINE_WRITE: usize = 64 << 10;

pub(super) fn split(connection: Connection, group: SenderGroup) -> (Sender, Receiver) {
    let most_descriptors = connection.most_descriptors();
    let Connection { inbound, pipe, about } = connection;
    let Pipe { stream, outbound, writer, life, receipts: _ } = pipe;
    let (read, write) = stream.into_split();
    let out = Out { io: write, writer, life: life.share(), writing: Writing::default() };
    let queue = Queue {
        outbound,
        starts: Vec::new(),
        latest_end: 0,
        most_messages: about.config.limits.queued_out_messages.max(1),
        out: Some(out),
        flushing: false,
        error: None,
        refused: false,
        unwritten: None,
        kept: Kept::default(),
    };
    let shared =
        Arc::new(Shared { about, most_descriptors, queue: Mutex::new(queue), group, stop: Stop::default() });
    let left_over = !shared.lock().outbound.buffer.is_empty();
    if left_over {
        shared.start_flusher(&mut shared.lock());
    }
    (Sender { shared: Arc::clone(&shared) }, Receiver { inbound, end: ReadEnd { read, life, shared } })
}

impl Sender {
    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        &self.shared.about.identity
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        &self.shared.about.claims
    }

    /// Sends a message: queues it and sees to it that the queue is written.
    ///
    /// Ready when there was room in the queue. [`flush`](Sender::flush) waits until the kernel has taken it.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; an error of the stream can show at a later call.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole or not at all.
    #[inline]
    pub async fn send(&self, message: impl Into<MessageRef<'_>>) -> Result<(), SendError> {
        let message = message.into();
        loop {
            let progress = {
                let mut queue = self.shared.lock();
                queue.check()?;
                if !queue.is_full() {
                    return self.shared.send(&mut queue, message);
                }
                self.shared.group.progress()
            };
            progress.await;
        }
    }

    /// Waits until there is room for a message, so that one can be sent without waiting.
    ///
    /// Permits do not count against each other: with several at once the queue grows by their messages.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: nothing is queued until the permit is used.
    pub async fn reserve(&self) -> Result<SenderPermit<'_>, SendError> {
        self.wait_until(|queue| !queue.is_full()).await?;
        Ok(SenderPermit { shared: &self.shared })
    }

    /// Waits until the kernel has taken everything that was queued so far.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        // Whatever is queued has a flusher, or was written already: see `Shared::send`.
        self.wait_until(|queue| queue.is_written()).await
    }

    /// Writes everything queued and closes the outgoing direction: the peer sees the end of the stream. The
    /// [`Receiver`] goes on.
    ///
    /// # Errors
    ///
    /// See [`SendError`]; other senders get an error from now on.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe up to the point where the stream is closed.
    pub async fn close(self) -> Result<(), SendError> {
        let mut out = None;
        self.wait_until(|queue| {
            let written = queue.is_written();
            if written {
                out = queue.out.take();
                // At once: whoever sends from now on is told, also when this future is dropped.
                queue.error = Some(closed());
            }
            written
        })
        .await?;
        let Some(mut out) = out else { return Err(closed()) };
        self.shared.group.wake();
        let time = self.shared.about.config.limits.write_time;
        let shut = tokio::time::timeout(time, out.io.shutdown()).await;
        Ok(shut.map_err(|_| SendError::Stalled(time))??)
    }

    /// See [`Connection::most_descriptors`].
    pub fn most_descriptors(&self) -> usize {
        self.shared.most_descriptors
    }

    /// Sends a message and descriptors that belong to it, after everything queued, and waits until the kernel has taken
    /// them; see [`Connection::send_with_descriptors`]. Other senders' messages gather meanwhile.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole with its descriptors, or not at all.
    pub async fn send_with_descriptors(
        &self,
        message: impl Into<MessageRef<'_>>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let message = message.into();
        if descriptors.is_empty() {
            return self.send(message).await;
        }
        descriptors::check(descriptors.len(), self.shared.most_descriptors)?;
        let mut message_bytes = WriteBuffer::new();
        let mut encoded = Ok(());
        let mut out = None;
        self.wait_until(|queue| {
            let written = queue.is_written();
            if written {
                encoded = queue.outbound.encode_apart(message, &mut message_bytes);
                out = queue.out.take();
                if let Some(out) = &out {
                    queue.outbound.report(&out.life);
                }
            }
            written
        })
        .await?;
        let mut turn = Turn { shared: &self.shared, out };
        encoded?;
        turn.write(message_bytes, descriptors).await
    }

    /// Sends what is to be said even when the queue is full; the caller sees to it that this is not much.
    pub(crate) fn send_at_once(&self, message: MessageRef<'_>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        self.shared.send(&mut queue, message)
    }

    async fn wait_until(&self, mut ready: impl FnMut(&mut Queue) -> bool) -> Result<(), SendError> {
        loop {
            let progress = {
                let mut queue = self.shared.lock();
                queue.check()?;
                if ready(&mut queue) {
                    return Ok(());
                }
                // Created under the lock, so that no progress falls in between.
                self.shared.group.progress()
            };
            progress.await;
        }
    }
}

pub(super) fn closed() -> SendError {
    std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the outgoing direction was closed").into()
}

/// Room for one message in a [`Sender`].
pub struct SenderPermit<'a> {
    shared: &'a Arc<Shared>,
}

impl SenderPermit<'_> {
    /// Sends the message without waiting.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub fn send<'m>(self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        let mut queue = self.shared.lock();
        queue.check()?;
        self.shared.send(&mut queue, message.into())
    }
}

impl Queue {
    /// Whether a sender has to wait.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.outbound.is_full() || self.starts.len() >= self.most_messages
    }

    /// Whether so many messages have room, of which the last begins behind `bytes` of the others.
    pub(super) fn has_room_for(&self, messages: usize, bytes: usize) -> bool {
        self.outbound.has_room_behind(bytes) && self.starts.len() + messages <= self.most_messages
    }

    #[inline]
    pub(super) fn encode(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        let start = self.outbound.buffer.end();
        self.outbound.encode(message)?;
        self.starts.push(start);
        Ok(())
    }

    /// Queues a message by `encode`, in the place of the last one that was queued so, if that still waits untouched.
    pub(super) fn encode_latest(
        &mut self,
        encode: impl FnOnce(&mut Queue) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        if let Some(&start) = self.starts.last()
            && (self.outbound.buffer.taken()..self.latest_end).contains(&start)
        {
            // Only control events can be behind it.
            self.outbound.buffer.take_out(start, self.latest_end);
            self.outbound.messages -= 1;
            self.starts.pop();
        }
        encode(self)?;
        self.latest_end = self.outbound.buffer.end();
        Ok(())
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the stream has failed, or was closed.
    pub(super) fn error(&self) -> Option<&SendError> {
        self.error.as_ref()
    }

    /// The messages of which the stream has taken no byte, with which its outgoing direction ends.
    fn give_up(&mut self) -> Vec<Message> {
        if let Some(out) = self.out.take() {
            // What a turn left behind.
            self.unwritten.get_or_insert(out.writing);
        }
        let queued = Writing {
            buffer: std::mem::take(&mut self.outbound.buffer),
            starts: std::mem::take(&mut self.starts),
        };
        let written = self.unwritten.take().into_iter().chain([queued]);
        let mut unsent: Vec<Message> =
            written.flat_map(|writing| writing.unsent(&*self.outbound.encoder)).collect();
        if std::mem::take(&mut self.refused) {
            unsent.pop();
        }
        unsent
    }

    pub(super) fn check(&self) -> Result<(), SendError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    pub(super) fn is_written(&self) -> bool {
        self.out.is_some() && self.outbound.buffer.is_empty()
    }

    /// Whether there is more memory than an idle connection keeps.
    pub(super) fn holds_memory(&self) -> bool {
        let writing = self.out.as_ref().map(|out| &out.writing);
        let starts = writing.into_iter().map(|writing| &writing.starts).chain([&self.starts]);
        let buffers = writing.into_iter().map(|writing| &writing.buffer).chain([&self.outbound.buffer]);
        starts.map(Vec::capacity).any(|places| places > KEEP_STARTS)
            || buffers.into_iter().any(WriteBuffer::holds_memory)
    }

    /// Gives memory back, once everything is written.
    pub(super) fn release_memory(&mut self) {
        if let Some(out) = &mut self.out {
            out.writing.release_memory();
        }
        self.outbound.buffer.release_memory();
        release(&mut self.starts);
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // No panic leaves the queue half changed: encoders do not panic, and writes happen without the lock or
        // change nothing but the buffer's own state.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn send(
        self: &Arc<Self>,
        queue: &mut Queue,
        message: MessageRef<'_>,
    ) -> Result<(), SendError> {
        let start = queue.outbound.buffer.end();
        queue.encode(message)?;
        self.written_or_refused(queue, start)
    }

    /// As `send`, in the place of the last message that was sent so.
    pub(super) fn send_latest(
        self: &Arc<Self>,
        queue: &mut Queue,
        message: MessageRef<'_>,
    ) -> Result<(), SendError> {
        queue.encode_latest(|queue| queue.encode(message))?;
        let start = queue.starts.last().copied().unwrap_or_default();
        self.written_or_refused(queue, start)
    }

    /// Sees to it that the message is written that begins at `start`.
    #[inline]
    fn written_or_refused(self: &Arc<Self>, queue: &mut Queue, start: u64) -> Result<(), SendError> {
        self.see_to_writing(queue);
        match queue.check() {
            // An error means that no byte of it went out. If one did, the error shows at the next call.
            Err(error) if start >= queue.outbound.buffer.taken() => {
                queue.refused = true;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Whatever was queued has a flusher, or gets one, or is written now.
    #[inline]
    pub(super) fn see_to_writing(self: &Arc<Self>, queue: &mut Queue) {
        if queue.out.is_some() {
            self.write_or_start_flusher(queue);
        }
    }

    /// Stops writing for good: ready with what was not sent, or `None` as long as the flusher has not stopped.
    pub(super) fn stop(&self, queue: &mut Queue) -> Option<Vec<Message>> {
        queue.error.get_or_insert_with(closed);
        if queue.flushing {
            self.stop.order();
            return None;
        }
        Some(queue.give_up())
    }

    pub(super) fn send_control(self: &Arc<Self>, control: &Control) {
        let queue = &mut *self.lock();
        if queue.error.is_some() {
            return;
        }
        queue.outbound.encode_control(control);
        self.see_to_writing(queue);
    }

    /// Sends a control event, unless something else is on its way to the peer: so that nothing piles up when it reads nothing.
    pub(super) fn send_if_quiet(self: &Arc<Self>, control: &Control) {
        let quiet = self.lock().is_written();
        if quiet {
            self.send_control(control);
        }
    }

    /// A lone message is written at once by its sender; in a burst the flusher gathers.
    fn write_or_start_flusher(self: &Arc<Self>, queue: &mut Queue) {
        let alone = !self.group.is_burst();
        if alone && queue.outbound.buffer.len() <= INLINE_WRITE && self.try_write(queue) {
            self.group.written();
            return;
        }
        self.start_flusher(queue);
    }

    /// Writes what can be written now; true when that was everything.
    fn try_write(self: &Arc<Self>, queue: &mut Queue) -> bool {
        let Some(Out { io, writer, life, .. }) = &mut queue.out else {
            return false;
        };
        queue.outbound.report(life);
        let mut cx = Context::from_waker(Waker::noop());
        match writer.poll_flush(&mut queue.outbound.buffer, io, life, &mut cx) {
            Poll::Ready(Ok(())) => {
                queue.starts.clear();
                self.keep_memory(queue);
                true
            }
            Poll::Ready(Err(error)) => {
                queue.error = Some(error);
                true
            }
            Poll::Pending => false,
        }
    }

    pub(super) fn start_flusher(self: &Arc<Self>, queue: &mut Queue) {
        if let Some(out) = queue.out.take() {
            queue.flushing = true;
            tokio::spawn(flush(Arc::clone(self), out));
        }
    }

    pub(super) fn fail(&self, error: SendError, unwritten: Writing) {
        let mut queue = self.lock();
        queue.error.get_or_insert(error);
        queue.unwritten = Some(unwritten);
        queue.flushing = false;
        drop(queue);
        self.group.wake();
    }
}

macro_rules! debug_as_peer {
    ($($type:ty: |$this:ident| $about:expr;)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                f.debug_struct(stringify!($type)).field("identity", &$about.identity).finish_non_exhaustive()
            }
        }
    )*};
}
debug_as_peer! {
    Sender: |sender| sender.shared.about;
    Receiver: |receiver| receiver.end.shared.about;
    SenderPermit<'_>: |permit| permit.shared.about;
}
