//! Files beside their places, and those that a process which was killed left there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::Error;

/// A name for a file that is not in its place yet.
pub(crate) fn name() -> io::Result<String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(format!("{BEGIN}{:016x}{END}", u64::from_le_bytes(random)))
}

/// Whether a path is that of such a file, and of a process that was killed: a file waits for its place for milliseconds only.
pub(crate) fn is_left_over(path: &Path) -> bool {
    has_name(path)
        && path.symlink_metadata().is_ok_and(|metadata| {
            let age = metadata.modified().map(|modified| SystemTime::now().duration_since(modified));
            metadata.is_file() && matches!(age, Ok(Ok(age)) if age >= LONGEST)
        })
}

/// Removes what processes of this user have left in a folder: there may be a private key in it.
pub(crate) fn remove_left_over(folder: &Path) -> Result<(), Error> {
    let own = rustix::process::geteuid().as_raw();
    // Where nobody may look, there is no more to do than to write.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let is_own = || path.symlink_metadata().is_ok_and(|metadata| metadata.uid() == own);
        if is_left_over(&path) && is_own() {
            match fs::remove_file(&path) {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| Error::io("remove", &path, error))?,
            }
        }
    }
    Ok(())
}

fn has_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let middle = name.and_then(|name| name.strip_prefix(BEGIN)).and_then(|name| name.strip_suffix(END));
    middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

const BEGIN: &str = ".certgen-";
const END: &str = ".tmp";
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
