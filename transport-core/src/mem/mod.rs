//! The `mem` transport: streams within this process.

mod listener;
mod stream;
mod transport;

pub use transport::MemTransport;
