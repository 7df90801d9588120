//! The server.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use transport_core::{Address, Drained};

use super::connection::Connection;
use super::error::Error;
use super::runtime::Runtime;

/// Accepts connections in a thread of its own, and hands over those whose peers have been authenticated and are
/// allowed: see [`transport_core::Server`].
///
/// Dropping it stops accepting; connections that were handed over go on.
///
/// # Examples
///
/// See the [module](super).
#[derive(Debug)]
pub struct Server {
    server: transport_core::Server,
    runtime: Runtime,
}

/// Reaches a [`Server`] from another thread: to shut it down while one accepts.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    handle: transport_core::ServerHandle,
    runtime: Runtime,
}

impl Server {
    pub(super) fn new(server: transport_core::Server, runtime: Runtime) -> Server {
        Server { server, runtime }
    }

    /// The address that peers can connect to: with the port that was chosen, if any was.
    pub fn local_address(&self) -> &Address {
        self.server.local_address()
    }

    /// Waits for the next authenticated connection; `None` when the server has been shut down.
    ///
    /// # Errors
    ///
    /// Only those of [`Error`] that say so; a connection that finds no descriptors for a runtime of its own is dropped.
    pub fn accept(&mut self) -> Result<Option<Connection>, Error<Infallible>> {
        let accepted = self.runtime.block_on(self.server.accept())?;
        accepted.map(|connection| to_the_caller(connection, &self.runtime)).transpose()
    }

    /// As [`accept`](Server::accept), for so long at most.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when nobody has come; else as `accept`.
    pub fn accept_timeout(&mut self, time: Duration) -> Result<Option<Connection>, Error<Infallible>> {
        let accepted = self.runtime.block_for(time, self.server.accept())?;
        accepted.map(|connection| to_the_caller(connection, &self.runtime)).transpose()
    }

    /// Reaches this server from another thread.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { handle: self.server.handle(), runtime: self.runtime.clone() }
    }

    /// See [`ServerHandle::shutdown`].
    ///
    /// # Errors
    ///
    /// Only [`Error::WithinRuntime`]; accepting has stopped all the same.
    pub fn shutdown(self, grace: Duration) -> Result<Drained, Error<Infallible>> {
        self.runtime.block_on(self.server.shutdown(grace))
    }
}

impl ServerHandle {
    /// Ends the server: stops accepting and frees the address, lets the connections finish, and cuts those that have not
    /// after `grace`. See [`transport_core::ServerHandle::shutdown`].
    ///
    /// # Errors
    ///
    /// Only [`Error::WithinRuntime`]; nothing was done then.
    pub fn shutdown(&self, grace: Duration) -> Result<Drained, Error<Infallible>> {
        self.runtime.block_on(self.handle.shutdown(grace))
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.handle.connection_count()
    }

    /// The address that peers can connect to.
    pub fn local_address(&self) -> &Address {
        self.handle.local_address()
    }
}

/// In the server's runtime each message would wake two threads, one after the other.
fn to_the_caller(
    mut connection: transport_core::Connection,
    server: &Runtime,
) -> Result<Connection, Error<Infallible>> {
    let runtime = Runtime::of_the_caller()?;
    let moved: io::Result<()> = runtime.block_on(async { connection.move_to_runtime() })?;
    match moved {
        Ok(()) => Ok(Connection::new(connection, runtime)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Connection::new(connection, server.clone()))
        }
        Err(error) => Err(Error::Runtime(error)),
    }
}
