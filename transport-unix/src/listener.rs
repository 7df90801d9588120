//! Accepting.

use std::io;
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener as TokioListener;
use transport_core::{Address, Incoming, Listener, Protection};

use crate::place::Place;
use crate::socket_file::SocketFile;
use crate::stream::establish;

pub(crate) struct UnixListener {
    listener: TokioListener,
    local: Address,
    hold_process: bool,
    /// Removed when the listener ends.
    _file: Option<SocketFile>,
}

/// Connections that may wait for an accept; the kernel caps it.
const BACKLOG: i32 = 4096;

impl UnixListener {
    pub(crate) fn bind(
        place: Place,
        mode: u32,
        hold_process: bool,
        local: Address,
    ) -> io::Result<UnixListener> {
        let mut file = place.file().map(SocketFile::claim).transpose()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(place.to_path())?)?;
        if let Some(file) = &mut file {
            // Before `listen`: until then nobody can connect, whatever the mode.
            file.bound(mode)?;
        }
        socket.listen(BACKLOG)?;
        let listener = TokioListener::from_std(socket.into())?;
        Ok(UnixListener { listener, local, hold_process, _file: file })
    }
}

impl Listener for UnixListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, _unnamed) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(establish(stream, self.hold_process).map(Incoming::Established))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        Protection::SameHost
    }
}
