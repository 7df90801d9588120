//! A [`Flow`] between the application that uses the stream and the tasks of its connection.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::io::ReadBuf;
use tokio::task::coop;

use super::flow::{Flow, Read, Write};
use super::hop::{Hop, Key};
use super::wire::{Frame, Reason};

pub(super) struct Pipe {
    key: Key,
    hop: Weak<Hop>,
    state: Mutex<State>,
}

struct State {
    flow: Flow,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// It waits for its turn at the writer task.
    queued: bool,
    /// The writer task has a frame of it that is not sent yet.
    sending: bool,
}

impl Pipe {
    pub(super) fn new(key: Key, flow: Flow, hop: Weak<Hop>) -> Arc<Pipe> {
        let state = State { flow, reader: None, writer: None, queued: false, sending: false };
        Arc::new(Pipe { key, hop, state: Mutex::new(state) })
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    // For the tasks of the connection.

    /// Takes what the peer sent; true when the writer task should look.
    pub(super) fn receive(&self, frame: Frame, now: Instant) -> bool {
        let mut state = self.lock();
        state.flow.receive(frame, now);
        state.wake_both();
        state.flow.needs_a_turn()
    }

    /// Marks it as waiting for the writer task; false when it does already.
    pub(super) fn set_queued(&self) -> bool {
        !std::mem::replace(&mut self.lock().queued, true)
    }

    /// The next frame to send, during its turn.
    pub(super) fn next_frame(&self) -> Option<Frame> {
        let mut state = self.lock();
        state.queued = false;
        let frame = state.flow.next_frame();
        state.sending = frame.is_some();
        frame
    }

    /// The last frame has been sent.
    pub(super) fn has_sent(&self) {
        let mut state = self.lock();
        state.sending = false;
        // There is room again, or all is flushed.
        state.writer.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn is_done(&self) -> bool {
        self.lock().flow.is_done()
    }

    pub(super) fn fail(&self, reason: Reason) {
        let mut state = self.lock();
        state.flow.fail(reason);
        state.sending = false;
        state.wake_both();
    }

    /// Notices silence; true when the writer task should look.
    pub(super) fn on_time(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let due = state.flow.on_time(now);
        if state.flow.failure().is_some() {
            state.wake_both();
        }
        due || state.flow.is_done()
    }

    // For the application.

    /// Ready when the peer has accepted the stream.
    pub(super) fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let mut state = self.lock();
        match state.flow.failure() {
            Some(reason) => Poll::Ready(Err(reason)),
            None if state.flow.is_accepted() => Poll::Ready(Ok(())),
            None => {
                register(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_read(
        self: &Arc<Pipe>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let budget = ready!(coop::poll_proceed(cx));
        let mut state = self.lock();
        let read = state.flow.read(|bytes| {
            let length = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..length]);
            length
        });
        let result = match read {
            Read::Wait if buffer.remaining() > 0 => {
                register(&mut state.reader, cx);
                return Poll::Pending;
            }
            Read::Some | Read::Wait | Read::End => Ok(()),
            Read::Failed(reason) => Err(failed(reason)),
        };
        budget.made_progress();
        self.give_turn(state);
        Poll::Ready(result)
    }

    pub(super) fn poll_write(
        self: &Arc<Pipe>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let budget = ready!(coop::poll_proceed(cx));
        let mut state = self.lock();
        let result = match state.flow.write(slices.iter().map(|slice| &**slice)) {
            Write::Taken(taken) => Ok(taken),
            Write::Wait => {
                register(&mut state.writer, cx);
                return Poll::Pending;
            }
            Write::Closed => Err(io::ErrorKind::BrokenPipe.into()),
            Write::Failed(reason) => Err(failed(reason)),
        };
        budget.made_progress();
        self.give_turn(state);
        Poll::Ready(result)
    }

    /// Ready when the connection beneath has taken everything.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.lock();
        let flushed = state.flow.is_flushed() && !state.sending;
        poll_sent(state, flushed, cx)
    }

    /// Ready when the end has been sent behind everything else.
    pub(super) fn poll_shutdown(self: &Arc<Pipe>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish_writing();
        let state = self.lock();
        let ended = state.flow.is_end_sent() && !state.sending;
        poll_sent(state, ended, cx)
    }

    /// Whether something has come for the application; see [`Hop::has_arrived`].
    pub(super) fn has_arrived(&self) -> bool {
        self.lock().flow.has_arrived()
    }

    /// As [`has_arrived`](Pipe::has_arrived), and looks at what the connection has not handed on yet.
    pub(super) fn may_have_arrived(self: &Arc<Pipe>) -> bool {
        match self.hop.upgrade() {
            Some(hop) => hop.has_arrived(self),
            None => self.has_arrived(),
        }
    }

    pub(super) fn wake_reader(&self) {
        self.lock().reader.take().into_iter().for_each(Waker::wake);
    }

    /// The application writes no more.
    pub(super) fn finish_writing(self: &Arc<Pipe>) {
        let mut state = self.lock();
        state.flow.finish_writing();
        self.give_turn(state);
    }

    /// The application reads no more.
    pub(super) fn stop_reading(self: &Arc<Pipe>) {
        let mut state = self.lock();
        state.flow.stop_reading();
        self.give_turn(state);
    }

    fn give_turn(self: &Arc<Pipe>, state: MutexGuard<'_, State>) {
        let needed = state.flow.needs_a_turn() && !state.queued;
        drop(state);
        if needed && let Some(hop) = self.hop.upgrade() {
            hop.make_ready(self);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for single steps of the flow, which leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_both(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

fn poll_sent(mut state: MutexGuard<'_, State>, sent: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match state.flow.failure() {
        _ if sent => Poll::Ready(Ok(())),
        Some(reason) => Poll::Ready(Err(failed(reason))),
        None => {
            register(&mut state.writer, cx);
            Poll::Pending
        }
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

pub(super) fn failed(reason: Reason) -> io::Error {
    let kind = match reason {
        Reason::Busy => io::ErrorKind::ConnectionRefused,
        Reason::Silent => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::ConnectionReset,
    };
    io::Error::new(kind, reason)
}
