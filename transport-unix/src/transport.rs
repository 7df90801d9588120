//! Connecting and listening.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream as TokioStream;
use transport_core::{Address, BoxFuture, Established, Listener, Transport, TransportError};

use crate::access::{self, Access};
use crate::config::UnixConfig;
use crate::listener::UnixListener;
use crate::place::{Place, SCHEME};
use crate::processes::Processes;
use crate::stream::establish;

/// Unix sockets: `unix:///path` and `unix:@name`.
///
/// It proves the peer's uid, gid and pid to both sides. What a listening side shows is who called `listen()`, which
/// for a socket made by a service manager is its uid 0.
#[derive(Clone, Debug, Default)]
pub struct UnixTransport {
    config: UnixConfig,
    processes: Arc<Processes>,
}

impl UnixTransport {
    /// With the default settings.
    pub fn new() -> UnixTransport {
        UnixTransport::default()
    }

    /// With settings of your own.
    pub fn with_config(config: UnixConfig) -> UnixTransport {
        UnixTransport { config, processes: Arc::default() }
    }

    /// Goes on with a socket that listens already, whoever made it: for [`Listen::on`](transport_core::Listen::on). Its
    /// file, if it has one, is left as it is, in the end too. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When it is no Unix stream socket that listens.
    pub fn adopt(&self, socket: OwnedFd) -> Result<Box<dyn Listener>, TransportError> {
        let adopted = UnixListener::adopt(socket, None, None, self.processes());
        Ok(Box::new(adopted.map_err(|error| TransportError::io("go on with a listening socket", error))?))
    }

    /// Where peers' processes are held, if they are.
    fn processes(&self) -> Option<Arc<Processes>> {
        self.config.hold_process.then(|| Arc::clone(&self.processes))
    }
}

impl Transport for UnixTransport {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(async move {
            access::mode(address)?; // it is for the listening side, but a wrong one is a mistake all the same
            let path = Place::of(address)?.to_path();
            let connected = connect(&path).await;
            let established = connected.and_then(|stream| establish(stream, self.processes().as_deref()));
            established.map_err(|error| TransportError::io(format!("connect to {address}"), error))
        })
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let place = Place::of(address)?;
            let access = Access::of(address, &self.config)?;
            let listener = UnixListener::bind(place, &access, self.processes(), address.clone());
            let listener =
                listener.map_err(|error| TransportError::io(format!("listen at {address}"), error))?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    /// The socket, and the lock of its file where it has one.
    fn take_over(
        &self,
        address: &Address,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Box<dyn Listener>, TransportError> {
        let mut descriptors = descriptors.into_iter();
        let (socket, lock) = (descriptors.next(), descriptors.next());
        let Some(socket) = socket else {
            return Err(TransportError::address(address, SCHEME, "a socket belongs to it"));
        };
        let taken = UnixListener::adopt(socket, Some(address.clone()), lock, self.processes())
            .and_then(|listener| listener.listen_again().map(|()| listener));
        Ok(Box::new(taken.map_err(|error| TransportError::io(format!("take over {address}"), error))?))
    }
}

/// A Unix socket whose backlog is full answers a connect that must not block with EAGAIN, and tells nobody when there is
/// room again: all that can be done is to ask again. The caller has the deadline.
async fn connect(path: &std::path::Path) -> io::Result<TokioStream> {
    let mut pause = Duration::from_millis(1);
    loop {
        match TokioStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}
