//! Connecting and listening.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::listener::MemListener;
use super::stream::{establish, pair};
use crate::address::{Address, Location};
use crate::transport::{BoxFuture, Established, Incoming, Listener, Transport, TransportError};

pub(super) const SCHEME: &str = "mem";

/// Streams within this process: `mem://name`.
///
/// Names belong to this value and its clones, not to the process: two programs' parts that do not share one cannot
/// meet. It proves that the peer is in the same process.
#[derive(Clone, Debug, Default)]
pub struct MemTransport {
    names: Names,
}

/// Who listens at which name.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<HashMap<String, mpsc::Sender<Incoming>>>>);

/// As many connecting sides may wait for an accept; more are refused.
const BACKLOG: usize = 128;

impl MemTransport {
    /// A transport with no names yet.
    pub fn new() -> MemTransport {
        MemTransport::default()
    }
}

impl Transport for MemTransport {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(async move {
            let name = name(address)?;
            let refused = |problem: &str| {
                let error = io::Error::new(io::ErrorKind::ConnectionRefused, problem);
                TransportError::io(format!("connect to {address}"), error)
            };
            let listener = self.names.lock().get(name).cloned();
            let listener = listener.ok_or_else(|| refused("nobody listens there"))?;
            let (near, far) = pair();
            let sent = listener.try_send(Incoming::Established(establish(far)));
            sent.map_err(|_| refused("too many wait to be accepted, or the listener has just gone"))?;
            Ok(establish(near))
        })
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let name = name(address)?;
            let (sender, receiver) = mpsc::channel(BACKLOG);
            let mut names = self.names.lock();
            if names.contains_key(name) {
                let error = io::Error::new(io::ErrorKind::AddrInUse, "someone listens there already");
                return Err(TransportError::io(format!("listen at {address}"), error));
            }
            names.insert(name.to_owned(), sender);
            drop(names);
            let listener = MemListener::new(receiver, address.clone(), name.to_owned(), self.names.clone());
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

impl Names {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Incoming>>> {
        // Held for single map operations only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(address: &Address) -> Result<&str, TransportError> {
    match address.location() {
        Location::Name(name) if address.parameters().next().is_none() => Ok(name),
        _ => Err(TransportError::address(address, SCHEME, "write mem://name, as in mem://app")),
    }
}
