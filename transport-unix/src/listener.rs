//! Accepting, and the socket file's life.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener as TokioListener;
use transport_core::{Address, Incoming, Listener, Protection};

use crate::place::Place;
use crate::stream::establish;

pub(crate) struct UnixListener {
    listener: TokioListener,
    local: Address,
    /// Removed when the listener ends.
    _file: Option<SocketFile>,
}

/// Connections that may wait for an accept; the kernel caps it.
const BACKLOG: i32 = 4096;

impl UnixListener {
    pub(crate) fn bind(place: Place, mode: u32, local: Address) -> io::Result<UnixListener> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(place.to_path())?)?;
        let file = match place.file() {
            None => None,
            Some(path) => {
                let file = SocketFile::of(path.to_owned())?;
                // Before `listen`: until then nobody can connect, whatever the mode.
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
                Some(file)
            }
        };
        socket.listen(BACKLOG)?;
        let listener = TokioListener::from_std(socket.into())?;
        Ok(UnixListener { listener, local, _file: file })
    }
}

impl Listener for UnixListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let (stream, _unnamed) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(establish(stream).map(Incoming::Established))
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        Protection::SameHost
    }
}

/// The file of a socket that this process has bound.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<SocketFile> {
        let metadata = fs::symlink_metadata(&path)?;
        Ok(SocketFile { path, device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    /// Removes the file if it is still this socket's: another server may have put its own in the place.
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket file");
        }
    }
}
