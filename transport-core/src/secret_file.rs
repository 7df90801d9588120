//! Files that hold secrets: read only when nobody else can, written so that nobody else ever could.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use zeroize::{Zeroize as _, Zeroizing};

/// A file with a private key or passwords, and who may read it.
///
/// It must belong to this process's user or to root, and nobody else may reach it; a group may read it only where
/// [`with_reader_group`](SecretFile::with_reader_group) names that group.
///
/// # Security
///
/// What is checked is the open file, not its path, so it cannot be exchanged in between. What was read is wiped from
/// memory when it is dropped. A symbolic link is followed for reading, to a file that passes the same checks, and
/// replaced by writing.
///
/// # Examples
///
/// ```
/// # use transport_core::secret_file::SecretFile;
/// # let folder = tempfile::tempdir()?;
/// let file = SecretFile::new(folder.path().join("key.pem"));
/// file.write(b"the key")?;
/// assert_eq!(*file.read()?, b"the key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SecretFile {
    path: PathBuf,
    reader_group: Option<u32>,
    most_bytes: usize,
}

/// Tells one state of a file from another, to notice that it has been changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Changes with every write too, and cannot be set back.
    changed: (i64, i64),
}

/// Why a secret file is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The system refuses.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a folder, a device or a pipe.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// It belongs to another user, who can change it.
    #[error("{0} belongs to uid {owner}, who can change it; run: chown {me} {1}", .path.display(), for_shell(.path))]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The user of this process.
        me: u32,
    },
    /// A group may read it, but it is another one's file.
    #[error("{0} can be read by gid {found} rather than gid {expected}; run: chgrp {expected} {1}", .path.display(), for_shell(.path))]
    Group {
        /// The file.
        path: PathBuf,
        /// The group that can read it.
        found: u32,
        /// The group that may.
        expected: u32,
    },
    /// Others can read or change it.
    #[error("other users can reach {0} (mode {mode:04o}); run: chmod {mend:o} {1}", .path.display(), for_shell(.path))]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it may have.
        mend: u32,
    },
    /// It is larger than a file of its kind can be, or grew while it was read.
    #[error("{} has more than {most_bytes} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        most_bytes: usize,
    },
    /// Its bytes are not UTF-8.
    #[error("{} is not UTF-8 text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

/// The right to edit the files of a folder: see [`SecretFile::lock`].
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
}

const MOST_BYTES: usize = 1 << 20;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl SecretFile {
    /// A file of at most 1 MiB that only its owner may read.
    pub fn new(path: impl Into<PathBuf>) -> SecretFile {
        SecretFile { path: path.into(), reader_group: None, most_bytes: MOST_BYTES }
    }

    /// Lets this group read the file, but not write it: its mode may be 0640. A new file gets that group and mode.
    #[must_use]
    pub fn with_reader_group(mut self, gid: u32) -> SecretFile {
        self.reader_group = Some(gid);
        self
    }

    /// Reads no more than so many bytes.
    #[must_use]
    pub fn with_most_bytes(mut self, bytes: usize) -> SecretFile {
        self.most_bytes = bytes;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or others could read or change it: see [`SecretFileError`].
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
        self.read_stamped().map(|(contents, _)| contents)
    }

    /// Reads all of it, with the stamp of what was read.
    ///
    /// # Errors
    ///
    /// As [`SecretFile::read`].
    pub fn read_stamped(&self) -> Result<(Zeroizing<Vec<u8>>, FileStamp), SecretFileError> {
        // Opening a pipe must not wait for somebody who writes to it.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        let mut file = opened.map_err(|error| self.io_error("open", error))?;
        let metadata = file.metadata().map_err(|error| self.io_error("look at", error))?;
        self.check(&metadata)?;
        let too_large = || SecretFileError::TooLarge { path: self.path.clone(), most_bytes: self.most_bytes };
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if length > self.most_bytes {
            return Err(too_large());
        }
        // Room for all of it at once: a growing buffer leaves copies behind that nobody wipes.
        let mut contents = Zeroizing::new(vec![0; length + 1]);
        let filled = fill(&mut file, &mut contents).map_err(|error| self.io_error("read", error))?;
        if filled > length {
            return Err(too_large());
        }
        contents.truncate(filled);
        Ok((contents, FileStamp::of(&metadata)))
    }

    /// Reads all of it as text, with the stamp of what was read.
    ///
    /// # Errors
    ///
    /// As [`SecretFile::read`], and when it is not UTF-8.
    pub fn read_text_stamped(&self) -> Result<(Zeroizing<String>, FileStamp), SecretFileError> {
        let (mut contents, stamp) = self.read_stamped()?;
        // The text takes over the buffer, and the wiping.
        match String::from_utf8(std::mem::take(&mut *contents)) {
            Ok(text) => Ok((Zeroizing::new(text), stamp)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(SecretFileError::NotText { path: self.path.clone() })
            }
        }
    }

    /// Reads all of it as text.
    ///
    /// # Errors
    ///
    /// As [`SecretFile::read`], and when it is not UTF-8.
    pub fn read_text(&self) -> Result<Zeroizing<String>, SecretFileError> {
        self.read_text_stamped().map(|(text, _)| text)
    }

    /// The stamp of the file that is there now, if any is: cheap to compare with that of what was read.
    pub fn stamp(&self) -> Option<FileStamp> {
        fs::metadata(&self.path).ok().map(|metadata| FileStamp::of(&metadata))
    }

    /// Writes a new file in the place of the old one, if there is one: a reader finds the old file or the new one, as a
    /// whole, and so does whoever starts the machine again after a power failure.
    ///
    /// The file has mode 0600 from the moment it exists.
    ///
    /// # Errors
    ///
    /// When it cannot be written. The old file is untouched then, and nothing is left beside it.
    pub fn write(&self, contents: &[u8]) -> Result<(), SecretFileError> {
        self.try_write(contents).map_err(|error| self.io_error("write", error))
    }

    /// Keeps others from an edit until the lock is dropped, so that none is lost: whoever reads a file in order to write it
    /// changed takes the lock of its folder first. Waits for at most 5 seconds, and blocks the thread meanwhile.
    ///
    /// # Errors
    ///
    /// When there is no such folder, or somebody else keeps its lock.
    pub fn lock(&self) -> Result<FolderLock, SecretFileError> {
        let folder = File::open(folder_of(&self.path)).map_err(|error| self.io_error("lock", error))?;
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(FolderLock { _folder: folder }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(self.io_error("lock", error.into())),
            }
        }
    }

    fn try_write(&self, contents: &[u8]) -> io::Result<()> {
        // Opened first: in a folder that cannot be, nothing is to be replaced.
        let folder = File::open(folder_of(&self.path))?;
        let (beside, mut file) = Beside::create(&self.path)?;
        if let Some(gid) = self.reader_group {
            fchown(&file, None, Some(gid))?;
            file.set_permissions(fs::Permissions::from_mode(OWNER_AND_READERS))?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        beside.rename(&self.path)?;
        folder.sync_all()
    }

    fn check(&self, metadata: &Metadata) -> Result<(), SecretFileError> {
        let path = || self.path.clone();
        if !metadata.is_file() {
            return Err(SecretFileError::NotAFile { path: path() });
        }
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me && metadata.uid() != 0 {
            return Err(SecretFileError::Owner { path: path(), owner: metadata.uid(), me });
        }
        let mode = metadata.mode() & 0o7777;
        let mend = if self.reader_group.is_some() { OWNER_AND_READERS } else { OWNER };
        if mode & 0o077 & !mend != 0 {
            return Err(SecretFileError::Mode { path: path(), mode, mend });
        }
        match self.reader_group {
            Some(expected) if mode & 0o040 != 0 && metadata.gid() != expected => {
                Err(SecretFileError::Group { path: path(), found: metadata.gid(), expected })
            }
            _ => Ok(()),
        }
    }

    fn io_error(&self, action: &'static str, source: io::Error) -> SecretFileError {
        SecretFileError::Io { action, path: self.path.clone(), source }
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> FileStamp {
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

const OWNER: u32 = 0o600;
const OWNER_AND_READERS: u32 = 0o640;

/// A new file beside the one that it will replace, removed again unless it does.
struct Beside {
    path: PathBuf,
    renamed: bool,
}

impl Beside {
    fn create(target: &Path) -> io::Result<(Beside, File)> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
        let path = target.with_file_name(beside);
        let file = OpenOptions::new().write(true).create_new(true).mode(OWNER).open(&path)?;
        Ok((Beside { path, renamed: false }, file))
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.renamed {
            let _already_failing = fs::remove_file(&self.path);
        }
    }
}

/// Reads until the end or until `buffer` is full.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path as a shell takes it, so that the command in a message can be run as it is.
fn for_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    // What begins with a hyphen would be taken for an option.
    let path = if path.starts_with('-') { format!("./{path}") } else { path };
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_the_shell_needs_it() {
        for (path, quoted) in [
            ("/run/a-b.txt", "/run/a-b.txt"),
            ("it's; rm", r"'it'\''s; rm'"),
            ("-R", "./-R"),
            ("a\nb", "'a\nb'"),
        ] {
            assert_eq!(for_shell(Path::new(path)), quoted);
        }
    }

    #[test]
    fn a_new_file_that_does_not_take_its_place_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (beside, file) = Beside::create(&folder.path().join("key")).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(beside.path.starts_with(folder.path()) && beside.path.exists());
        drop(beside);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
