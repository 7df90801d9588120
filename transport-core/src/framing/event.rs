//! What a framing makes of the bytes that came.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::message::Message;

/// What came from the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The mechanism that the peer named; only during the handshake.
    Offer(String),
    /// A step of the authentication exchange; only during the handshake.
    Token(Token),
    /// The peer refused this side, for the reason that it gives.
    Refused(String),
    /// A message; only after the handshake.
    Message(Message),
    /// A control event; only after the handshake.
    Control(Control),
}

/// A step of an authentication exchange: how a [`Mechanism`](crate::Mechanism) travels.
///
/// In ZMTP a command. The body may hold secrets, so it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The name, such as `READY`.
    pub name: String,
    /// The body.
    pub body: Bytes,
}

impl Token {
    /// A token.
    pub fn new(name: impl Into<String>, body: impl Into<Bytes>) -> Token {
        Token { name: name.into(), body: body.into() }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {} bytes)", self.name, self.body.len())
    }
}

/// A sign of life, or the request for one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// Asks the peer for a [`Control::Pong`].
    Ping {
        /// How long the receiver may wait for the next frame before it counts this side as dead; zero for ever.
        ttl: Duration,
        /// Sent back in the pong.
        context: Bytes,
    },
    /// Answers a ping.
    Pong {
        /// What the ping carried.
        context: Bytes,
    },
}
