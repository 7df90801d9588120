//! The connection.

use std::time::Duration;

use transport_core::{Claims, Identity, Message, MessageRef, RecvError, SendError, Source};

use super::error::Error;
use super::halves::{Receiver, Sender};
use super::runtime::Runtime;

/// A connection whose calls block: see [`transport_core::Connection`].
///
/// It can be moved between threads, and [`split`](Connection::split) makes two halves for use by two.
///
/// # Examples
///
/// See the [module](super).
#[derive(Debug)]
pub struct Connection {
    // Before the runtime, so that it is dropped first: its socket is registered there.
    connection: transport_core::Connection,
    runtime: Runtime,
}

impl Connection {
    pub(super) fn new(connection: transport_core::Connection, runtime: Runtime) -> Connection {
        Connection { connection, runtime }
    }

    pub(super) fn into_parts(self) -> (transport_core::Connection, Runtime) {
        (self.connection, self.runtime)
    }

    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        self.connection.identity()
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        self.connection.claims()
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        self.connection.source()
    }

    /// Sends a message, and waits until the kernel has taken it; which does not mean that the peer has received it.
    ///
    /// # Errors
    ///
    /// See [`SendError`] and [`Error`].
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error<SendError>> {
        self.runtime.try_block_on(self.connection.send(message))
    }

    /// Queues a message; writes only when 128 KiB have gathered. End a batch with [`flush`](Connection::flush).
    ///
    /// # Errors
    ///
    /// See [`SendError`] and [`Error`].
    pub fn feed<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error<SendError>> {
        self.runtime.try_block_on(self.connection.feed(message))
    }

    /// Writes everything queued.
    ///
    /// # Errors
    ///
    /// See [`SendError`] and [`Error`].
    pub fn flush(&mut self) -> Result<(), Error<SendError>> {
        self.runtime.try_block_on(self.connection.flush())
    }

    /// Waits for the next message; `None` when the peer has closed, or the server of this connection drains.
    ///
    /// # Errors
    ///
    /// See [`RecvError`] and [`Error`].
    pub fn recv(&mut self) -> Result<Option<Message>, Error<RecvError>> {
        self.runtime.try_block_on(self.connection.recv())
    }

    /// As [`recv`](Connection::recv), for so long at most. A part of a message that has come meanwhile is not lost.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when nothing has come; else see [`RecvError`] and [`Error`].
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Option<Message>, Error<RecvError>> {
        Ok(self.runtime.block_for(time, self.connection.recv())??)
    }

    /// Waits for a message, and appends up to `max` that have arrived to `messages`; see
    /// [`recv_many`](transport_core::Connection::recv_many).
    ///
    /// # Errors
    ///
    /// See [`RecvError`] and [`Error`].
    pub fn recv_many(&mut self, messages: &mut Vec<Message>, max: usize) -> Result<usize, Error<RecvError>> {
        self.runtime.try_block_on(self.connection.recv_many(messages, max))
    }

    /// Splits the connection for use by two threads, or more: [`Sender`] can be cloned.
    ///
    /// # Errors
    ///
    /// Only [`Error::WithinRuntime`]; the connection is dropped then.
    pub fn split(self) -> Result<(Sender, Receiver), Error<SendError>> {
        let (connection, runtime) = self.into_parts();
        // What is queued may need a task.
        let (sender, receiver) = runtime.block_on(async { connection.split() })?;
        Ok((Sender::new(sender, runtime.clone()), Receiver::new(receiver, runtime)))
    }

    /// Ends the connection: see [`transport_core::Connection::close`].
    ///
    /// # Errors
    ///
    /// When the queue could not be written; see also [`Error`].
    pub fn close(self) -> Result<(), Error<SendError>> {
        self.runtime.try_block_on(self.connection.close())
    }
}
