//! The file of a socket: who may make it, and who may remove it.
//!
//! ```text
//! lock PATH.lock  ->  PATH is absent, or a socket that nobody listens at (removed)  ->  bind, chown, chmod, listen
//!                     PATH is live, or no socket: refused, left alone
//! end: remove PATH if it is still ours, remove PATH.lock, unlock
//! handed over: leave both alone; the lock goes with its descriptor
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::access::Access;
use crate::folders;

/// The right to have a socket file at a path, held by one process at a time; removes the file in the end.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode of the socket file, once it is there: another may be in its place later.
    own: Option<(u64, u64)>,
    lock_path: PathBuf,
    /// Locked for as long as this value lives, or one that it was handed over to.
    lock: File,
    /// It is another process that removes the files.
    released: AtomicBool,
}

impl SocketFile {
    /// Takes the right, and removes a file that a server without a proper end left behind.
    pub(crate) fn claim(path: &Path, access: &Access) -> io::Result<SocketFile> {
        folders::check(path, access)?;
        let lock_path = lock_path(path);
        let lock = lock(&lock_path)?;
        let path = path.to_owned();
        let claimed = SocketFile { path, own: None, lock_path, lock, released: AtomicBool::new(false) };
        remove_stale(&claimed.path)?;
        Ok(claimed)
    }

    /// Tells that the socket is bound, and gives its file owner, group and mode.
    pub(crate) fn bound(&mut self, access: &Access) -> io::Result<()> {
        // Not by its path: a group that may change the folder must not make this process change another file.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&self.path, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.file_type().is_socket() {
            return Err(in_use("something else has taken its place"));
        }
        self.own = Some((metadata.dev(), metadata.ino()));
        if access.owner.is_some() || access.group.is_some() {
            rustix::fs::chownat(&file, "", access.owner, access.group, AtFlags::EMPTY_PATH)?;
        }
        if file.metadata()?.mode() & 0o7777 != access.mode {
            let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
            fs::set_permissions(itself, fs::Permissions::from_mode(access.mode))?;
        }
        Ok(())
    }

    /// Goes on with a right that another process had: its lock came with the socket. The files are removed in the end once
    /// [`keep`](SocketFile::keep) has been called.
    pub(crate) fn taken_over(path: &Path, lock: OwnedFd) -> io::Result<SocketFile> {
        let (path, lock_path, lock) = (path.to_owned(), lock_path(path), File::from(lock));
        let metadata = lock.metadata()?;
        if inode(&lock_path)? != (metadata.dev(), metadata.ino()) {
            return Err(in_use("its lock file is not the one that was handed over"));
        }
        let own = Some(inode(&path)?);
        Ok(SocketFile { path, own, lock_path, lock, released: AtomicBool::new(true) })
    }

    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// The files are another process's now.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    /// The files are this process's now.
    pub(crate) fn keep(&self) {
        self.released.store(false, Ordering::Release);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if *self.released.get_mut() {
            return;
        }
        let is_ours = self.own.is_some() && inode(&self.path).ok() == self.own;
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket file");
        }
        // While it is still locked: whoever waits for it looks whether it is still the file at its path.
        if let Err(error) = fs::remove_file(&self.lock_path) {
            tracing::warn!(path = %self.lock_path.display(), %error, "cannot remove the lock file");
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".lock");
    PathBuf::from(name)
}

/// Opens and locks the lock file without waiting.
fn lock(path: &Path) -> io::Result<File> {
    // Each turn means that another server ended in between; so many do not.
    const TURNS: usize = 100;
    for _ in 0..TURNS {
        let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_link)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN) => return Err(in_use("another server holds its lock file")),
            Err(error) => return Err(error.into()),
        }
        let metadata = file.metadata()?;
        if inode(path).is_ok_and(|inode| inode == (metadata.dev(), metadata.ino())) {
            return Ok(file);
        }
    }
    Err(in_use("other servers come and go there"))
}

/// Removes a socket that nobody listens at; everything else in the place is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(in_use("what is there is no socket, so it is left alone"));
    }
    match try_connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing a socket file that a server left behind");
            fs::remove_file(path)
        }
        // Also when this process may not connect, or the backlog is full: somebody is there.
        _ => Err(in_use("a server listens there")),
    }
}

/// Connects without waiting: a blocking one waits for as long as a server accepts nobody and its backlog is full.
fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn in_use(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, problem)
}
