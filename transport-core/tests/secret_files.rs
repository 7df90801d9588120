//! Files that hold secrets: who may read them, and how they are written. What another user may is tried in a second process,
//! which takes root to start.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use transport_core::secret_file::{SecretFile, SecretFileError};

/// A user and a group that nobody else is.
const OTHER: u32 = 54_321;

fn file(folder: &tempfile::TempDir, mode: u32) -> PathBuf {
    let path = folder.path().join("secret");
    fs::write(&path, "the secret").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_of_ones_own_that_nobody_else_can_reach_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400, 0o700] {
        assert_eq!(**SecretFile::new(file(&folder, mode)).read_text().unwrap(), *"the secret", "{mode:o}");
        fs::remove_file(folder.path().join("secret")).unwrap();
    }
}

#[test]
fn a_file_that_others_can_reach_is_refused_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, 0o600);
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = SecretFile::new(&path).read().unwrap_err().to_string();
        let (shown, command) = error.split_once("; run: ").unwrap();
        assert_eq!(shown, format!("other users can reach {} (mode {mode:04o})", path.display()));
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
        assert_eq!(**SecretFile::new(&path).read().unwrap(), *b"the secret", "{command}");
    }
}

#[test]
fn a_group_may_read_only_where_it_is_named_and_never_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, 0o640);
    let gid = fs::metadata(&path).unwrap().gid();
    let shared = SecretFile::new(&path).with_reader_group(gid);
    assert!(shared.read().is_ok());
    assert!(matches!(SecretFile::new(&path).read(), Err(SecretFileError::Mode { mend: 0o600, .. })));
    let error = SecretFile::new(&path).with_reader_group(gid + 1).read().unwrap_err();
    assert!(error.to_string().ends_with(&format!("run: chgrp {} {}", gid + 1, path.display())), "{error}");
    for mode in [0o660, 0o650, 0o644, 0o641] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = shared.read().unwrap_err();
        assert!(error.to_string().ends_with(&format!("run: chmod 640 {}", path.display())), "{error}");
    }
    // Nobody but the owner reads it: then it does not matter whose group it has.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(SecretFile::new(&path).with_reader_group(gid + 1).read().is_ok());
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in [folder.path(), &pipe, Path::new("/dev/null")] {
        let error = SecretFile::new(path).read().unwrap_err();
        assert!(matches!(error, SecretFileError::NotAFile { .. }), "{error}");
    }
    let error = SecretFile::new(folder.path().join("missing")).read().unwrap_err();
    assert!(matches!(error, SecretFileError::Io { action: "open", .. }), "{error}");
}

#[test]
fn a_file_is_read_up_to_its_bound_and_not_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let file = SecretFile::new(file(&folder, 0o600));
    assert_eq!(file.clone().with_most_bytes(10).read().unwrap().len(), 10);
    let error = file.clone().with_most_bytes(9).read().unwrap_err();
    assert_eq!(error.to_string(), format!("{} has more than 9 bytes", file.path().display()));
    file.write(b"").unwrap();
    assert_eq!(file.with_most_bytes(0).read().unwrap().len(), 0);
}

#[test]
fn what_is_no_text_is_only_read_as_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = SecretFile::new(file(&folder, 0o600));
    file.write(b"\xff").unwrap();
    assert_eq!(**file.read().unwrap(), *b"\xff");
    assert!(matches!(file.read_text(), Err(SecretFileError::NotText { .. })));
}

#[test]
fn a_new_file_takes_the_old_ones_place_with_mode_0600_and_another_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, 0o644);
    let file = SecretFile::new(&path);
    let mut held = File::open(&path).unwrap();
    let before = file.stamp();
    file.write(b"another one").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let (contents, stamp) = file.read_stamped().unwrap();
    assert_eq!((&**contents, Some(stamp)), (&b"another one"[..], file.stamp()));
    assert_ne!(before, file.stamp());
    // Whoever has the old one open goes on reading the old one.
    assert_eq!(std::io::read_to_string(&mut held).unwrap(), "the secret");
    assert_eq!(names(folder.path()), ["secret"]);
}

#[test]
fn a_link_is_replaced_and_what_it_points_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let target = file(&folder, 0o600);
    let link = folder.path().join("link");
    symlink(&target, &link).unwrap();
    let file = SecretFile::new(&link);
    assert_eq!(**file.read().unwrap(), *b"the secret");
    file.write(b"new").unwrap();
    assert_eq!((fs::read(&target).unwrap(), fs::read(&link).unwrap()), (b"the secret".into(), b"new".into()));
}

#[test]
fn nothing_is_left_behind_when_writing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("folder");
    fs::create_dir_all(taken.join("full")).unwrap();
    for path in [taken, folder.path().join("missing/secret"), folder.path().join("..")] {
        let error = SecretFile::new(path).write(b"x").unwrap_err();
        assert!(matches!(error, SecretFileError::Io { action: "write", .. }), "{error}");
    }
    assert_eq!(names(folder.path()), ["folder"]);
}

#[test]
fn a_file_of_another_user_is_refused_even_by_root() {
    let Some(folder) = folder_if_root() else { return };
    let path = file(&folder, 0o600);
    chown(&path, Some(OTHER), Some(OTHER)).unwrap();
    let error = SecretFile::new(&path).read().unwrap_err();
    assert!(matches!(error, SecretFileError::Owner { owner: OTHER, me: 0, .. }), "{error}");
    assert!(error.to_string().ends_with(&format!("run: chown 0 {}", path.display())), "{error}");
}

#[test]
fn another_user_reads_its_own_file_and_what_root_shares_with_its_group() {
    let Some(folder) = folder_if_root() else { return };
    let path = file(&folder, 0o600);
    assert_eq!(as_other("read", &path), "cannot open");
    chown(&path, Some(OTHER), Some(OTHER)).unwrap();
    assert_eq!(as_other("read", &path), "the secret");
    chown(&path, Some(0), None).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(as_other("read", &path), "other users can reach");
    assert_eq!(as_other("read-shared", &path), "the secret");
    chown(&path, Some(OTHER + 1), None).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(as_other("read-shared", &path), "belongs to uid 54322");
}

#[test]
fn a_file_for_a_group_is_written_with_that_group() {
    let Some(folder) = folder_if_root() else { return };
    let path = folder.path().join("secret");
    SecretFile::new(&path).with_reader_group(OTHER).write(b"the secret").unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (0, OTHER, 0o640));
    assert_eq!(as_other("read-shared", &path), "the secret");
    // In a folder that it may not change, another user leaves nothing behind either.
    assert_eq!(as_other("write", &path), "cannot write");
    assert_eq!(names(folder.path()), ["secret"]);
}

#[test]
fn in_a_folder_that_cannot_be_looked_into_the_old_file_stays() {
    let Some(folder) = folder_if_root() else { return };
    let path = file(&folder, 0o600);
    chown(&path, Some(OTHER), Some(OTHER)).unwrap();
    chown(folder.path(), Some(OTHER), Some(OTHER)).unwrap();
    // It may be written to, and that the new name is on the disk cannot be made sure of.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o300)).unwrap();
    assert_eq!(as_other("write", &path), "cannot write");
    assert_eq!(fs::read(&path).unwrap(), b"the secret");
}

/// The other user's part, started by the tests above.
#[test]
#[ignore = "the other tests start it as another user"]
fn the_other_user() {
    let Ok(part) = std::env::var("OTHER_USER_PART") else { return };
    let path = std::env::var("OTHER_USER_PATH").unwrap();
    let file = SecretFile::new(&path);
    let outcome = match part.as_str() {
        "read" => file.read_text(),
        "read-shared" => file.with_reader_group(OTHER).read_text(),
        _ => file.write(b"mine").map(|()| String::new().into()),
    };
    match outcome {
        Ok(text) => println!("outcome: {}", *text),
        Err(error) => println!("outcome: {}", error.to_string().replace(&path, "|")),
    }
}

/// Runs this test program once more as the other user; its outcome up to the path in it, or after it.
fn as_other(part: &str, path: &Path) -> String {
    // The program as an open file: the other user may not be able to reach its path.
    let program = File::open(std::env::current_exe().unwrap()).unwrap();
    let output = Command::new("/proc/self/fd/0")
        .args(["the_other_user", "--exact", "--ignored", "--nocapture"])
        .env("OTHER_USER_PART", part)
        .env("OTHER_USER_PATH", path)
        .current_dir("/")
        .uid(OTHER)
        .gid(OTHER)
        .stdin(program)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let outcome = output.lines().find_map(|line| line.split_once("outcome: ")).expect("an outcome").1;
    let words = outcome.split('|').map(str::trim).find(|words| !words.is_empty()).unwrap();
    words.split(',').next().unwrap().to_owned()
}

/// A folder that all users can look into; says so, past the test harness's capture, when the test cannot be run.
fn folder_if_root() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        writeln!(std::io::stderr(), "skipped: needs root").expect("standard error");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    Some(folder)
}
