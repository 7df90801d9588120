//! ZeroMQ on top of `transport-core`: socket patterns, CURVE, and byte streams that pass through ZeroMQ proxies.
//!
//! | sockets | pattern |
//! |---|---|
//! | [`PushSocket`], [`PullSocket`] | work is spread over whoever has room |
//! | [`ReqSocket`], [`RepSocket`] | question and answer in lock-step |
//! | [`DealerSocket`], [`RouterSocket`] | the same without lock-step: many questions at once, answers to whom a routing id names |
//! | [`PubSocket`], [`SubSocket`], [`XPubSocket`], [`XSubSocket`] | messages to everyone who has subscribed |
//! | [`PairSocket`] | exactly two |
//!
//! A socket is bound and connected to any number of endpoints at once, over any transport of a table: `tcp`, `unix`
//! (ZeroMQ's `ipc`), `tls`, `mem` (`inproc`). Every peer is authenticated and allowed before it counts, and each message
//! tells who sent it. [`SocketConfig`] has its settings, [`SocketEvent`] what happens at it, and [`proxy`](proxy()) passes
//! messages on between two.
#![forbid(unsafe_code)]

mod config;
pub mod curve;
mod endpoint;
mod engine;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod logic;
mod peer;
mod proxy;
mod publishing;
mod sockets;
mod subscribing;
mod tunnel;
#[cfg(feature = "zeromq")]
pub mod zeromq;

pub use config::{HighWaterMark, Security, SocketConfig};
pub use endpoint::Endpoint;
pub use engine::EndpointError;
pub use events::{Disconnected, Rejection, SocketEvent, SocketEvents};
pub use logic::routing::{Handover, RoutingIdRefused};
pub use peer::Peer;
pub use proxy::{EndStatistics, ProxyEnd, ProxyHandle, ProxyStatistics, SocketProxy, Volume, proxy};
pub use sockets::{
    DealerSocket, DuplexReceiver, DuplexSender, PairSocket, PubSocket, PullSocket, PushSocket, RepSocket,
    ReplyError, ReqSocket, RequestError, RouteError, RouterSocket, SubSocket, XPubSocket, XSubSocket,
};
pub use tunnel::{ZmqConfig, ZmqTransport};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
