//! What the senders of a connection have queued.

use super::error::SendError;
use super::flusher::{KEEP_STARTS, Out, Writing, release};
use super::kept::Kept;
use super::outbound::Outbound;
use crate::limits::Limits;
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// The messages that wait, as bytes, and who writes them.
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
    /// Why nothing more is sent.
    error: Option<SendError>,
    /// Whether the sender of the last message that waits was told that it is not sent.
    refused: bool,
    /// What was being written when writing failed or was stopped.
    unwritten: Option<Writing>,
    pub(super) kept: Kept,
}

impl Queue {
    pub(super) fn new(outbound: Outbound, out: Out, limits: &Limits) -> Queue {
        Queue {
            outbound,
            starts: Vec::new(),
            latest_end: 0,
            most_messages: limits.queued_out_messages.max(1),
            out: Some(out),
            flushing: false,
            error: None,
            refused: false,
            unwritten: None,
            kept: Kept::default(),
        }
    }

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
        let waiting = self.outbound.buffer.taken()..self.latest_end;
        let replaced = self.starts.last().copied().filter(|start| waiting.contains(start));
        encode(self)?;
        if let Some(start) = replaced
            && let Some(new) = self.starts.pop()
        {
            self.outbound.buffer.take_out(start, self.latest_end);
            self.outbound.messages -= 1;
            self.starts.pop();
            self.starts.push(new - (self.latest_end - start));
        }
        self.latest_end = self.outbound.buffer.end();
        Ok(())
    }

    /// Gives what waits to who writes it, and goes on with the memory of what has been written.
    pub(super) fn swap(&mut self, writing: &mut Writing) {
        std::mem::swap(&mut self.outbound.buffer, &mut writing.buffer);
        std::mem::swap(&mut self.starts, &mut writing.starts);
        // That buffer has counted for itself.
        self.latest_end = 0;
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// From now on nothing more is sent.
    pub(super) fn end(&mut self, error: SendError) {
        self.error.get_or_insert(error);
    }

    /// The flusher has ended without having written this.
    pub(super) fn end_with(&mut self, error: SendError, unwritten: Writing) {
        self.end(error);
        self.unwritten = Some(unwritten);
        self.flushing = false;
    }

    /// Whether the stream has failed, or was closed.
    pub(super) fn error(&self) -> Option<&SendError> {
        self.error.as_ref()
    }

    /// The messages of which the stream has taken no byte, with which its outgoing direction ends.
    pub(super) fn give_up(&mut self) -> Vec<Message> {
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

    /// What the sender of the last message, which begins at `start`, is told after an attempt to write it.
    #[inline]
    pub(super) fn check_last(&mut self, start: u64) -> Result<(), SendError> {
        match self.check() {
            // An error means that no byte of it went out. If one did, the error shows at the next call.
            Err(error) if start >= self.outbound.buffer.taken() => {
                self.refused = true;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_written(&self) -> bool {
        self.out.as_ref().is_some_and(Out::is_written) && self.outbound.buffer.is_empty()
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
