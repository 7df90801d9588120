//! Who writes what the senders of a connection have queued.

use std::future::poll_fn;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use atomic_waker::AtomicWaker;

use super::closed::CloseReason;
use super::error::{SendError, closed, runtime_ended};
use super::halves::Shared;
use super::life::Life;
use super::outbound::Writer;
use crate::framing::MessageEncoder;
use crate::message::Message;
use crate::transport::BoxWrite;
use crate::write_buffer::WriteBuffer;

/// An idle connection keeps room for so many messages' places.
pub(super) const KEEP_STARTS: usize = 64;

/// What it takes to write.
pub(super) struct Out {
    pub(super) io: BoxWrite,
    pub(super) writer: Writer,
    pub(super) life: Life,
    /// What is being written, while the queue fills again.
    pub(super) writing: Writing,
}

/// Bytes that are being written, and where in them messages begin.
#[derive(Default)]
pub(super) struct Writing {
    pub(super) buffer: WriteBuffer,
    pub(super) starts: Vec<u64>,
}

impl Out {
    /// Whether the kernel has taken everything that was to be written.
    pub(super) fn is_written(&self) -> bool {
        self.writing.buffer.is_empty() && self.writer.is_flushed()
    }
}

/// Stops the flusher in the middle of a write.
#[derive(Default)]
pub(super) struct Stop {
    ordered: AtomicBool,
    flusher: AtomicWaker,
}

/// One sender's turn to write by itself, while the others' messages gather.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Arc<Shared>,
    /// Absent when writing has failed.
    pub(super) out: Option<Out>,
}

impl Turn<'_> {
    pub(super) async fn write(
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
        queue.out = Some(out);
        self.shared.write_what_is_left(&mut queue);
        drop(queue);
        self.shared.group.wake();
    }
}

/// What it takes to write, in the hands of the flusher. Whoever has the flusher may drop it at any time: its runtime, in
/// the middle of a write or before it was begun.
pub(super) struct Flusher {
    pub(super) shared: Arc<Shared>,
    /// Absent when the flusher has done what it was for.
    pub(super) out: Option<Out>,
}

impl Flusher {
    /// Writes until there is nothing left, and gives the stream back.
    pub(super) async fn run(mut self) {
        while let Some(out) = &mut self.out {
            // What a turn left behind, and then what was queued.
            let Out { io, writer, life, writing } = out;
            let stop = &self.shared.stop;
            let written = poll_fn(|cx| match writer.poll_flush(&mut writing.buffer, io, life, cx) {
                Poll::Pending if stop.is_ordered(cx) => Poll::Ready(Err(closed())),
                flushed => flushed,
            });
            let written = written.await;
            self.go_on(written);
        }
    }

    /// Takes what was queued meanwhile, or ends.
    fn go_on(&mut self, written: Result<(), SendError>) {
        let Some(mut out) = self.out.take() else { return };
        if let Err(error) = written {
            return self.shared.fail(error, out.writing);
        }
        out.writing.starts.clear();
        let mut queue = self.shared.lock();
        if queue.outbound.buffer.is_empty() {
            self.shared.group.written();
            queue.out = Some(out);
            queue.flushing = false;
            self.shared.keep_memory(&mut queue);
        } else {
            queue.outbound.report(&out.life);
            queue.swap(&mut out.writing);
            self.out = Some(out);
        }
        drop(queue);
        // Room again: the senders fill the queue while this task writes.
        self.shared.group.wake();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            out.life.end(|| CloseReason::of_sending(&runtime_ended()));
            self.shared.lose(out.writing);
        }
    }
}

impl Writing {
    pub(super) fn unsent(&self, encoder: &dyn MessageEncoder) -> Vec<Message> {
        let taken = self.buffer.taken();
        let Some(first) = self.starts.iter().find(|start| **start >= taken) else { return Vec::new() };
        let mut bytes = self.buffer.to_vec();
        // As many bytes as wait in memory, so it is a usize.
        bytes.drain(..usize::try_from(first - taken).unwrap_or(usize::MAX).min(bytes.len()));
        encoder.recover(bytes)
    }

    pub(super) fn release_memory(&mut self) {
        self.buffer.release_memory();
        release(&mut self.starts);
    }
}

/// Gives back the room for places, but for what an idle connection keeps.
pub(super) fn release(starts: &mut Vec<u64>) {
    if starts.is_empty() && starts.capacity() > KEEP_STARTS {
        *starts = Vec::new();
    }
}

impl Stop {
    /// Whether the flusher shall stop; if not, it is woken when it shall.
    fn is_ordered(&self, cx: &Context<'_>) -> bool {
        self.flusher.register(cx.waker());
        self.ordered.load(Ordering::Acquire)
    }

    pub(super) fn order(&self) {
        self.ordered.store(true, Ordering::Release);
        self.flusher.wake();
    }
}
