//! For programs that already own sockets of the crate `zeromq`: our messages, policy and limits on them.
//!
//! # What that crate does not do
//!
//! An [`Adapter`] cannot mend what happens beneath it. Of version 0.7 this was measured, or read in its source:
//!
//! - A peer that announces a huge frame makes it reserve the memory before anything is checked, also before the
//!   handshake is complete: a few bytes can abort the process. Use it only where every peer that can connect is trusted.
//! - It authenticates nobody (its mechanism is NULL), and its sockets show nothing of a peer that was proven, kernel
//!   credentials included.
//! - A second peer that brings the routing id of a connected one takes its place at a ROUTER.
//! - There is no deadline for handshakes. A PING, or any other command but READY, ends the connection or is an error.
//! - It speaks ZMTP 3.0: no heartbeats, subscriptions as messages.
//!
//! The sockets of this crate have none of these limits and talk to the same peers; see [`ZmqTransport`](crate::ZmqTransport)
//! and the crate's page.

use transport_core::{Denied, Evidence, Limits, Message, MessageRef, Policy, Protection};
use zeromq::{SocketRecv, SocketSend, ZmqError, ZmqMessage};

/// A socket of the crate `zeromq` that sends and receives our [`Message`]s.
///
/// # Security
///
/// Its peers are anonymous, whoever they are, so the only policies that let one be made are those that allow anyone. What it
/// receives is checked against the [`Limits`] after that crate has read it: they protect the program behind the
/// adapter, not the process. See the [module](self) for the rest.
///
/// # Examples
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::Policy;
/// use transport_zmq::zeromq::Adapter;
/// use zeromq::{DealerSocket, Socket as _};
///
/// let mut socket = DealerSocket::new();
/// socket.connect("tcp://127.0.0.1:5555").await?;
/// let mut socket = Adapter::new(socket, &Policy::danger_anyone())?;
/// socket.send("hello").await?;
/// println!("{:?}", socket.recv().await?);
/// # Ok(())
/// # }
/// ```
pub struct Adapter<S> {
    socket: S,
    limits: Limits,
}

impl<S> Adapter<S> {
    /// Takes the socket over, if the policy lets peers in of whom nothing is known.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn new(socket: S, policy: &Policy) -> Result<Adapter<S>, Denied> {
        policy.check_evidence(&Evidence::new(Protection::None))?;
        Ok(Adapter { socket, limits: Limits::default() })
    }

    /// Sets the bounds on messages received: `message` and `parts` count here.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Adapter<S> {
        self.limits = limits;
        self
    }

    /// The socket.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The socket, by value.
    pub fn into_inner(self) -> S {
        self.socket
    }
}

impl<S: SocketRecv> Adapter<S> {
    /// Receives the next message.
    ///
    /// # Errors
    ///
    /// See [`AdapterError`]. The socket can be used on.
    ///
    /// # Cancel safety
    ///
    /// That of the socket's own `recv`.
    pub async fn recv(&mut self) -> Result<Message, AdapterError> {
        let message = self.socket.recv().await?;
        let (parts, bytes) = (message.len(), message.iter().map(|part| part.len()).sum());
        if parts > self.limits.parts || bytes > self.limits.message {
            return Err(AdapterError::TooLarge { bytes, parts });
        }
        Ok(from_zeromq(message))
    }
}

impl<S: SocketSend> Adapter<S> {
    /// Sends a message.
    ///
    /// # Errors
    ///
    /// See [`AdapterError`].
    ///
    /// # Cancel safety
    ///
    /// That of the socket's own `send`.
    pub async fn send(&mut self, message: impl Into<MessageRef<'_>>) -> Result<(), AdapterError> {
        Ok(self.socket.send(to_zeromq(message)).await?)
    }
}

impl<S> std::fmt::Debug for Adapter<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Adapter")
    }
}

/// A message of that crate with the same parts.
pub fn to_zeromq<'a>(message: impl Into<MessageRef<'a>>) -> ZmqMessage {
    let parts: Vec<_> = message.into().to_message().into_parts().collect();
    ZmqMessage::try_from(parts).expect("a message has at least one part")
}

/// Our message with the same parts.
pub fn from_zeromq(message: ZmqMessage) -> Message {
    message.into_vec().into_iter().collect()
}

/// Why a message was not sent or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The socket failed.
    #[error("the socket of the crate `zeromq` failed")]
    Socket(#[from] ZmqError),
    /// The message was beyond the limits, and was dropped.
    #[error("a message of {bytes} bytes in {parts} parts is beyond the limits and was dropped")]
    TooLarge {
        /// Its bytes, over all parts.
        bytes: usize,
        /// Its parts.
        parts: usize,
    },
}
