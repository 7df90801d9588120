//! The two halves of a connection, for use by different tasks.
//!
//! ```text
//! Sender, Sender ...  --encode-->  Queue (one buffer behind a lock)  --write-->  stream
//!                                    ^            by the sender itself when nothing else is going on,
//! Receiver  --pongs------------------'            else by a flusher task that lives as long as there is work
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use super::about::About;
use super::error::{SendError, closed, runtime_ended};
use super::flusher::{Flusher, Out, Stop, Writing};
use super::group::SenderGroup;
use super::pipe::Pipe;
use super::queue::Queue;
use super::receiver::{ReadEnd, Receiver};
use super::sender::{Sender, SenderPermit};
use super::whole::Connection;
use crate::framing::Control;
use crate::message::{Message, MessageRef};

/// What both halves hold of a connection.
pub(super) struct Shared {
    pub(super) about: Arc<About>,
    /// How many descriptors the peer takes with a message; 0 where none are passed.
    pub(super) most_descriptors: usize,
    queue: Mutex<Queue>,
    /// Where the connection was split: senders may be on threads without one.
    runtime: Option<Handle>,
    /// Told whenever the flusher has taken the queue, has ended, or has failed.
    pub(super) group: SenderGroup,
    pub(super) stop: Stop,
    /// What a flusher was to write that has been dropped: see [`Flusher`].
    lost: OnceLock<Box<Mutex<Writing>>>,
}

/// The most that a sender writes by itself, while others wait for the lock.
const INLINE_WRITE: usize = 64 << 10;

pub(super) fn split(connection: Connection, group: SenderGroup) -> (Sender, Receiver) {
    let most_descriptors = connection.most_descriptors();
    let Connection { inbound, pipe, about } = connection;
    let Pipe { stream, outbound, writer, life, receipts: _ } = pipe;
    let (read, write) = stream.into_split();
    let out = Out { io: write, writer, life: life.share(), writing: Writing::default() };
    let queue = Queue::new(outbound, out, &about.config.limits);
    let shared = Arc::new(Shared {
        about,
        most_descriptors,
        queue: Mutex::new(queue),
        runtime: Handle::try_current().ok(),
        group,
        stop: Stop::default(),
        lost: OnceLock::new(),
    });
    shared.write_what_is_left(&mut shared.lock());
    (Sender { shared: Arc::clone(&shared) }, Receiver { inbound, end: ReadEnd { read, life, shared } })
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // No panic leaves the queue half changed: encoders do not panic, and writes happen without the lock or
        // change nothing but the buffer's own state.
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.notice_loss(&mut queue);
        queue
    }

    /// Without a flusher that was dropped, nothing more is sent.
    #[inline]
    fn notice_loss(&self, queue: &mut Queue) {
        if queue.flushing
            && let Some(lost) = self.lost.get()
        {
            let writing = std::mem::take(&mut *lost.lock().unwrap_or_else(PoisonError::into_inner));
            queue.end_with(runtime_ended(), writing);
        }
    }

    /// The flusher is dropped with this in its hands. Whoever drops it may hold the lock.
    pub(super) fn lose(&self, writing: Writing) {
        let _once_in_its_life = self.lost.set(Box::new(Mutex::new(writing)));
        self.group.wake();
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
        queue.check_last(start)
    }

    /// Whatever was queued has a flusher, or gets one, or is written now.
    #[inline]
    pub(super) fn see_to_writing(self: &Arc<Self>, queue: &mut Queue) {
        if queue.out.is_some() {
            self.write_or_start_flusher(queue);
        }
    }

    /// Has a flusher write what somebody has left behind. Without a runtime the next one does who has one.
    pub(super) fn write_what_is_left(self: &Arc<Self>, queue: &mut Queue) {
        if queue.out.is_some() && !queue.is_written() && self.runtime().is_some() {
            self.start_flusher(queue);
        }
    }

    /// Stops writing for good: ready with what was not sent, or `None` as long as the flusher has not stopped.
    pub(super) fn stop(&self, queue: &mut Queue) -> Option<Vec<Message>> {
        queue.end(closed());
        if queue.flushing {
            self.stop.order();
            return None;
        }
        Some(queue.give_up())
    }

    pub(super) fn send_control(self: &Arc<Self>, control: &Control) {
        let queue = &mut *self.lock();
        if queue.error().is_some() {
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
        let Some(Out { io, writer, life, writing }) = &mut queue.out else {
            return false;
        };
        if !writing.buffer.is_empty() {
            return false; // the rest of another message comes first
        }
        queue.outbound.report(life);
        let mut cx = Context::from_waker(Waker::noop());
        match writer.poll_flush(&mut queue.outbound.buffer, io, life, &mut cx) {
            Poll::Ready(Ok(())) => {
                queue.starts.clear();
                self.keep_memory(queue);
                true
            }
            Poll::Ready(Err(error)) => {
                queue.end(error);
                true
            }
            Poll::Pending => false,
        }
    }

    /// # Panics
    ///
    /// Outside of a tokio runtime, where the connection was split outside of one too.
    pub(super) fn start_flusher(self: &Arc<Self>, queue: &mut Queue) {
        let runtime = self.runtime().unwrap_or_else(Handle::current);
        let Some(out) = queue.out.take() else { return };
        queue.flushing = true;
        runtime.spawn(Flusher { shared: Arc::clone(self), out: Some(out) }.run());
        // A runtime that has ended drops it at once.
        self.notice_loss(queue);
    }

    /// The connection's runtime, or that of this thread.
    pub(super) fn runtime(&self) -> Option<Handle> {
        self.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    pub(super) fn fail(&self, error: SendError, unwritten: Writing) {
        self.lock().end_with(error, unwritten);
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
