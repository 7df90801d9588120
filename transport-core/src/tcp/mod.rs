//! The `tcp` transport: plain TCP, directly or through a proxy.

mod dial;
mod listener;
mod proxy;
mod race;
mod stream;
mod transport;

#[cfg(feature = "fuzzing")]
pub(crate) use proxy::fuzz as fuzz_proxy;
pub use proxy::{Proxy, ProxyAddressError, ProxyAnswer, ProxyError};
pub use transport::TcpTransport;
