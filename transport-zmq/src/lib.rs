//! ZeroMQ on top of `transport-core`: byte streams that pass through ZeroMQ proxies.
#![forbid(unsafe_code)]

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod tunnel;

pub use tunnel::{ZmqConfig, ZmqTransport};
