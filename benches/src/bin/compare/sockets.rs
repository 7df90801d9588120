//! Connected pairs of blocking std sockets, for the subjects which bring no sockets of their own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use tempfile::TempDir;

use crate::job::Result;

/// Two ends of a new TCP connection over 127.0.0.1, both with `TCP_NODELAY`.
pub(crate) fn tcp() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // The kernel completes the connection in the listener's backlog, so one thread can do both ends.
    let connected = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    connected.set_nodelay(true)?;
    accepted.set_nodelay(true)?;
    Ok((connected, accepted))
}

/// Two ends of a new Unix stream connection through a path, as a program would meet it.
pub(crate) fn unix() -> Result<(UnixStream, UnixStream)> {
    let folder = folder()?;
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let connected = UnixStream::connect(&path)?;
    let (accepted, _) = listener.accept()?;
    Ok((connected, accepted))
}

/// A new folder for a Unix socket; it goes away with the value.
pub(crate) fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("compare-").tempdir()?)
}
