//! Files and folders that are not in their places yet, and those that a process which was killed left so.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::Error;

/// A name for a file or folder that is not in its place yet.
pub(crate) fn name() -> io::Result<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(format!("{BEGIN}{:016x}.{TEMPORARY}", u64::from_le_bytes(random)))
}

/// The name of a folder of which everything is on the disk, and only has to be moved to its place.
pub(crate) fn whole(folder: &Path) -> PathBuf {
    folder.with_extension(WHOLE)
}

pub(crate) fn is_whole(folder: &Path) -> bool {
    folder.extension().is_some_and(|end| end == WHOLE)
}

/// Marks a folder as being worked on, for as long as the file is open. Not every file system can do that.
pub(crate) fn lock(folder: &Path) -> Option<File> {
    File::open(folder).ok().filter(|folder| folder.try_lock().is_ok())
}

pub(crate) fn is_at_work(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|folder| matches!(folder.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Whether a path is that of such a folder, made by a process of this user.
pub(crate) fn is_own_folder(path: &Path) -> bool {
    has_name(path) && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && is_own(&metadata))
}

/// Whether a path is that of such a file or folder, and of a process that was killed: they wait for their places for milliseconds
/// only.
pub(crate) fn is_left_over(path: &Path) -> bool {
    has_name(path)
        && path.symlink_metadata().is_ok_and(|metadata| {
            let age = metadata.modified().map(|modified| SystemTime::now().duration_since(modified));
            let is_old = matches!(age, Ok(Ok(age)) if age >= LONGEST);
            is_old && (metadata.is_file() || (metadata.is_dir() && !is_at_work(path)))
        })
}

/// Removes what processes of this user have left in a folder: there may be a private key in it.
pub(crate) fn remove_left_over(folder: &Path) -> Result<(), Error> {
    // Where nobody may look, there is no more to do than to write.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        // What is whole waits for whoever makes that folder next.
        if is_left_over(&path) && is_own(&metadata) && !is_whole(&path) {
            match if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) } {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| Error::io("remove", &path, error))?,
            }
        }
    }
    Ok(())
}

fn is_own(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

fn has_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let middle = name.and_then(|name| name.strip_prefix(BEGIN)).and_then(|name| {
        name.strip_suffix(TEMPORARY).or(name.strip_suffix(WHOLE)).and_then(|name| name.strip_suffix('.'))
    });
    middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

const BEGIN: &str = ".certgen-";
const TEMPORARY: &str = "tmp";
const WHOLE: &str = "whole";
const LONGEST: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn file(folder: &Path, name: &str, age: Duration) -> std::path::PathBuf {
        let path = folder.join(name);
        let file = File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    }

    #[test]
    fn what_was_left_an_hour_ago_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let old = file(folder.path(), &name().unwrap(), LONGEST * 2);
        let others = [
            file(folder.path(), &name().unwrap(), Duration::ZERO),
            file(folder.path(), ".certgen-notes.tmp", LONGEST * 2),
            file(folder.path(), ".certgen-0123456789abcdef", LONGEST * 2),
            file(folder.path(), "server.pem", LONGEST * 2),
        ];
        assert!(is_left_over(&old) && !others.iter().any(|path| is_left_over(path)));
        remove_left_over(folder.path()).unwrap();
        assert!(!old.exists() && others.iter().all(|path| path.exists()));
        remove_left_over(Path::new("/no/such/folder")).unwrap();
    }
}
