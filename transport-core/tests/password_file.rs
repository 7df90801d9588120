//! The password file: made, edited, read again when it changes, and refused when others can read it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use transport_core::mechanism::scram::{AccountStore, Lookup, PasswordFile, PasswordFileError, Verifier};
use transport_core::mechanism::{PasswordVerifier as _, PlainClient, PlainServer, Verdict};
use transport_core::mem::MemTransport;
use transport_core::{Connect, Listen, Policy, Transports};

const FEW: u32 = 4096;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_password_file_is_made_edited_and_read_again() {
    let folder = folder();
    let path = folder.path().join("passwords");
    let verifier = |password| Verifier::new(password, FEW).unwrap();
    PasswordFile::set(&path, "alice", Some(&verifier("one"))).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = PasswordFile::open(&path).unwrap();
    let secret = file.secret().to_owned();
    assert!(matches!(file.lookup("alice"), Lookup::Now(Some(_))));
    PasswordFile::set(&path, "b:ob", Some(&verifier("two"))).unwrap();
    PasswordFile::set(&path, "alice", None).unwrap();
    assert!(matches!(file.lookup("b:ob"), Lookup::Now(Some(_))));
    assert!(matches!(file.lookup("alice"), Lookup::Now(None)));
    assert_eq!(PasswordFile::open(&path).unwrap().secret(), secret, "made-up salts outlive restarts");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn edits_at_the_same_time_are_all_kept() {
    let folder = folder();
    let path = folder.path().join("passwords");
    let verifier = Verifier::new("one", FEW).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let (path, verifier) = (&path, &verifier);
            threads.spawn(move || {
                for user in 0..10 {
                    PasswordFile::set(path, &format!("{thread}-{user}"), Some(verifier)).unwrap();
                }
            });
        }
    });
    let file = PasswordFile::open(&path).unwrap();
    let known = |user: String| matches!(file.lookup(&user), Lookup::Now(Some(_)));
    assert!((0..4).all(|thread| (0..10).all(|user| known(format!("{thread}-{user}")))));
}

#[test]
fn a_broken_password_file_leaves_the_users_read_last_and_is_warned_of_once() {
    let folder = folder();
    let path = folder.path().join("passwords");
    let verifier = Verifier::new("one", FEW).unwrap();
    PasswordFile::set(&path, "alice", Some(&verifier)).unwrap();
    let file = PasswordFile::open(&path).unwrap();
    let known = |user| matches!(file.lookup(user), Lookup::Now(Some(_)));
    let good = std::fs::read_to_string(&path).unwrap();
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());

    for (count, broken) in [(1, "nonsense"), (2, ""), (3, good.split_once('\n').unwrap().1)] {
        std::fs::write(&path, broken).unwrap();
        assert!((0..100).all(|_| known("alice")), "{broken}");
        assert_eq!(warnings.taken().len(), 1, "{count}: {broken}");
    }
    let error = PasswordFile::open(&path).unwrap_err();
    assert!(matches!(error, PasswordFileError::Line { .. }), "{error}");
    // Replaced as a whole by a file that others can read, and removed.
    let beside = folder.path().join("new");
    std::fs::write(&beside, format!("{good}bob:{verifier}\n")).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    assert!(known("alice") && !known("bob"));
    let warning = warnings.taken().concat();
    assert!(warning.contains(&format!("chmod 600 {}", path.display())), "{warning}");
    std::fs::remove_file(&path).unwrap();
    assert!(known("alice"));
    assert_eq!(warnings.taken().len(), 1);
    // And a good one again, which is read without a word.
    std::fs::write(&beside, format!("{good}bob:{verifier}\n")).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    assert!(known("alice") && known("bob"));
    assert!(warnings.taken().is_empty());
}

#[tokio::test]
async fn plain_can_check_against_the_same_file() {
    let folder = folder();
    let path = folder.path().join("passwords");
    PasswordFile::set(&path, "alice", Some(&Verifier::new("secret", FEW).unwrap())).unwrap();
    let file = PasswordFile::open(&path).unwrap();
    let accepts = async |user: &str, password: &[u8]| match file.verify(user, password) {
        Verdict::Now(accepted) => accepted,
        Verdict::Later(verdict) => verdict.await.unwrap(),
    };
    assert!(accepts("alice", b"secret").await);
    assert!(
        !accepts("alice", b"wrong").await
            && !accepts("nobody", b"secret").await
            && !accepts("nobody", b"nobody").await
    );
    assert!(!accepts("alice", b"\xff").await);

    let transports = Transports::new().with(MemTransport::new());
    let listen = Listen::new(&transports, "mem://plain").mechanism(PlainServer::new(file));
    let mut server = listen.policy(Policy::user("alice")).start().await.unwrap();
    let plain = PlainClient::new("alice", "secret").unwrap();
    let _client = Connect::new(&transports, "mem://plain")
        .mechanism(plain)
        .server(Policy::same_process())
        .await
        .unwrap();
    assert_eq!(server.accept().await.unwrap().identity().to_string(), "user:alice");
}

#[test]
fn a_password_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let folder = folder();
    let path = folder.path().join("passwords");
    PasswordFile::set(&path, "alice", Some(&Verifier::new("secret", FEW).unwrap())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = PasswordFile::open(&path).unwrap_err().to_string();
    assert!(error.ends_with(&format!("chmod 600 {}", path.display())), "{error}");
    assert!(PasswordFile::set(&path, "bob", None).is_err());
    for user in ["", "#a", "!secret", "a\nb", &"a".repeat(256)] {
        assert!(matches!(PasswordFile::set(&path, user, None), Err(PasswordFileError::User)), "{user:?}");
    }
}

/// Unknown users cost what known ones do, and on no thread of the runtime: counted in processor time, which others do not disturb.
#[test]
fn passwords_are_stretched_one_to_a_core_away_from_the_runtime_and_not_for_who_has_gone() {
    const ITERATIONS: u32 = 50_000;
    let folder = folder();
    let path = folder.path().join("passwords");
    let before = thread_time();
    PasswordFile::set(&path, "alice", Some(&Verifier::new("secret", ITERATIONS).unwrap())).unwrap();
    let stretch = thread_time() - before;
    let file = PasswordFile::open(&path).unwrap();
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_time().build().unwrap();
    runtime.block_on(async {
        // All that is stretched is stretched in this one thread.
        let elsewhere = async || tokio::task::spawn_blocking(thread_time).await.unwrap();
        for (user, password, right) in
            [("alice", "secret", true), ("alice", "x", false), ("nobody", "x", false), ("nobody", "", false)]
        {
            let (here, there) = (thread_time(), elsewhere().await);
            let Verdict::Later(verdict) = file.verify(user, password.as_bytes()) else { panic!("{user}") };
            assert_eq!(verdict.await, Ok(right), "{user} {password}");
            let (here, there) = (thread_time() - here, elsewhere().await - there);
            let stretches = if password.is_empty() { 0..1 } else { 1..2 };
            assert!(here < stretch / 2, "{user} {password}: {here:?} here, a stretch takes {stretch:?}");
            let about = (there + stretch / 2).as_nanos() / stretch.as_nanos();
            assert!(stretches.contains(&about), "{user} {password}: {there:?}, a stretch takes {stretch:?}");
        }

        let cores = std::thread::available_parallelism().unwrap().get();
        let there = elsewhere().await;
        for _ in 0..cores * 20 {
            let Verdict::Later(verdict) = file.verify("alice", b"x") else { panic!() };
            let soon = tokio::time::timeout(std::time::Duration::ZERO, verdict);
            let _gone = soon.await;
        }
        let there = elsewhere().await - there;
        assert!(
            there < stretch * 10 * u32::try_from(cores).unwrap(),
            "{there:?}, a stretch takes {stretch:?}"
        );
    });
}

fn thread_time() -> std::time::Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap()
}

/// Collects what is logged as a warning.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}
