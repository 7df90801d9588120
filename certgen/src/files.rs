//! Writing files so that there are all of them, whole, or none.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::Error;
use crate::staged_folder::StagedFolder;
use crate::temporary;

/// Files that appear together: each is written beside its place, with its mode from the start, and reaches the disk before
/// any of them is renamed into its place. A new folder is made beside its place with all that will be in it.
///
/// When it is dropped before [`commit`](FileSet::commit) has gone well, everything that it made is removed again; only a file
/// that has taken another's place stays, and what was added before it. What a process leaves that is killed before that is
/// never in the place of a file or a new folder; the first set removes it that writes into the same folder an hour later.
///
/// # Security
///
/// Nothing goes through a folder that others share, nothing is written through a link, and no file that exists is replaced
/// unless that was asked for, not even one that appears at the same moment.
///
/// # Examples
///
/// ```
/// # use certgen::{FileSet, LeafConfig, self_signed};
/// # fn main() -> Result<(), certgen::Error> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("server.pem");
/// let mut files = FileSet::new();
/// files.add(&path, self_signed(&LeafConfig::default())?.combined_pem().as_bytes(), 0o600)?;
/// files.commit()?;
/// # assert!(path.exists());
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct FileSet {
    replaces: bool,
    staged: Vec<Staged>,
    folders: Vec<StagedFolder>,
    /// The new files in their places since the last one that took another's, to remove if this ends badly.
    placed: Vec<PathBuf>,
}

/// A file that is written, but not yet in its place.
#[derive(Debug)]
struct Staged {
    temporary: PathBuf,
    path: PathBuf,
    replaces: bool,
}

impl FileSet {
    /// A set that replaces no file.
    pub fn new() -> FileSet {
        FileSet::default()
    }

    /// Has every file of this set take the place of one that exists, if asked.
    pub fn with_replacing(mut self, replaces: bool) -> FileSet {
        self.replaces = replaces;
        self
    }

    /// Checks that a file could be added, before its content is made.
    ///
    /// # Errors
    ///
    /// When the file exists and is not to be replaced, or its folder does not exist.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let place = self.place_of(path);
        if path.file_name().is_none() || place.is_dir() {
            return Err(Error::Config(format!("{} is a folder, not the name of a file", path.display())));
        }
        if matches!(folder_of(&place).try_exists(), Ok(false)) {
            let (path, folder) = (path.display(), folder_of(path).display());
            let problem = format!("cannot write {path}: there is no folder {folder}: mkdir -p {folder}");
            return Err(Error::Config(problem));
        }
        // Links that lead nowhere count too.
        if !self.replaces && place.symlink_metadata().is_ok() {
            return Err(Error::Exists(path.to_owned()));
        }
        Ok(())
    }

    /// Makes a folder of mode 0700. One that is there and empty is taken, and gets that mode. What a process that was killed
    /// had begun in it is put in order first.
    ///
    /// # Errors
    ///
    /// When it is not empty, or cannot be made; [`Error::Mended`] when it was left all but made.
    pub fn add_folder(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        for folder in &mut self.folders {
            if let Some(place) = folder.place_of(path) {
                return folder.add_folder(place).map_err(|error| Error::io("make the folder", path, error));
            }
        }
        self.folders.push(StagedFolder::begin(path)?);
        Ok(())
    }

    /// Writes a file beside its place. The mode is less what the umask takes away.
    ///
    /// # Errors
    ///
    /// When the file exists and is not to be replaced, is in the set already, or cannot be written.
    pub fn add(&mut self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> Result<(), Error> {
        let path = path.as_ref();
        self.check(path)?;
        self.stage(path, content, mode, self.replaces).map(|_| ())
    }

    /// Writes a file that takes the place of the one that is there, with the same owner, group and mode. A link stays one:
    /// what it leads to is replaced.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or not be given the same owner and group.
    pub fn add_in_place_of(&mut self, path: impl AsRef<Path>, content: &[u8]) -> Result<(), Error> {
        let path = path.as_ref();
        let place = fs::canonicalize(path).map_err(|error| Error::io("read", path, error))?;
        let old = fs::metadata(&place).map_err(|error| Error::io("read", path, error))?;
        let file = self.stage(&place, content, 0o600, true)?;
        let new = file.metadata().map_err(|error| Error::io("write", path, error))?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))
                .map_err(|error| Error::io("keep the owner and group of", path, error))?;
        }
        let mode = Permissions::from_mode(old.mode() & 0o777);
        file.set_permissions(mode).map_err(|error| Error::io("keep the mode of", path, error))
    }

    /// Puts all files into their places, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// When one of them cannot be; then what is new has been removed again, but for what was added before a file that has
    /// taken another's place.
    pub fn commit(mut self) -> Result<(), Error> {
        let mut folders: Vec<PathBuf> = Vec::new();
        while let Some(staged) = self.staged.first() {
            place(staged)?;
            let staged = self.staged.remove(0);
            let folder = folder_of(&staged.path).to_owned();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
            if staged.replaces {
                // It stays, whatever comes, and so does what belongs to it, such as its record.
                self.placed.clear();
            } else {
                self.placed.push(staged.path);
            }
        }
        folders.iter().try_for_each(|folder| sync(folder))?;
        self.folders.iter_mut().try_for_each(StagedFolder::place)?;
        self.folders.drain(..).for_each(StagedFolder::keep);
        self.placed.clear();
        Ok(())
    }

    /// Where a file or folder is made: below a folder of this set, that is not where it will be.
    fn place_of(&self, path: &Path) -> PathBuf {
        self.folders.iter().find_map(|folder| folder.place_of(path)).unwrap_or_else(|| path.to_owned())
    }

    fn stage(&mut self, path: &Path, content: &[u8], mode: u32, replaces: bool) -> Result<File, Error> {
        if self.staged.iter().any(|staged| staged.path == path) {
            return Err(Error::Config(format!("{} is named twice", path.display())));
        }
        let failed = |error| Error::io("write", path, error);
        let create = |place: &Path| {
            // Not through a link, and no file that exists: that is what `create_new` says.
            OpenOptions::new().write(true).create_new(true).mode(mode).open(place).map_err(failed)
        };
        let write = |mut file: File| -> Result<File, Error> {
            file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(file)
        };
        if let Some(place) = self.folders.iter().find_map(|folder| folder.place_of(path)) {
            return write(create(&place)?);
        }
        let folder = folder_of(path);
        if !self.staged.iter().any(|staged| folder_of(&staged.path) == folder) {
            temporary::remove_left_over(folder)?;
        }
        let temporary = folder.join(temporary::name().map_err(failed)?);
        let file = create(&temporary)?;
        self.staged.push(Staged { temporary, path: path.to_owned(), replaces });
        write(file)
    }
}

impl Drop for FileSet {
    fn drop(&mut self) {
        // What cannot be removed stays: the error that led here is the one to tell.
        for staged in &self.staged {
            let _ = fs::remove_file(&staged.temporary);
        }
        for path in &self.placed {
            let _ = fs::remove_file(path);
        }
    }
}

fn place(Staged { temporary, path, replaces }: &Staged) -> Result<(), Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists(path.clone()),
        _ => Error::io("write", path, error),
    };
    if *replaces {
        return fs::rename(temporary, path).map_err(failed);
    }
    rename_to_new(temporary, path).map_err(failed)
}

/// Renames what replaces nothing.
pub(crate) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that does not know how; a link does not replace either, and a folder at most an empty one.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if from.is_dir() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        renamed => Ok(renamed?),
    }
}

/// Makes the names in a folder reach the disk.
pub(crate) fn sync(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        // Some file systems have nothing to do there, and say so.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(|error| Error::io("write to the disk what is in", folder, error)),
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What is in a folder.
    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_that_exists_stays_and_so_does_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&b, "old").unwrap();
        let mut files = FileSet::new();
        files.add(&a, b"new", 0o600).unwrap();
        assert!(matches!(files.add(&b, b"new", 0o600), Err(Error::Exists(_))));
        drop(files);
        assert_eq!(names(folder.path()), ["b"]);
        assert_eq!(fs::read(&b).unwrap(), b"old");
    }

    #[test]
    fn a_file_that_appears_in_the_meantime_is_not_replaced_and_the_others_go() {
        let folder = tempfile::tempdir().unwrap();
        let (sub, a, b) = (folder.path().join("sub"), folder.path().join("sub/a"), folder.path().join("b"));
        let mut files = FileSet::new();
        files.add_folder(&sub).unwrap();
        files.add(&a, b"new", 0o600).unwrap();
        files.add(&b, b"new", 0o600).unwrap();
        fs::write(&b, "of another").unwrap();
        assert!(matches!(files.commit(), Err(Error::Exists(_))));
        assert_eq!(names(folder.path()), ["b"]);
        assert_eq!(fs::read(&b).unwrap(), b"of another");
    }

    #[test]
    fn what_was_to_come_after_a_file_that_fails_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let mut files = FileSet::new();
        for file in [&a, &b, &c] {
            files.add(file, b"new", 0o600).unwrap();
        }
        fs::write(&a, "of another").unwrap();
        assert!(matches!(files.commit(), Err(Error::Exists(_))));
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn what_was_new_before_a_file_took_anothers_place_stays_if_a_later_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        let mut files = FileSet::new();
        for file in [&a, &b] {
            fs::write(file, "old").unwrap();
            files.add(file.with_extension("record"), b"new", 0o644).unwrap();
            files.add_in_place_of(file, b"new").unwrap();
        }
        fs::remove_file(&b).unwrap();
        fs::create_dir(&b).unwrap();
        files.commit().unwrap_err();
        assert_eq!(names(folder.path()), ["a", "a.record", "b"]);
        assert_eq!(fs::read(&a).unwrap(), b"new");
    }

    #[test]
    fn the_mode_is_there_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = FileSet::new();
        files.add(folder.path().join("key"), b"secret", 0o400).unwrap();
        let name = &names(folder.path())[0];
        assert_eq!(fs::metadata(folder.path().join(name)).unwrap().mode() & 0o777, 0o400);
        files.commit().unwrap();
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn a_link_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut files = FileSet::new().with_replacing(true);
        files.add(&link, b"new", 0o600).unwrap();
        files.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
    }

    #[test]
    fn a_file_in_place_of_another_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let mut files = FileSet::new();
        files.add_in_place_of(&path, b"new").unwrap();
        files.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }
}
