//! A folder whose contents appear together.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files::{folder_of, rename_to_new, sync};
use crate::temporary::{self, Maker};

/// A folder that is made under another name, and put into its place once all of it is on the disk.
///
/// ```text
/// where there is none          .certgen-*.tmp beside the place, which is renamed
/// where there is an empty one  .certgen-*.tmp in it, which becomes .certgen-*.whole; what is in that is moved up
/// ```
///
/// So a process that is killed leaves no half of it where there was none. In an empty one, who makes it next removes what was
/// not whole, and moves up the rest of what was.
#[derive(Debug)]
pub(crate) struct StagedFolder {
    path: PathBuf,
    temporary: PathBuf,
    /// The folders to make, this one first, where they are made.
    folders: Vec<PathBuf>,
    /// What is in its place already.
    placed: Placed,
    /// Held as long as somebody works on it.
    _lock: Option<File>,
}

#[derive(Debug)]
enum Placed {
    /// Nothing; the place is free.
    Nothing,
    /// These; the place is an empty folder.
    Entries(Vec<OsString>),
    All,
    /// All, and it stays.
    Kept,
}

impl StagedFolder {
    /// Begins a folder of mode 0700. One that is there and empty is taken, and gets that mode.
    pub(crate) fn begin(path: &Path) -> Result<StagedFolder, Error> {
        let (parent, placed) = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                temporary::remove_left_over(folder_of(path))?;
                (folder_of(path), Placed::Nothing)
            }
            Err(error) => return Err(Error::io("use the folder", path, error)),
            Ok(_) => {
                mend(path)?;
                fs::set_permissions(path, Permissions::from_mode(0o700))
                    .map_err(|error| Error::io("change the mode of", path, error))?;
                (path, Placed::Entries(Vec::new()))
            }
        };
        let failed = |error| Error::io("make the folder", path, error);
        let (temporary, lock) = temporary::make_folder(parent).map_err(failed)?;
        Ok(StagedFolder {
            path: path.to_owned(),
            folders: vec![temporary.clone()],
            temporary,
            placed,
            _lock: lock,
        })
    }

    /// Where a file or folder is made that will be below this one.
    pub(crate) fn place_of(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.path).ok().map(|below| self.temporary.join(below))
    }

    /// Makes a folder below this one, where [`place_of`](StagedFolder::place_of) says.
    pub(crate) fn add_folder(&mut self, place: PathBuf) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&place)?;
        self.folders.push(place);
        Ok(())
    }

    /// Puts everything into its place.
    pub(crate) fn place(&mut self) -> Result<(), Error> {
        self.folders.iter().rev().try_for_each(|folder| sync(folder))?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                Error::NotEmpty(self.path.clone())
            }
            _ => Error::io("make the folder", &self.path, error),
        };
        match &mut self.placed {
            Placed::Nothing => {
                // Of folders only an empty one gives way.
                fs::rename(&self.temporary, &self.path).map_err(failed)?;
                self.placed = Placed::All;
                sync(folder_of(&self.path))
            }
            Placed::Entries(moved) => {
                let whole = temporary::whole(&self.temporary);
                fs::rename(&self.temporary, &whole).map_err(failed)?;
                self.temporary = whole;
                sync(&self.path)?;
                move_up(&self.temporary, &self.path, moved).map_err(failed)?;
                sync(&self.path)
            }
            Placed::All | Placed::Kept => Ok(()),
        }
    }

    /// Says that it stays.
    pub(crate) fn keep(mut self) {
        if matches!(self.placed, Placed::Entries(_)) {
            // It is empty, and if it stays, the next who looks removes it.
            let _ = fs::remove_dir(&self.temporary);
        }
        self.placed = Placed::Kept;
    }
}

/// Not kept, it goes.
impl Drop for StagedFolder {
    fn drop(&mut self) {
        // What cannot be removed stays: the error that led here is the one to tell.
        let _ = match &self.placed {
            Placed::Nothing => Ok(()),
            Placed::Entries(moved) => {
                moved.iter().try_for_each(|name| fs::rename(self.path.join(name), self.temporary.join(name)))
            }
            Placed::All => fs::rename(&self.path, &self.temporary),
            Placed::Kept => return,
        };
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

/// Puts in order what a process that was killed has left in a folder. Whatever else is there is somebody's.
fn mend(folder: &Path) -> Result<(), Error> {
    let failed = |error| Error::io("use the folder", folder, error);
    let entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    let (begun, others): (Vec<_>, Vec<_>) =
        entries.map_err(failed)?.into_iter().partition(|path| temporary::is_own_folder(path));
    for path in begun {
        // Held until it is gone.
        let _lock = match temporary::maker_of(&path) {
            Maker::Gone(lock) => Some(lock),
            Maker::Unknown if temporary::is_abandoned(&path) => None,
            Maker::AtWork | Maker::Unknown => return Err(Error::Busy(folder.to_owned())),
        };
        if temporary::is_whole(&path) {
            let mut moved = Vec::new();
            move_up(&path, folder, &mut moved).and_then(|()| fs::remove_dir(&path)).map_err(failed)?;
            sync(folder)?;
            // Nothing in either: what had been made was taken away since.
            if !(moved.is_empty() && others.is_empty()) {
                return Err(Error::Mended(folder.to_owned()));
            }
        } else {
            fs::remove_dir_all(&path).map_err(failed)?;
        }
    }
    if others.is_empty() { Ok(()) } else { Err(Error::NotEmpty(folder.to_owned())) }
}

/// Moves what is in one folder into the one above it, and notes it down.
fn move_up(from: &Path, to: &Path, moved: &mut Vec<OsString>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        rename_to_new(&from.join(&name), &to.join(&name))?;
        moved.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::names;
    use std::thread;

    fn begin(path: &Path) -> StagedFolder {
        let mut folder = StagedFolder::begin(path).unwrap();
        let sub = folder.place_of(&path.join("sub")).unwrap();
        folder.add_folder(sub.clone()).unwrap();
        for name in ["a", "b", "sub/c"] {
            fs::write(folder.place_of(&path.join(name)).unwrap(), name).unwrap();
        }
        folder
    }

    /// As a process leaves it that is killed: nothing is removed, and nobody holds it.
    fn kill(mut folder: StagedFolder) {
        folder.placed = Placed::Kept;
    }

    /// Does what `place` does in an empty folder, up to a number of moves.
    fn place_in_part(folder: &mut StagedFolder, moves: usize) {
        let whole = temporary::whole(&folder.temporary);
        fs::rename(&folder.temporary, &whole).unwrap();
        for name in names(&whole).into_iter().take(moves) {
            fs::rename(whole.join(&name), folder.path.join(&name)).unwrap();
        }
    }

    #[test]
    fn it_appears_as_a_whole_where_there_was_none_or_an_empty_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("tls");
        for _new_or_empty in 0..2 {
            let mut folder = begin(&path);
            folder.place().unwrap();
            folder.keep();
            assert_eq!(
                (names(root.path()), names(&path)),
                (vec!["tls".into()], vec!["a".into(), "b".into(), "sub".into()])
            );
            assert!(matches!(StagedFolder::begin(&path), Err(Error::NotEmpty(_))));
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    }

    #[test]
    fn whoever_is_killed_before_leaves_the_place_free() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("tls");
        kill(begin(&path));
        assert!(!path.exists());
        let mut folder = begin(&path);
        folder.place().unwrap();
        folder.keep();
        assert_eq!(names(&path), ["a", "b", "sub"]);
    }

    #[test]
    fn in_an_empty_folder_what_was_not_whole_goes_and_what_was_is_moved_up() {
        // In the last step all is in its place, and only the empty folder is left.
        for step in 0..5 {
            let root = tempfile::tempdir().unwrap();
            let path = root.path();
            let mut folder = begin(path);
            if step > 0 {
                place_in_part(&mut folder, step - 1);
            }
            kill(folder);
            let next = StagedFolder::begin(path);
            assert!(
                if step == 0 { next.is_ok() } else { matches!(next, Err(Error::Mended(_))) },
                "step {step}"
            );
            drop(next);
            let expected = if step == 0 { &[][..] } else { &["a", "b", "sub"] };
            assert_eq!(names(path), expected, "step {step}");
        }
    }

    #[test]
    fn an_empty_folder_in_which_only_the_last_step_was_left_and_the_rest_is_gone_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = begin(root.path());
        place_in_part(&mut folder, 3);
        kill(folder);
        fs::remove_dir_all(root.path().join("sub")).unwrap();
        fs::remove_file(root.path().join("a")).unwrap();
        fs::remove_file(root.path().join("b")).unwrap();
        drop(StagedFolder::begin(root.path()).unwrap());
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn what_others_are_at_work_on_or_have_put_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let at_work = begin(root.path());
        assert!(matches!(StagedFolder::begin(root.path()), Err(Error::Busy(_))));
        fs::write(root.path().join("precious"), "").unwrap();
        drop(at_work);
        assert!(matches!(StagedFolder::begin(root.path()), Err(Error::NotEmpty(_))));
        assert_eq!(names(root.path()), ["precious"]);
    }

    /// Whoever looks first: the folder has all that one of them made, or nothing.
    #[test]
    fn of_several_at_once_one_makes_the_folder_or_none_does() {
        let mut made = 0;
        for round in 0..100 {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("tls");
            if round % 2 == 0 {
                fs::create_dir(&path).unwrap();
            }
            let make = |who: u8| -> Result<(), Error> {
                let mut folder = StagedFolder::begin(&path)?;
                for name in ["a", "b", "c"] {
                    fs::write(folder.place_of(&path.join(name)).unwrap(), [who]).unwrap();
                }
                folder.place()?;
                folder.keep();
                Ok(())
            };
            let outcomes = thread::scope(|scope| {
                let makers = [0, 1, 2].map(|who| scope.spawn(move || make(who)));
                makers.map(|maker| maker.join().unwrap())
            });
            assert!(
                outcomes
                    .iter()
                    .all(|outcome| matches!(outcome, Ok(()) | Err(Error::Busy(_) | Error::NotEmpty(_)))),
                "{outcomes:?}"
            );
            let winners: Vec<_> = (0..3).filter(|who| outcomes[usize::from(*who)].is_ok()).collect();
            let found = if path.exists() { names(&path) } else { Vec::new() };
            match winners[..] {
                [] => assert_eq!(found, [""; 0], "round {round}"),
                [who] => {
                    assert_eq!(found, ["a", "b", "c"], "round {round}");
                    assert!(found.iter().all(|name| fs::read(path.join(name)).unwrap() == [who]));
                }
                _ => panic!("round {round}: {outcomes:?}"),
            }
            made += winners.len();
        }
        assert!(made > 0);
    }

    #[test]
    fn what_is_not_kept_goes_and_a_file_that_appeared_in_its_place_stays() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = begin(root.path());
        fs::write(root.path().join("b"), "of another").unwrap();
        assert!(matches!(folder.place(), Err(Error::NotEmpty(_))));
        drop(folder);
        assert_eq!(names(root.path()), ["b"]);

        let path = root.path().join("tls");
        let mut folder = begin(&path);
        folder.place().unwrap();
        drop(folder);
        assert_eq!(names(root.path()), ["b"]);
    }
}
