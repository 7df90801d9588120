//! The incoming half of a connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, ReadBuf};

use super::error::RecvError;
use super::halves::Shared;
use super::inbound::{Inbound, Link};
use super::life::Life;
use crate::batch::Batch;
use crate::claims::Claims;
use crate::framing::Control;
use crate::identity::Identity;
use crate::message::{Message, MessageRef};
use crate::transport::{BoxRead, Source};

/// The incoming half of a connection.
///
/// Pings are answered and sent while [`recv`](Receiver::recv) waits, see [`Connection`](super::Connection).
pub struct Receiver {
    pub(super) inbound: Inbound,
    pub(super) end: ReadEnd,
}

pub(super) struct ReadEnd {
    pub(super) read: BoxRead,
    pub(super) life: Life,
    pub(super) shared: Arc<Shared>,
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

    /// Receives the next message; see [`Connection::recv`](super::Connection::recv).
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

    /// Receives the next message and the descriptors that came with it; see
    /// [`Connection::recv_with_descriptors`](super::Connection::recv_with_descriptors).
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

    /// Receives up to `max` messages; see [`Connection::recv_many`](super::Connection::recv_many).
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

    /// Shows each message that has arrived to `visit`; see [`Connection::recv_each`](super::Connection::recv_each).
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

impl Drop for ReadEnd {
    fn drop(&mut self) {
        // The senders may go on, with nothing left to receive.
        let _ended_already = self.life.set_unread(0);
    }
}
