//! The password file: users and their verifiers, readable by its owner alone.
//!
//! ```text
//! # any comment
//! !secret BASE64                                      made-up salts of unknown users are derived from it
//! alice:SCRAM-SHA-256$600000:salt$stored-key:server-key
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::accounts::{AccountStore, Lookup};
use super::keys::{DEFAULT_ITERATIONS, MARK, Verifier};
use crate::mechanism::{PasswordVerifier, Verdict};

/// Users and verifiers in a file: an [`AccountStore`] for SCRAM, and a [`PasswordVerifier`] for PLAIN.
///
/// The file is looked at with every login and read again when it has changed. When it cannot be read any more, the users
/// that were read last stay, and a warning is logged.
#[derive(Clone)]
pub struct PasswordFile {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    secret: Vec<u8>,
    loaded: Mutex<(Stamp, Arc<Users>)>,
}

/// What tells one state of the file from another.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

#[derive(Default)]
struct Users {
    secret: Vec<u8>,
    verifiers: BTreeMap<String, Verifier>,
    iterations: u32,
}

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordFileError {
    /// It cannot be read or written.
    #[error("cannot {action} the password file {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can read or write it.
    #[error("others can read or change the password file {0}: chmod 600 {0}", .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another user, who can change it.
    #[error("the password file {} belongs to uid {uid}: it must be yours or root's", .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// A line cannot be read.
    #[error("line {line} of the password file {} is wrong: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A user name that a line cannot hold.
    #[error("a user name has 1 to 255 bytes, no control characters, and does not start with # or !")]
    User,
}

impl PasswordFile {
    /// Opens a file that exists.
    ///
    /// # Errors
    ///
    /// When it cannot be read, others can read or change it, or a line is wrong.
    pub fn open(path: impl Into<PathBuf>) -> Result<PasswordFile, PasswordFileError> {
        let path = path.into();
        let (stamp, users) = read(&path)?;
        let secret = users.secret.clone();
        Ok(PasswordFile {
            inner: Arc::new(Inner { path, secret, loaded: Mutex::new((stamp, Arc::new(users))) }),
        })
    }

    /// Sets a user's verifier, or removes the user with `None`; makes the file if there is none.
    ///
    /// The new file has mode 0600 from the start, and takes the old one's place as a whole.
    ///
    /// # Errors
    ///
    /// As [`PasswordFile::open`], and when it cannot be written.
    pub fn set(
        path: impl AsRef<Path>,
        user: &str,
        verifier: Option<&Verifier>,
    ) -> Result<(), PasswordFileError> {
        let path = path.as_ref();
        let fits = (1..=255).contains(&user.len()) && !user.starts_with(['#', '!']);
        if !fits || user.chars().any(char::is_control) || user.contains(&format!(":{MARK}")) {
            return Err(PasswordFileError::User);
        }
        let mut users = match read(path) {
            Ok((_, users)) => users,
            Err(PasswordFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let mut secret = vec![0; 32];
                getrandom::fill(&mut secret)
                    .map_err(|error| io_error("make", path, io::Error::other(error)))?;
                Users { secret, ..Users::default() }
            }
            Err(error) => return Err(error),
        };
        match verifier {
            Some(verifier) => users.verifiers.insert(user.to_owned(), verifier.clone()),
            None => users.verifiers.remove(user),
        };
        write(path, &users).map_err(|error| io_error("write", path, error))
    }

    /// The users, read again if the file has changed.
    fn users(&self) -> Arc<Users> {
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let path = &self.inner.path;
        let unchanged = fs::metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) == loaded.0);
        if !unchanged {
            match read(path) {
                Ok((stamp, users)) => *loaded = (stamp, Arc::new(users)),
                Err(error) => tracing::warn!(%error, "the users that were read last stay"),
            }
        }
        Arc::clone(&loaded.1)
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl AccountStore for PasswordFile {
    fn lookup(&self, user: &str) -> Lookup {
        Lookup::Now(self.users().verifiers.get(user).cloned())
    }

    fn iterations(&self) -> u32 {
        self.users().iterations
    }

    fn secret(&self) -> &[u8] {
        &self.inner.secret
    }
}

/// Stretches the password for every login, unknown users' too: slow by design. SCRAM costs the server two hashes.
impl PasswordVerifier for PasswordFile {
    fn verify(&self, user: &str, password: &[u8]) -> Verdict {
        let users = self.users();
        let known = users.verifiers.get(user).cloned();
        let is_known = known.is_some();
        let verifier = known.map_or_else(|| Verifier::with_salt("nobody", vec![0; 16], users.iterations), Ok);
        let password = std::str::from_utf8(password).map(|password| Zeroizing::new(password.to_owned()));
        let (Ok(verifier), Ok(password)) = (verifier, password) else { return Verdict::Now(false) };
        Verdict::Later(Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || verifier.matches(&password));
            work.await.map(|right| right & is_known).map_err(|error| error.to_string())
        }))
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp { inode: metadata.ino(), length: metadata.len(), modified: metadata.modified().ok() }
    }
}

fn read(path: &Path) -> Result<(Stamp, Users), PasswordFileError> {
    let failed = |error| io_error("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    // Of the open file, not of the path: that could be another file by now.
    let metadata = file.metadata().map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(PasswordFileError::Owner { path: path.to_owned(), uid: metadata.uid() });
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(PasswordFileError::Mode { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    let users = parse(&text).map_err(|(line, problem)| PasswordFileError::Line {
        path: path.to_owned(),
        line,
        problem,
    })?;
    Ok((Stamp::of(&metadata), users))
}

fn parse(text: &str) -> Result<Users, (usize, String)> {
    let mut users = Users::default();
    let mut most_common: HashMap<u32, usize> = HashMap::new();
    for (i, line) in text.lines().enumerate() {
        let wrong = |problem: &str| (i + 1, problem.to_owned());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(secret) = line.strip_prefix("!secret ") {
            let secret = BASE64.decode(secret).ok().filter(|secret| secret.len() >= 16);
            users.secret = secret.ok_or_else(|| wrong("the secret is not 16 bytes or more in base64"))?;
            continue;
        }
        // The last mark: a user name may have colons.
        let at =
            line.rfind(&format!(":{MARK}")).ok_or_else(|| wrong("the form is user:SCRAM-SHA-256$..."))?;
        let verifier: Verifier = line[at + 1..].parse().map_err(|error| (i + 1, format!("{error}")))?;
        *most_common.entry(verifier.iterations).or_default() += 1;
        if users.verifiers.insert(line[..at].to_owned(), verifier).is_some() {
            return Err(wrong("this user was in an earlier line"));
        }
    }
    if users.secret.is_empty() {
        return Err((0, "there is no line `!secret BASE64`".to_owned()));
    }
    let iterations = most_common.into_iter().max_by_key(|(_, count)| *count);
    users.iterations = iterations.map_or(DEFAULT_ITERATIONS, |(iterations, _)| iterations);
    Ok(users)
}

/// Writes beside and renames, so that a reader finds the old file or the new one.
fn write(path: &Path, users: &Users) -> io::Result<()> {
    let mut text = Zeroizing::new(format!("!secret {}\n", BASE64.encode(&users.secret)));
    for (user, verifier) in &users.verifiers {
        text.push_str(&format!("{user}:{verifier}\n"));
    }
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?;
    let mut beside = name.to_os_string();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> PasswordFileError {
    PasswordFileError::Io { action, path: path.to_owned(), source }
}
