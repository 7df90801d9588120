//! Authenticated messages over pluggable byte streams.
//!
//! ```text
//! application
//!   -> Connection      messages in, messages out, and the peer's proven Identity
//!     -> Mechanism     the authentication exchange: NULL, PLAIN, SCRAM, or your own
//!     -> Framing       bytes <-> messages: ZMTP 3.1, length-prefixed, any tokio_util codec, or your own
//!       -> Transport   byte streams plus Evidence of who is there: tcp, mem, or your own
//! ```
//!
//! Most programs add the crate `transport` instead, which brings all transports and finds them by URL. This crate is
//! for those that bring a transport, a framing or a mechanism of their own, or want no more than they use.
//!
//! # Examples
//!
//! A server and a client are in the docs of [`Connection`]. `examples/own_parts.rs` has a transport, a framing and a
//! mechanism made outside of this crate.
#![forbid(unsafe_code)]

mod address;
mod batch;
pub mod call;
mod claims;
mod client;
mod connect;
mod connection;
mod descriptors;
mod events;
mod evidence;
mod farewell;
pub mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod glob;
mod handshake;
mod identity;
mod limits;
mod listen;
pub mod mechanism;
pub mod mem;
mod message;
#[cfg(feature = "metrics")]
pub mod metrics;
mod peer_process;
mod policy;
pub mod secret_file;
mod server;
pub mod tcp;
#[cfg(feature = "test-util")]
pub mod test_util;
mod transport;
mod write_buffer;

pub use address::{Address, AddressError, AddressProblem, Location};
pub use batch::Batch;
pub use claims::Claims;
pub use client::{
    Backoff, BackoffConfig, Client, ClientConfig, ClientEnd, ClientEvent, ClientEvents, ClientHandle,
    ClientSendError, ClientState, Disconnect, GaveUp,
};
pub use connect::{ConfigError, Connect, ConnectError};
pub use connection::{
    Broadcast, BroadcastMany, CloseReason, Closed, Connection, ConnectionId, Cut, Permit, Receiver,
    RecvError, SendError, Sender, SenderGroup, SenderPermit, Traffic,
};
pub use descriptors::{DescriptorError, MOST_DESCRIPTORS};
pub use events::{EventOrGap, EventSender, Events};
pub use evidence::{Certificate, ChannelBinding, Evidence, PeerCredentials, Proof, Protection};
pub use farewell::say_farewell;
pub use framing::{Framing, FramingError, Role, Token};
pub use handshake::{HandshakeError, UnprotectedError};
pub use identity::{Identity, Principal};
pub use limits::Limits;
pub use listen::{Listen, ListenError};
pub use mechanism::{Mechanism, Refusal};
pub use message::{Message, MessageRef};
pub use peer_process::PeerProcess;
pub use policy::{Denied, Policy, PolicyError};
pub use server::{Drained, RawConnection, RawServer, Server, ServerEvent, ServerEvents, ServerHandle};
pub use transport::{
    BoxFuture, BoxRead, BoxStream, BoxWrite, Established, HandOver, Incoming, Listener, ReadHalf, Source,
    Stream, Transport, TransportError, Transports, UnknownScheme, WriteHalf,
};
pub use write_buffer::{SHARE_FROM, WriteBuffer};

/// The examples of the README, compiled.
#[cfg(all(doctest, feature = "test-util"))]
#[doc = include_str!("../README.md")]
struct Readme;
