//! The two halves of a connection, for use by different tasks.
//!
//! ```text
//! Sender, Sender ...  --encode-->  Queue (one buffer behind a lock)  --write-->  stream
//!                                    ^            by the sender itself when nothing else is going on,
//! Receiver  --pongs------------------'            else by a flusher task that lives as long as there is work
//! ```

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use atomic_waker::AtomicWaker;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::error::{RecvError, SendError};
use super::group::{Broadcast, SenderGroup};
use super::inbound::{Inbound, Link};
use super::kept::Kept;
use super::life::Life;
use super::outbound::{Outbound, Writer};
use super::{About, Connection, Pipe};
use crate::batch::Batch;
use crate::claims::Claims;
use crate::descriptors;
use crate::framing::{Control, MessageEncoder};
use crate::identity::Identity;
use crate::message::{Message, MessageRef};
use crate::transport::{BoxRead, BoxWrite, Source};
use crate::write_buffer::WriteBuffer;

/// The outgoing half of a connection: cloned for as many tasks as send.
///
/// A message is handed over as a whole; messages of one `Sender` stay in their order.
#[derive(Clone)]
pub struct Sender {
    pub(super) shared: Arc<Shared>,
}

/// The incoming half of a connection.
///
/// Pings are answered and sent while [`recv`](Receiver::recv) waits, see [`Connection`].
pub struct Receiver {
    inbound: Inbound,
    end: ReadEnd,
}

struct ReadEnd {
    read: BoxRead,
    life: Life,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    about: Arc<About>,
    /// How many descriptors the peer takes with a message; 0 where none are passed.
    most_descriptors: usize,
    queue: Mutex<Queue>,
    /// Told whenever the flusher has taken the queue, has ended, or has failed.
    pub(super) group: SenderGroup,
    stop: Stop,
}

/// Stops the flusher in the middle of a write.
#[derive(Default)]
struct Stop {
    ordered: AtomicBool,
    flusher: AtomicWaker,
}

pub(super) struct Queue {
    outbound: Outbound,
    /// Where in the outgoing bytes each message begins that waits.
    starts: Vec<u64>,
    /// Where the message ends that gives way to the next of its kind, if it is the last in `starts`: see `encode_latest`.
    latest_end: u64,
    most_messages: usize,
    /// Absent while the flusher has them.
    out: Option<Out>,
    /// Whether there is a flusher.
    flushing: bool,
    error: Option<SendError>,
    /// Whether the sender of the last message that waits was told that it is not sent.
    refused: bool,
    /// What was being written when writing failed or was stopped.
    unwritten: Option<Writing>,
    pub(super) kept: Kept,
}

/// What it takes to write.
struct Out {
    io: BoxWrite,
    writer: Writer,
    life: Life,
    /// What is being written, while the queue fills again.
    writing: Writing,
}

/// Bytes that are being written, and where in them messages begin.
#[derive(Default)]
struct Writing {
    buffer: WriteBuffer,
    starts: Vec<u64>,
}

/// An idle connection keeps room for so many messages' places.
const KEEP_STARTS: usize = 64;

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

fn closed() -> SendError {
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

    #[inline]
    pub(super) fn encode(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        let start = self.outbound.buffer.end();
        self.outbound.encode(message)?;
        self.starts.push(start);
        Ok(())
    }

    /// Queues a message that others get too.
    pub(super) fn broadcast(&mut self, broadcast: &mut Broadcast<'_>) -> Result<(), SendError> {
        let start = self.outbound.buffer.end();
        let Outbound { encoder, buffer, messages, .. } = &mut self.outbound;
        broadcast.encode(&mut **encoder, buffer)?;
        *messages += 1;
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

impl Writing {
    fn unsent(&self, encoder: &dyn MessageEncoder) -> Vec<Message> {
        let taken = self.buffer.taken();
        let Some(first) = self.starts.iter().find(|start| **start >= taken) else { return Vec::new() };
        let mut bytes = self.buffer.to_vec();
        // As many bytes as wait in memory, so it is a usize.
        bytes.drain(..usize::try_from(first - taken).unwrap_or(usize::MAX).min(bytes.len()));
        encoder.recover(bytes)
    }

    fn release_memory(&mut self) {
        self.buffer.release_memory();
        release(&mut self.starts);
    }
}

fn release(starts: &mut Vec<u64>) {
    if starts.is_empty() && starts.capacity() > KEEP_STARTS {
        *starts = Vec::new();
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

    fn send_control(self: &Arc<Self>, control: &Control) {
        let queue = &mut *self.lock();
        if queue.error.is_some() {
            return;
        }
        queue.outbound.encode_control(control);
        self.see_to_writing(queue);
    }

    /// Sends a control event, unless something else is on its way to the peer: so that nothing piles up when it reads nothing.
    fn send_if_quiet(self: &Arc<Self>, control: &Control) {
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

    fn fail(&self, error: SendError, unwritten: Writing) {
        let mut queue = self.lock();
        queue.error.get_or_insert(error);
        queue.unwritten = Some(unwritten);
        queue.flushing = false;
        drop(queue);
        self.group.wake();
    }
}

/// One sender's turn to write by itself, while the others' messages gather.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    /// Absent when writing has failed.
    out: Option<Out>,
}

impl Turn<'_> {
    async fn write(
        &mut self,
        mut bytes: WriteBuffer,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        let Some(out) = &mut self.out else { return Err(closed()) };
        let written = poll_fn(|cx| {
            let Out { io, writer, life, writing } = &mut *out;
            if !bytes.is_empty() {
                let write = |bufs: &[IoSlice<'_>], cx: &mut Context<'_>| {
                    io.poll_write_with_descriptors(cx, bufs, descriptors)
                };
                ready!(writer.poll_write_first(&mut bytes, write, life, cx))?;
                // From here on the rest goes out, by the flusher if this future is dropped.
                writing.buffer = std::mem::take(&mut bytes);
            }
            writer.poll_flush(&mut writing.buffer, io, life, cx)
        });
        let written = written.await;
        if let Err(error) = &written {
            let unwritten = self.out.take().map(|out| out.writing).unwrap_or_default();
            self.shared.fail(error.clone(), unwritten);
        }
        written
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(out) = self.out.take() else { return };
        let mut queue = self.shared.lock();
        let left_over = !out.writing.buffer.is_empty() || !queue.outbound.buffer.is_empty();
        queue.out = Some(out);
        // Without a runtime nobody writes any more.
        if left_over && tokio::runtime::Handle::try_current().is_ok() {
            self.shared.start_flusher(&mut queue);
        }
        drop(queue);
        self.shared.group.wake();
    }
}

/// The flusher: writes until there is nothing left, and gives the stream back.
async fn flush(shared: Arc<Shared>, mut out: Out) {
    loop {
        // What a turn left behind, and then what was queued.
        let Out { io, writer, life, writing } = &mut out;
        let written = poll_fn(|cx| match writer.poll_flush(&mut writing.buffer, io, life, cx) {
            Poll::Pending if shared.stop.is_ordered(cx) => Poll::Ready(Err(closed())),
            flushed => flushed,
        });
        if let Err(error) = written.await {
            return shared.fail(error, out.writing);
        }
        writing.starts.clear();
        {
            let mut queue = shared.lock();
            if queue.outbound.buffer.is_empty() {
                shared.group.written();
                queue.out = Some(out);
                queue.flushing = false;
                shared.keep_memory(&mut queue);
                drop(queue);
                shared.group.wake();
                return;
            }
            queue.outbound.report(&out.life);
            let Queue { outbound, starts, .. } = &mut *queue;
            std::mem::swap(&mut outbound.buffer, &mut out.writing.buffer);
            std::mem::swap(starts, &mut out.writing.starts);
        }
        // Room again: the senders fill the queue while this task writes.
        shared.group.wake();
    }
}

impl Stop {
    /// Whether the flusher shall stop; if not, it is woken when it shall.
    fn is_ordered(&self, cx: &Context<'_>) -> bool {
        self.flusher.register(cx.waker());
        self.ordered.load(Ordering::Acquire)
    }

    fn order(&self) {
        self.ordered.store(true, Ordering::Release);
        self.flusher.wake();
    }
}

impl Receiver {
    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        &self.end.shared.about.identity
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        &self.end.shared.about.claims
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        &self.end.shared.about.source
    }

    /// Whether bytes of the peer wait here or in the kernel: for a transport that carries streams over a connection, see
    /// [`Stream::has_arrived`](crate::Stream::has_arrived).
    pub fn has_arrived(&self) -> bool {
        self.inbound.holds_bytes() || self.end.has_arrived()
    }

    /// Lets the peer know that this side is alive, for as long as the future is polled: to wait with while what the peer has
    /// sent is left unread on purpose, and pings among it find no answer. Never ready.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn stay_alive(&mut self) -> Infallible {
        loop {
            match self.inbound.sign_of_life() {
                Some((every, sign)) => {
                    tokio::time::sleep(every).await;
                    self.end.shared.send_if_quiet(&sign);
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Receives the next message; see [`Connection::recv`].
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        match self.inbound.try_recv(&mut self.end)? {
            Some(received) => Ok(received),
            None => poll_fn(|cx| self.inbound.poll_recv(&mut self.end, cx)).await,
        }
    }

    /// Receives the next message and the descriptors that came with it; see [`Connection::recv_with_descriptors`].
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_with_descriptors(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, RecvError> {
        poll_fn(|cx| self.inbound.poll_recv_with_descriptors(&mut self.end, cx)).await
    }

    /// Receives up to `max` messages; see [`Connection::recv_many`].
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_many(&mut self, messages: &mut Vec<Message>, max: usize) -> Result<usize, RecvError> {
        if max == 0 {
            return Ok(0);
        }
        poll_fn(|cx| self.inbound.poll_recv_many(&mut self.end, messages, max, cx)).await
    }

    /// Receives up to `max` messages that have arrived as a whole, to hand them to another task: the fastest way to do
    /// that. An empty batch means that the stream has ended, or that `max` is 0.
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_batch(&mut self, max: usize) -> Result<Batch, RecvError> {
        let mut batch = Batch::new();
        if max > 0 {
            poll_fn(|cx| self.inbound.poll_recv_batch(&mut self.end, &mut batch, max, cx)).await?;
        }
        Ok(batch)
    }

    /// Shows each message that has arrived to `visit`; see [`Connection::recv_each`].
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_each(&mut self, mut visit: impl FnMut(MessageRef<'_>)) -> Result<usize, RecvError> {
        poll_fn(|cx| self.poll_recv_each(&mut visit, cx)).await
    }

    pub(crate) fn poll_recv_each(
        &mut self,
        visit: &mut impl FnMut(MessageRef<'_>),
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, RecvError>> {
        self.inbound.poll_recv_each(&mut self.end, &mut |message, _| visit(message), cx)
    }
}

impl Link for ReadEnd {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }

    fn poll_read_with_descriptors(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Poll<io::Result<()>> {
        self.read.poll_read_with_descriptors(cx, buf, descriptors)
    }

    fn life(&self) -> &Life {
        &self.life
    }

    fn has_arrived(&self) -> bool {
        self.read.has_arrived()
    }

    fn reply(&mut self, control: &Control) {
        self.shared.send_control(control);
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
