//! The password file: users and their verifiers, readable by its owner alone.
//!
//! ```text
//! # any comment
//! !secret BASE64                                      made-up salts of unknown users are derived from it
//! alice:SCRAM-SHA-256$600000:salt$stored-key:server-key
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::accounts::{AccountStore, Lookup};
use super::keys::{DEFAULT_ITERATIONS, MARK, Verifier};
use crate::mechanism::{PasswordVerifier, Verdict};
use crate::secret_file::{FileStamp, SecretFile, SecretFileError};

/// Users and verifiers in a file: an [`AccountStore`] for SCRAM, and a [`PasswordVerifier`] for PLAIN.
///
/// The file is looked at with every login and read again when it has changed, in the task of that login: with more than
/// some ten thousand users, keep them in an [`AccountStore`] of another kind. When the file cannot be read any more, the
/// users that were read last stay, and a warning is logged.
#[derive(Clone)]
pub struct PasswordFile {
    inner: Arc<Inner>,
}

struct Inner {
    file: SecretFile,
    secret: Vec<u8>,
    loaded: Mutex<Loaded>,
    /// Held while a password is stretched.
    stretching: Arc<Semaphore>,
}

/// What was read last.
struct Loaded {
    users: Arc<Users>,
    stamp: FileStamp,
    /// A later state of the file that could not be read, and when that was tried.
    failed: Option<(Option<FileStamp>, Instant)>,
}

/// A file that cannot be read is tried again after so long, since the reason may lie elsewhere (too many open files).
const RETRY: Duration = Duration::from_secs(1);

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
    /// It cannot be read or written, or others can.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The system has no random bytes for a new file's secret.
    #[error("the system has no random bytes")]
    Random,
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
        let file = secret_file(path);
        let (stamp, users) = read(&file)?;
        let secret = users.secret.clone();
        let loaded = Mutex::new(Loaded { users: Arc::new(users), stamp, failed: None });
        let stretching = Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZero::get)));
        Ok(PasswordFile { inner: Arc::new(Inner { file, secret, loaded, stretching }) })
    }

    /// Sets a user's verifier, or removes the user with `None`; makes the file if there is none.
    ///
    /// The new file has mode 0600 from the start, and takes the old one's place as a whole. Waits while another process
    /// does the same in that folder.
    ///
    /// # Errors
    ///
    /// As [`PasswordFile::open`], and when it cannot be written.
    pub fn set(
        path: impl AsRef<Path>,
        user: &str,
        verifier: Option<&Verifier>,
    ) -> Result<(), PasswordFileError> {
        let file = secret_file(path.as_ref());
        let fits = (1..=255).contains(&user.len()) && !user.starts_with(['#', '!']);
        if !fits || user.chars().any(char::is_control) || user.contains(&format!(":{MARK}")) {
            return Err(PasswordFileError::User);
        }
        let _lock = file.lock()?;
        let mut users = match read(&file) {
            Ok((_, users)) => users,
            Err(error) if error.is_missing() => {
                let mut secret = vec![0; 32];
                getrandom::fill(&mut secret).map_err(|_| PasswordFileError::Random)?;
                Users { secret, ..Users::default() }
            }
            Err(error) => return Err(error),
        };
        match verifier {
            Some(verifier) => users.verifiers.insert(user.to_owned(), verifier.clone()),
            None => users.verifiers.remove(user),
        };
        Ok(file.write(print(&users).as_bytes())?)
    }

    /// The users, read again if the file has changed.
    fn users(&self) -> Arc<Users> {
        let mut loaded = self.inner.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.refresh(&self.inner.file);
        Arc::clone(&loaded.users)
    }
}

impl Loaded {
    fn refresh(&mut self, file: &SecretFile) {
        let stamp = file.stamp();
        if stamp == Some(self.stamp) {
            self.failed = None;
            return;
        }
        let known = self.failed.filter(|(failed, _)| *failed == stamp);
        if known.is_some_and(|(_, tried)| tried.elapsed() < RETRY) {
            return;
        }
        match read(file) {
            Ok((stamp, users)) => *self = Loaded { users: Arc::new(users), stamp, failed: None },
            Err(error) => {
                if known.is_none() {
                    let cause = std::error::Error::source(&error).map(tracing::field::display);
                    tracing::warn!(%error, cause, "the users that were read last stay");
                }
                self.failed = Some((stamp, Instant::now()));
            }
        }
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").field("path", &self.inner.file.path()).finish_non_exhaustive()
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
///
/// At most as many passwords as there are cores are stretched at once, in tokio's threads for blocking work. The others wait in
/// their handshakes; one that ends leaves no work behind but what was under way.
impl PasswordVerifier for PasswordFile {
    fn verify(&self, user: &str, password: &[u8]) -> Verdict {
        let users = self.users();
        let known = users.verifiers.get(user).cloned();
        let is_known = known.is_some();
        let verifier = known.unwrap_or_else(|| Verifier::of_nobody(vec![0; 16], users.iterations));
        let Ok(password) = std::str::from_utf8(password) else { return Verdict::Now(false) };
        let password = Zeroizing::new(password.to_owned());
        let stretching = Arc::clone(&self.inner.stretching);
        Verdict::Later(Box::pin(async move {
            let turn = stretching.acquire_owned().await.map_err(|error| error.to_string())?;
            let work = tokio::task::spawn_blocking(move || {
                let right = verifier.matches(&password) & is_known;
                drop(turn);
                right
            });
            work.await.map_err(|error| error.to_string())
        }))
    }
}

impl PasswordFileError {
    /// Whether there is no such file.
    fn is_missing(&self) -> bool {
        matches!(self, PasswordFileError::File(SecretFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
    }
}

fn secret_file(path: impl Into<PathBuf>) -> SecretFile {
    // A line has about 150 bytes: room for 400,000 users.
    SecretFile::new(path).with_most_bytes(64 << 20)
}

fn read(file: &SecretFile) -> Result<(FileStamp, Users), PasswordFileError> {
    let (text, stamp) = file.read_text_stamped()?;
    let users = parse(&text).map_err(|(line, problem)| PasswordFileError::Line {
        path: file.path().to_owned(),
        line,
        problem,
    })?;
    Ok((stamp, users))
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

fn print(users: &Users) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!("!secret {}\n", BASE64.encode(&users.secret)));
    for (user, verifier) in &users.verifiers {
        text.push_str(&format!("{user}:{verifier}\n"));
    }
    text
}
