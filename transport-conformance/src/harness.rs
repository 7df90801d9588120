//! What the suite needs to know of a transport.

use std::any::Any;
use std::future::Future;
use std::time::Duration;

use transport_core::{Address, BoxFuture, Protection, Transports};

use crate::establish::connect;

/// Stands for one transport in one test.
pub trait Harness: Send + Sync + 'static {
    /// A harness of its own for each test.
    fn new() -> Self
    where
        Self: Sized;

    /// A table with the transport in it; always the same one.
    fn transports(&self) -> Transports;

    /// An address to listen at that nobody else uses: another one at each call.
    fn address(&self) -> String;

    /// Addresses with the transport's scheme that make sense to no one: each must be refused, for connecting and for
    /// listening.
    fn misshapen(&self) -> Vec<String>;

    /// What the suite will find.
    fn expected(&self) -> Expected;

    /// Whether its streams carry descriptors. The default: they do not.
    fn carries_descriptors(&self) -> bool {
        false
    }

    /// Connects as far as it goes without the help of the accepting side, and then says nothing, for as long as the
    /// returned value lives.
    ///
    /// The default connects with the transport. One that has a handshake of its own must stop before it.
    fn silent_peer(&self, address: Address) -> BoxFuture<'_, Box<dyn Any + Send>> {
        Box::pin(async move {
            let established = connect(self, &address).await.expect("connect");
            Box::new(established.stream) as Box<dyn Any + Send>
        })
    }
}

/// What a transport's streams and peers look like.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How a client's identity prints at the server.
    pub client: String,
    /// How the server's identity prints at a client.
    pub server: String,
    /// The protection of its streams.
    pub protection: Protection,
    /// Whether its streams take several slices in one write.
    pub vectored: bool,
    /// Whether its streams are those of a socket, with nothing in between.
    pub plain_socket: bool,
}

/// Gives a test up that hangs.
///
/// # Panics
///
/// After a minute: far more than any test takes, even on a busy machine.
pub async fn bounded<T>(name: &str, test: impl Future<Output = T>) -> T {
    const NET: Duration = Duration::from_secs(60);
    match tokio::time::timeout(NET, test).await {
        Ok(value) => value,
        Err(_) => panic!("{name} hangs: given up after {NET:?}"),
    }
}
