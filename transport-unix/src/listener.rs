//! Accepting.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketType, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener as TokioListener;
use transport_core::{Address, HandOver, Incoming, Listener, Protection};

use crate::access::Access;
use crate::place::Place;
use crate::processes::Processes;
use crate::socket_file::SocketFile;
use crate::stream::establish;

pub(crate) struct UnixListener {
    socket: Arc<ListeningSocket>,
    local: Address,
    processes: Option<Arc<Processes>>,
}

/// The socket and its file, which is removed in the end.
struct ListeningSocket {
    listener: TokioListener,
    file: Option<SocketFile>,
}

/// Connections that may wait for an accept; the kernel caps it.
const BACKLOG: i32 = 4096;

impl UnixListener {
    pub(crate) fn bind(
        place: Place,
        access: &Access,
        processes: Option<Arc<Processes>>,
        local: Address,
    ) -> io::Result<UnixListener> {
        let mut file = place.file().map(|path| SocketFile::claim(path, access)).transpose()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The file is made with no more than this; the umask may take away some of it.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(access.mode))?;
        socket.bind(&SockAddr::unix(place.to_path())?)?;
        if let Some(file) = &mut file {
            // Before `listen`: until then nobody can connect, whoever may open the file.
            file.bound(access)?;
        }
        socket.listen(BACKLOG)?;
        UnixListener::new(socket.into(), file, processes, local)
    }

    /// Of a socket that listens.
    pub(crate) fn new(
        socket: StdListener,
        file: Option<SocketFile>,
        processes: Option<Arc<Processes>>,
        local: Address,
    ) -> io::Result<UnixListener> {
        let socket = ListeningSocket { listener: TokioListener::from_std(socket)?, file };
        Ok(UnixListener { socket: Arc::new(socket), local, processes })
    }

    /// Of a socket that another process made: whose address, if the other process has told it, is `local`.
    pub(crate) fn adopt(
        socket: OwnedFd,
        local: Option<Address>,
        lock: Option<OwnedFd>,
        processes: Option<Arc<Processes>>,
    ) -> io::Result<UnixListener> {
        let is_unix = sockopt::socket_domain(&socket)? == AddressFamily::UNIX;
        let is_stream = sockopt::socket_type(&socket)? == SocketType::STREAM;
        if !is_unix || !is_stream || !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no Unix stream socket that listens",
            ));
        }
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        let socket = StdListener::from(socket);
        socket.set_nonblocking(true)?;
        let bound = address_of(&socket)?;
        let file = match (lock, bound.path()) {
            (Some(lock), Some(path)) => Some(SocketFile::taken_over(path, lock)?),
            _ => None,
        };
        UnixListener::new(socket, file, processes, local.unwrap_or(bound))
    }

    /// From now on clients see that this process listens, and no more the one that did before.
    pub(crate) fn listen_again(&self) -> io::Result<()> {
        Ok(rustix::net::listen(&self.socket.listener, BACKLOG)?)
    }
}

/// Where a socket is bound.
fn address_of(socket: &StdListener) -> io::Result<Address> {
    let bound = socket.local_addr()?;
    if let Some(path) = bound.as_pathname() {
        return Ok(Address::unix(std::path::absolute(path)?));
    }
    let name = bound.as_abstract_name().ok_or_else(|| io::Error::other("it has no address"))?;
    let encoded: String = name.iter().map(|byte| format!("%{byte:02x}")).collect();
    format!("unix:@{encoded}").parse().map_err(io::Error::other)
}

impl Listener for UnixListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, _unnamed) = ready!(self.socket.listener.poll_accept(cx))?;
        Poll::Ready(establish(stream, self.processes.as_deref()).map(Incoming::Established))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        Protection::SameHost
    }

    fn hand_over(&self) -> Option<Weak<dyn HandOver>> {
        let socket: Arc<dyn HandOver> = Arc::clone(&self.socket) as _;
        Some(Arc::downgrade(&socket))
    }
}

impl HandOver for ListeningSocket {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let lock = self.file.as_ref().map(SocketFile::lock);
        [self.listener.as_fd()].into_iter().chain(lock).collect()
    }

    fn release(&self) {
        if let Some(file) = &self.file {
            file.release();
        }
    }

    fn keep(&self) {
        if let Some(file) = &self.file {
            file.keep();
        }
    }
}
