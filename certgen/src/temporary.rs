//! Files and folders that are not in their places yet, and those that a process which was killed left so.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
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

/// Makes a folder for files that are not in their places yet, and locks it for as long as the file is open.
///
/// Between the two another process may take it for one that was left, and remove it. It holds the lock meanwhile; so who gets
/// the lock and finds the folder gone makes another one, and has put nothing into the first. Without a lock, where the file
/// system knows none, it is taken for left only an hour later.
pub(crate) fn make_folder(parent: &Path) -> io::Result<(PathBuf, Option<File>)> {
    loop {
        let path = parent.join(name()?);
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = match File::open(&path) {
            Ok(folder) => lock(folder, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Lock::Gone,
            Err(_) => Lock::Unknown,
        };
        match lock {
            Lock::Held(lock) => return Ok((path, Some(lock))),
            Lock::Unknown => return Ok((path, None)),
            Lock::Gone => {}
        }
    }
}

enum Lock {
    Held(File),
    /// There are no locks here.
    Unknown,
    /// The folder has been removed.
    Gone,
}

fn lock(folder: File, path: &Path) -> Lock {
    loop {
        match folder.try_lock() {
            Ok(()) if is_at(&folder, path) => return Lock::Held(folder),
            Ok(()) => return Lock::Gone,
            // Somebody looks, or removes it.
            Err(TryLockError::WouldBlock) => thread::yield_now(),
            Err(TryLockError::Error(_)) => return Lock::Unknown,
        }
    }
}

fn is_at(folder: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (folder.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// What can be said of the process that made a folder.
pub(crate) enum Maker {
    AtWork,
    /// Nobody is. With the file open, nobody else takes the folder.
    Gone(File),
    /// There are no locks here, or the folder is not there any more.
    Unknown,
}

pub(crate) fn maker_of(folder: &Path) -> Maker {
    look(folder, File::try_lock)
}

fn look(path: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Maker {
    let Ok(folder) = File::open(path) else { return Maker::Unknown };
    match lock(&folder) {
        Ok(()) if is_at(&folder, path) => Maker::Gone(folder),
        Ok(()) => Maker::Unknown,
        Err(TryLockError::WouldBlock) => Maker::AtWork,
        Err(TryLockError::Error(_)) => Maker::Unknown,
    }
}

/// Whether a path is that of such a folder, made by a process of this user.
pub(crate) fn is_own_folder(path: &Path) -> bool {
    is_temporary(path) && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && is_own(&metadata))
}

/// Whether a path is that of such a file or folder, and of a process that was killed. A folder's lock says so at once; what has
/// none is taken for left after an hour, since it waits for its place for milliseconds only.
pub(crate) fn is_left_over(path: &Path) -> bool {
    let Some(metadata) = path.symlink_metadata().ok().filter(|_| is_temporary(path)) else { return false };
    if !metadata.is_dir() {
        return metadata.is_file() && is_old(&metadata, LONGEST);
    }
    // Shared: several may look.
    match look(path, File::try_lock_shared) {
        Maker::AtWork => false,
        Maker::Gone(_) => true,
        Maker::Unknown => is_old(&metadata, LONGEST),
    }
}

/// Whether something is so old that whoever made it without a lock has been killed.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| is_old(&metadata, LONGEST))
}

/// Removes what processes of this user have left in a folder: there may be a private key in it.
pub(crate) fn remove_left_over(folder: &Path) -> Result<(), Error> {
    // Where nobody may look, there is no more to do than to write.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        // What is whole waits for whoever makes that folder next.
        if !is_temporary(&path) || !is_own(&metadata) || is_whole(&path) {
            continue;
        }
        let removed = match metadata.is_dir() {
            true => remove_left_folder(&path, &metadata),
            false if is_left_over(&path) => fs::remove_file(&path),
            false => Ok(()),
        };
        match removed {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(|error| Error::io("remove", &path, error))?,
        }
    }
    Ok(())
}

fn remove_left_folder(path: &Path, metadata: &Metadata) -> io::Result<()> {
    // Held until it is gone.
    let _lock = match maker_of(path) {
        Maker::Gone(lock) if is_old(metadata, REST) => Some(lock),
        Maker::Unknown if is_old(metadata, LONGEST) => None,
        _ => return Ok(()),
    };
    fs::remove_dir_all(path)
}

fn is_old(metadata: &Metadata, age: Duration) -> bool {
    let modified = metadata.modified().map(|modified| SystemTime::now().duration_since(modified));
    matches!(modified, Ok(Ok(since)) if since >= age)
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Whether a path has such a name.
pub(crate) fn is_temporary(path: &Path) -> bool {
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
/// Machines that share a folder may not see each other's locks.
const REST: Duration = Duration::from_secs(60);

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

    fn folder(parent: &Path, age: Duration) -> PathBuf {
        let path = parent.join(name().unwrap());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("key"), "").unwrap();
        File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        path
    }

    #[test]
    fn that_nobody_is_at_work_on_a_folder_is_known_at_once_and_acted_upon_a_minute_later() {
        let root = tempfile::tempdir().unwrap();
        let (young, old) = (folder(root.path(), Duration::ZERO), folder(root.path(), REST * 2));
        let whole = whole(&folder(root.path(), Duration::ZERO));
        fs::rename(whole.with_extension(TEMPORARY), &whole).unwrap();
        let (held, lock) = make_folder(root.path()).unwrap();
        File::open(&held).unwrap().set_modified(SystemTime::now() - LONGEST * 2).unwrap();
        assert!([&young, &old, &whole].iter().all(|path| is_left_over(path)) && !is_left_over(&held));
        remove_left_over(root.path()).unwrap();
        assert!(!old.exists() && [&young, &whole, &held].iter().all(|path| path.exists()));
        drop(lock);
        assert!(is_left_over(&held));
        remove_left_over(root.path()).unwrap();
        assert!(!held.exists());
    }

    /// In the moment between making a folder and locking it, another process takes it for left, and removes it.
    #[test]
    fn who_waited_for_the_lock_of_a_folder_that_is_removed_meanwhile_does_not_take_it() {
        let root = tempfile::tempdir().unwrap();
        let path = folder(root.path(), Duration::ZERO);
        let opened = File::open(&path).unwrap();
        let Maker::Gone(remover) = maker_of(&path) else { panic!("nobody is at work on it") };
        thread::scope(|scope| {
            let maker = scope.spawn(|| lock(opened, &path));
            fs::remove_dir_all(&path).unwrap();
            drop(remover);
            assert!(matches!(maker.join().unwrap(), Lock::Gone));
        });
    }

    #[test]
    fn who_only_looks_takes_nothing_away_and_several_may() {
        let root = tempfile::tempdir().unwrap();
        let path = folder(root.path(), Duration::ZERO);
        let Maker::Gone(looks) = look(&path, File::try_lock_shared) else {
            panic!("nobody is at work on it")
        };
        assert!(is_left_over(&path));
        thread::scope(|scope| {
            let maker = scope.spawn(|| lock(File::open(&path).unwrap(), &path));
            drop(looks);
            assert!(matches!(maker.join().unwrap(), Lock::Held(_)));
        });
    }
}
