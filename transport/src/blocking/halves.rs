//! The halves, for two threads.

use std::time::Duration;

use transport_core::{Claims, Identity, Message, MessageRef, RecvError, SendError, Source};

use super::error::Error;
use super::runtime::Runtime;

/// The outgoing half of a [`Connection`](super::Connection): cloned for as many threads as send.
#[derive(Clone, Debug)]
pub struct Sender {
    sender: transport_core::Sender,
    runtime: Runtime,
}

/// The incoming half of a [`Connection`](super::Connection).
#[derive(Debug)]
pub struct Receiver {
    receiver: transport_core::Receiver,
    runtime: Runtime,
}

impl Sender {
    pub(super) fn new(sender: transport_core::Sender, runtime: Runtime) -> Sender {
        Sender { sender, runtime }
    }

    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        self.sender.identity()
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        self.sender.claims()
    }

    /// Sends a message, and waits until the kernel has taken it and what was sent before it.
    ///
    /// # Errors
    ///
    /// See [`SendError`] and [`Error`].
    pub fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error<SendError>> {
        self.runtime.try_block_on(async {
            self.sender.send(message).await?;
            // What would be left to a task may find nobody who drives it afterwards.
            self.sender.flush().await
        })
    }

    /// Closes the outgoing direction: the peer sees the end. The [`Receiver`] goes on.
    ///
    /// # Errors
    ///
    /// See [`SendError`] and [`Error`].
    pub fn close(self) -> Result<(), Error<SendError>> {
        self.runtime.try_block_on(self.sender.close())
    }
}

impl Receiver {
    pub(super) fn new(receiver: transport_core::Receiver, runtime: Runtime) -> Receiver {
        Receiver { receiver, runtime }
    }

    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        self.receiver.identity()
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        self.receiver.claims()
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        self.receiver.source()
    }

    /// Waits for the next message; see [`Connection::recv`](super::Connection::recv).
    ///
    /// # Errors
    ///
    /// See [`RecvError`] and [`Error`].
    pub fn recv(&mut self) -> Result<Option<Message>, Error<RecvError>> {
        self.runtime.try_block_on(self.receiver.recv())
    }

    /// As [`recv`](Receiver::recv), for so long at most.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when nothing has come; else see [`RecvError`] and [`Error`].
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Option<Message>, Error<RecvError>> {
        Ok(self.runtime.block_for(time, self.receiver.recv())??)
    }
}
