//! The outgoing half of a connection.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;

use super::error::{SendError, closed};
use super::flusher::Turn;
use super::halves::Shared;
use super::queue::Queue;
use crate::claims::Claims;
use crate::descriptors;
use crate::identity::Identity;
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// The outgoing half of a connection: cloned for as many tasks as send.
///
/// A message is handed over as a whole; messages of one `Sender` stay in their order. What is queued is written in the runtime
/// where the connection was split, whatever thread it is sent on; when that runtime has ended, all of this gives an error.
#[derive(Clone)]
pub struct Sender {
    pub(super) shared: Arc<Shared>,
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
                self.shared.write_what_is_left(&mut queue);
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
        self.wait_until(|queue| queue.is_written()).await
    }

    /// Writes everything queued and closes the outgoing direction: the peer sees the end of the stream. The
    /// [`Receiver`](super::Receiver) goes on.
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
                queue.end(closed());
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

    /// See [`Connection::most_descriptors`](super::Connection::most_descriptors).
    pub fn most_descriptors(&self) -> usize {
        self.shared.most_descriptors
    }

    /// Sends a message and descriptors that belong to it, after everything queued, and waits until the kernel has taken
    /// them; see [`Connection::send_with_descriptors`](super::Connection::send_with_descriptors). Other senders' messages
    /// gather meanwhile.
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

    /// Why nothing more can be sent, if so.
    pub fn error(&self) -> Option<SendError> {
        self.shared.lock().error().cloned()
    }

    /// Stops sending for good, and returns the messages that were sent and of which the stream has taken no byte: to send
    /// them on another connection. The outgoing direction ends.
    ///
    /// A framing that cannot tell gives none, nor does a [`Sealer`](crate::framing::Sealer) that does not open what it has sealed.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: nothing more is sent, and another call returns the messages.
    pub async fn take_unsent(&self) -> Vec<Message> {
        loop {
            let progress = {
                let mut queue = self.shared.lock();
                if let Some(unsent) = self.shared.stop(&mut queue) {
                    return unsent;
                }
                // Created under the lock, so that no progress falls in between.
                self.shared.group.progress()
            };
            progress.await;
        }
    }

    /// How many messages wait that have not been taken for writing.
    pub fn queued(&self) -> usize {
        self.shared.lock().len()
    }

    async fn wait_until(&self, mut ready: impl FnMut(&mut Queue) -> bool) -> Result<(), SendError> {
        loop {
            let progress = {
                let mut queue = self.shared.lock();
                queue.check()?;
                if ready(&mut queue) {
                    return Ok(());
                }
                // Whatever is queued has a flusher, unless it was left behind where there was no runtime.
                self.shared.write_what_is_left(&mut queue);
                // Created under the lock, so that no progress falls in between.
                self.shared.group.progress()
            };
            progress.await;
        }
    }
}

/// Room for one message in a [`Sender`].
pub struct SenderPermit<'a> {
    pub(super) shared: &'a Arc<Shared>,
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
