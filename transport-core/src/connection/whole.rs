//! A connection as a whole, for use by one task.

use std::fmt;
use std::future::poll_fn;
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWriteExt as _;

use super::about::About;
use super::closed::ConnectionId;
use super::error::{RecvError, SendError};
use super::inbound::Inbound;
use super::open::Opened;
use super::outbound::{Outbound, Writer};
use super::pipe::Pipe;
use crate::claims::Claims;
use crate::descriptors;
use crate::evidence::Protection;
use crate::farewell::discard;
use crate::handshake::HandshakeConfig;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::message::{Message, MessageRef};
use crate::transport::Source;
use crate::write_buffer::WriteBuffer;

/// An authenticated connection that carries messages and knows who its peer is.
///
/// Used by one task, it does its own reading and writing there: there is no other task and no queue behind it.
/// [`split`](Connection::split) makes two halves for use by different tasks.
///
/// # Keep receiving
///
/// Pings are answered and sent while [`recv`](Connection::recv) waits. An application that does not receive for longer
/// than the peer's patience (90 s by default) is taken for dead.
///
/// # Cancel safety
///
/// A method is *cancel-safe* when dropping its future before it is ready loses nothing: no message received, and of a
/// message to be sent either nothing or all of it will go out. All methods are, but [`close`](Connection::close),
/// which takes the connection with it.
///
/// # Examples
///
/// ```
/// # use transport_core::{Connect, Listen, Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let transports = Transports::new().with(MemTransport::new());
/// let mut server = Listen::new(&transports, "mem://docs").policy(Policy::same_process()).start().await?;
/// let mut client = Connect::new(&transports, "mem://docs").server(Policy::same_process()).await?;
/// client.send("hello").await?;
///
/// let mut connection = server.accept().await.expect("the server goes on");
/// let message = connection.recv().await?.expect("the client sent one");
/// assert_eq!(message.to_text(), Some("hello"));
/// assert_eq!(connection.identity().to_string(), "process");
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    pub(super) inbound: Inbound,
    pub(super) pipe: Pipe,
    pub(super) about: Arc<About>,
}

impl Connection {
    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        &self.about.identity
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        &self.about.claims
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        &self.about.source
    }

    /// How well what is sent is guarded against others than the two ends: by the stream, or by the mechanism's seal.
    pub fn protection(&self) -> Protection {
        self.about.protection
    }

    /// Which of its server's connections it is, as the server's events say; `None` on the connecting side.
    pub fn id(&self) -> Option<ConnectionId> {
        self.pipe.life.id()
    }

    /// A `tracing` span that says which connection it is, where its peer is and who: for the task that serves it.
    pub fn span(&self) -> tracing::Span {
        self.about.span(self.id())
    }

    /// Sends a message: queues it and writes everything queued.
    ///
    /// Ready when the kernel has taken it, which does not mean that the peer has received it.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole or not at all. What was queued when the future was dropped goes
    /// out with the next `send`, `flush` or `recv`.
    pub async fn send(&mut self, message: impl Into<MessageRef<'_>>) -> Result<(), SendError> {
        // Not by `feed` and `flush`: their futures would be parts of this one, and so of every task that sends.
        if self.pipe.outbound.is_worth_a_write() {
            poll_fn(|cx| self.pipe.poll_make_room(cx)).await?;
        }
        self.pipe.outbound.encode(message.into())?;
        poll_fn(|cx| self.pipe.poll_flush(cx)).await
    }

    /// Queues a message; writes only when 128 KiB have gathered. End a batch with [`flush`](Connection::flush).
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe, as [`send`](Connection::send).
    #[inline]
    pub async fn feed(&mut self, message: impl Into<MessageRef<'_>>) -> Result<(), SendError> {
        if self.pipe.outbound.is_worth_a_write() {
            self.make_room().await?;
        }
        Ok(self.pipe.outbound.encode(message.into())?)
    }

    /// Writes everything queued.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what is not written stays queued.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        poll_fn(|cx| self.pipe.poll_flush(cx)).await
    }

    /// Waits until there is room for a message, so that one can be queued without waiting.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: nothing is queued until the permit is used. Fit for `select!`, with the message kept outside.
    pub async fn reserve(&mut self) -> Result<Permit<'_>, SendError> {
        if self.pipe.outbound.is_worth_a_write() {
            self.make_room().await?;
        }
        Ok(Permit { connection: self })
    }

    /// Receives the next message; `None` when the peer has closed, or the server of this connection drains.
    ///
    /// # Errors
    ///
    /// See [`RecvError`]. The connection is of no more use then.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    #[inline]
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        // Not a `match`: what it looks at would be kept while this waits, and make every task that receives larger.
        if let Some(received) = self.inbound.try_recv(&mut self.pipe)? {
            return Ok(received);
        }
        self.recv_slowly().await
    }

    /// Receives up to `max` messages that have arrived, appending them to `messages`; waits for the first one.
    ///
    /// Returns how many: 0 when the peer has closed, the server drains, or `max` is 0.
    ///
    /// # Errors
    ///
    /// See [`RecvError`]. Messages that arrived before have been delivered by then.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_many(&mut self, messages: &mut Vec<Message>, max: usize) -> Result<usize, RecvError> {
        if max == 0 {
            return Ok(0);
        }
        poll_fn(|cx| self.inbound.poll_recv_many(&mut self.pipe, messages, max, cx)).await
    }

    /// Shows each message that has arrived to `visit`, where it lies in the read buffer; waits for the first one.
    ///
    /// Returns how many: 0 when the peer has closed or the server drains. It is the fastest way to receive many small
    /// messages, since nothing is allocated or counted for them.
    ///
    /// # Errors
    ///
    /// See [`RecvError`]. Messages that came before have been shown by then.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: `visit` is called only just before the future is ready.
    pub async fn recv_each(&mut self, mut visit: impl FnMut(MessageRef<'_>)) -> Result<usize, RecvError> {
        poll_fn(|cx| self.poll_recv_each(&mut |message, _| visit(message), cx)).await
    }

    /// How many descriptors the peer takes with a message: 0 unless both sides have set
    /// [`Limits::descriptors`], and the stream is a Unix socket with nothing in between.
    pub fn most_descriptors(&self) -> usize {
        if self.inbound.takes_descriptors() { self.about.taken_by_peer() } else { 0 }
    }

    /// Sends a message and descriptors that belong to it, after everything queued.
    ///
    /// The peer gets descriptors of its own to the same open files, whatever becomes of these.
    ///
    /// # Errors
    ///
    /// [`SendError::Descriptors`] when there are more than [`most_descriptors`](Connection::most_descriptors); see
    /// [`SendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole with its descriptors, or not at all.
    pub async fn send_with_descriptors(
        &mut self,
        message: impl Into<MessageRef<'_>>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        if descriptors.is_empty() {
            return self.send(message).await;
        }
        descriptors::check(descriptors.len(), self.most_descriptors())?;
        let mut message_bytes = WriteBuffer::new();
        self.pipe.outbound.encode_apart(message.into(), &mut message_bytes)?;
        poll_fn(|cx| {
            ready!(self.pipe.poll_flush(cx))?;
            let Pipe { stream, outbound, writer, life, .. } = &mut self.pipe;
            let write = |bufs: &[IoSlice<'_>], cx: &mut Context<'_>| {
                stream.poll_write_with_descriptors(cx, bufs, descriptors)
            };
            ready!(writer.poll_write_first(&mut message_bytes, write, life, cx))?;
            // The rest goes out whatever becomes of this future.
            outbound.buffer = std::mem::take(&mut message_bytes);
            Poll::Ready(Ok::<_, SendError>(()))
        })
        .await?;
        self.flush().await
    }

    /// Receives the next message and the descriptors that came with it, which have close-on-exec set; `None` as
    /// [`recv`](Connection::recv).
    ///
    /// The other ways to receive close them.
    ///
    /// # Errors
    ///
    /// See [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    ///
    /// # Security
    ///
    /// A descriptor is whatever the peer says it is not: check what it refers to, and that operations on it cannot
    /// block, before it is used.
    pub async fn recv_with_descriptors(&mut self) -> Result<Option<(Message, Vec<OwnedFd>)>, RecvError> {
        poll_fn(|cx| self.inbound.poll_recv_with_descriptors(&mut self.pipe, cx)).await
    }

    /// Ends the connection: writes everything queued, closes the outgoing direction and waits until the peer has
    /// closed too, at most for [`Limits::close_time`]. What the peer still sends is dropped.
    ///
    /// A connection that is dropped without this closes at once, and what is queued, or still on its way while the
    /// peer sends, may be lost.
    ///
    /// # Errors
    ///
    /// When the queue could not be written.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: the connection is dropped with the future.
    pub async fn close(mut self) -> Result<(), SendError> {
        self.flush().await?;
        let Limits { write_time, close_time, .. } = self.about.config.limits;
        let shut = tokio::time::timeout(write_time, self.pipe.stream.shutdown());
        shut.await.map_err(|_| SendError::Stalled(write_time))??;
        // Closing a socket with unread bytes in it resets it, and the peer may lose what was sent last.
        let _too_slow = tokio::time::timeout(close_time, discard(&mut self.pipe.stream)).await;
        Ok(())
    }

    pub(crate) fn new(opened: Opened, config: &Arc<HandshakeConfig>) -> Connection {
        let Opened { stream, mut complete, source, input, life } = opened;
        life.count_read(input.len());
        let limits = &config.limits;
        complete.claims.shrink_to_fit();
        let about = About::new(complete.identity, complete.claims, source, complete.protection, config);
        let outbound = Outbound::new(complete.halves.encoder, limits);
        Connection {
            inbound: Inbound::new(complete.halves.decoder, input, complete.descriptors),
            pipe: Pipe { stream, outbound, writer: Writer::new(limits), life, receipts: None },
            about,
        }
    }

    #[cold]
    async fn make_room(&mut self) -> Result<(), SendError> {
        poll_fn(|cx| self.pipe.poll_make_room(cx)).await
    }

    async fn recv_slowly(&mut self) -> Result<Option<Message>, RecvError> {
        // Spinning reads the socket itself, which would drop descriptors.
        if !self.about.config.spin.is_zero() && !self.inbound.takes_descriptors() {
            self.spin();
        }
        poll_fn(|cx| self.inbound.poll_recv(&mut self.pipe, cx)).await
    }

    #[cold]
    fn spin(&mut self) {
        if let Some(socket) = self.pipe.stream.plain_socket() {
            self.inbound.spin(socket, self.about.config.spin, &self.pipe.life);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("identity", &self.about.identity)
            .field("source", &self.about.source)
            .finish_non_exhaustive()
    }
}

/// Room for one message in a [`Connection`].
#[derive(Debug)]
pub struct Permit<'a> {
    connection: &'a mut Connection,
}

impl Permit<'_> {
    /// Queues the message, which goes out with the next `flush`, `send` or `recv`.
    ///
    /// # Errors
    ///
    /// When the framing cannot carry it.
    pub fn feed<'m>(self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
        Ok(self.connection.pipe.outbound.encode(message.into())?)
    }
}
