//! The file of a socket: who may make it, and who may remove it.
//!
//! ```text
//! lock PATH.lock  ->  PATH is absent, or a socket that nobody listens at (removed)  ->  bind, chmod, listen
//!                     PATH is live, or no socket: refused, left alone
//! end: remove PATH if it is still ours, remove PATH.lock, unlock
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

/// The right to have a socket file at a path, held by one process at a time; removes the file in the end.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode of the socket file, once it is there: another may be in its place later.
    own: Option<(u64, u64)>,
    lock_path: PathBuf,
    /// Locked for as long as this value lives.
    _lock: File,
}

impl SocketFile {
    /// Takes the right, and removes a file that a server without a proper end left behind.
    pub(crate) fn claim(path: &Path) -> io::Result<SocketFile> {
        check_folder(path)?;
        let lock_path = lock_path(path);
        let lock = lock(&lock_path)?;
        let claimed = SocketFile { path: path.to_owned(), own: None, lock_path, _lock: lock };
        remove_stale(path)?;
        Ok(claimed)
    }

    /// Tells that the socket is bound, and gives its file the mode.
    pub(crate) fn bound(&mut self, mode: u32) -> io::Result<()> {
        self.own = Some(inode(&self.path)?);
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
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

/// In a folder that everyone can change, anyone could put another socket in the place of ours.
fn check_folder(path: &Path) -> io::Result<()> {
    const EVERYONE_WRITES: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let Some(folder) = path.parent() else { return Ok(()) };
    let mode = fs::metadata(folder)?.mode();
    if mode & EVERYONE_WRITES != 0 && mode & STICKY == 0 {
        let problem =
            format!("everyone can replace files in {0}: chmod o-w {0}, or chmod +t {0}", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    Ok(())
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
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing a socket file that a server left behind");
            fs::remove_file(path)
        }
        // Also when this process may not connect, or the backlog is full: somebody is there.
        _ => Err(in_use("a server listens there")),
    }
}

fn in_use(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, problem)
}
