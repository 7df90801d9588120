//! Byte streams as messages of a DEALER/ROUTER pair: the `zmq+...` transports.
//!
//! - `wire`: the messages
//! - `flow`: one stream's logic, without I/O
//! - `pipe`: a flow between the application and the connection's tasks
//! - `hop`: one ZeroMQ connection and its streams
//! - `stream`, `listener`, `transport`: what core sees

mod config;
mod flow;
mod hop;
mod listener;
mod pipe;
mod stream;
mod transport;
mod wire;

pub use config::ZmqConfig;
#[cfg(feature = "fuzzing")]
pub(crate) use flow::check_frames;
pub use transport::ZmqTransport;
