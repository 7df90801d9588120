//! Listening sockets that a service manager made (systemd's socket activation, sd_listen_fds(3)).

use std::io;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use transport_core::tcp::TcpTransport;
use transport_core::{Listener, TransportError};

use crate::transport::UnixTransport;

/// Listening sockets that a service manager made for this process and passed on: `unix` and `tcp`.
///
/// They keep what the manager gave them: a socket file is neither changed nor removed, and has no lock file. Clients see
/// that the manager's user listens, uid 0 for systemd: [`Policy::same_user_or_root`](transport_core::Policy::same_user_or_root)
/// is for them.
///
/// # Examples
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::{Listen, Policy};
/// use transport_unix::Inherited;
///
/// // [Socket] ListenStream=/run/app.sock FileDescriptorName=api
/// let mut inherited = Inherited::take()?;
/// let listener = inherited.listener("api").ok_or("start me by my socket unit")??;
/// let server = Listen::on(listener).policy(Policy::uid(1000)).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, Socket)>,
}

#[derive(Debug)]
enum Socket {
    Unix(OwnedFd),
    Tcp(OwnedFd),
}

/// Why inherited sockets cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the inherited socket {name:?} is neither a unix nor a tcp socket for streams")]
pub struct InheritedError {
    name: String,
    #[source]
    cause: io::Error,
}

impl Inherited {
    /// Takes the sockets that the environment tells of: `LISTEN_PID` must be this process. Without any there are none.
    ///
    /// The environment's variables are removed, so that no child process takes them for its own; so call it first thing in
    /// `main`, before there are other threads. A second call finds nothing.
    ///
    /// # Errors
    ///
    /// When one of them is no stream socket of a family that there is a transport for.
    pub fn take() -> Result<Inherited, InheritedError> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let (pid, names) = (variable("LISTEN_PID"), variable("LISTEN_FDNAMES"));
        // Without it `listenfd` would take them for ours.
        if pid.parse() != Ok(std::process::id()) {
            return Ok(Inherited::default());
        }
        let mut given = ListenFd::from_env();
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        let sockets = (0..given.len()).zip(names);
        let sockets = sockets.map(|(index, name)| match socket(&mut given, index) {
            Ok(socket) => Ok((name, socket)),
            Err(cause) => Err(InheritedError { name, cause }),
        });
        Ok(Inherited { sockets: sockets.collect::<Result<_, _>>()? })
    }

    /// The names of the sockets that are left, in the order in which they were passed on: those of the socket unit, or of
    /// its `FileDescriptorName=`; empty where the manager gave none.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(name, _)| name.as_str())
    }

    /// Takes the first socket of this name, for [`Listen::on`](transport_core::Listen::on). Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// When it does not listen, as with `Accept=yes`.
    pub fn listener(&mut self, name: &str) -> Option<Result<Box<dyn Listener>, TransportError>> {
        let index = self.names().position(|known| known == name)?;
        Some(match self.sockets.remove(index).1 {
            Socket::Unix(socket) => UnixTransport::new().adopt(socket),
            Socket::Tcp(socket) => TcpTransport::new().adopt(socket),
        })
    }
}

fn socket(given: &mut ListenFd, index: usize) -> io::Result<Socket> {
    if let Ok(Some(socket)) = given.take_unix_listener(index) {
        return Ok(Socket::Unix(socket.into()));
    }
    match given.take_tcp_listener(index)? {
        Some(socket) => Ok(Socket::Tcp(socket.into())),
        None => Err(io::Error::other("it has been taken already")),
    }
}
