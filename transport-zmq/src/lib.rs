//! ZeroMQ on top of `transport-core`: CURVE, and byte streams that pass through ZeroMQ proxies.
#![forbid(unsafe_code)]

pub mod curve;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod tunnel;
#[cfg(feature = "zeromq")]
pub mod zeromq;

pub use tunnel::{ZmqConfig, ZmqTransport};
