//! A folder of its own for each test, and `certgen` run in it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use certgen::{Certificate, PemFile};

/// What `certgen` said, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn from(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// It went well, and complained of nothing.
    pub(crate) fn well(self) -> Ran {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self
    }

    /// It failed with exit code 1 and one line that has all of `hints`.
    pub(crate) fn failed_with(self, hints: &[&str]) -> Ran {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert_eq!((self.stdout.as_str(), self.stderr.lines().count()), ("", 1), "{}", self.stderr);
        for hint in hints {
            assert!(self.stderr.contains(hint), "{hint:?} is not in {}", self.stderr);
        }
        self
    }
}

/// An empty folder that goes with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A command that runs `certgen` here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certgen"));
        command.args(arguments).current_dir(self.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(&self.command(arguments).output().unwrap())
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.join(name)).unwrap().mode() & 0o7777
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap()
    }

    pub(crate) fn pem(&self, name: &str) -> PemFile {
        PemFile::read(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        Certificate::read(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Every file and folder in here, by its path from here.
    pub(crate) fn tree(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(root).unwrap().display().to_string());
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, root, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.path(), self.path(), &mut found);
        found.sort();
        found
    }
}
