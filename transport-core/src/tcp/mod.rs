//! The `tcp` transport: plain TCP.

mod listener;
mod stream;
mod transport;

pub use transport::TcpTransport;
