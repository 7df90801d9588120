//! The thread that loads files again when they change, and closes connections whose certificates expire.
//!
//! ```text
//! a directory changes -> wait until it is quiet for 50 ms -> do the files differ? -> reload
//! every 30 s          -> do the files differ? -> reload;  close what has expired
//! ```
//!
//! It is a thread and no task, since reading files blocks, and since a transport may outlive the runtime that it was made in.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use transport_core::secret_file::{FileStamp, SecretFile};

use crate::error::LoadError;
use crate::event::TlsEvent;
use crate::state::State;

/// Ends the thread when it is dropped.
pub(crate) struct Keeper {
    wake: Sender<Wake>,
}

enum Wake {
    Changed,
    Stop,
}

/// Nothing may have changed for so long before files are read: certificate and key are written one after the other.
const QUIET: Duration = Duration::from_millis(50);
/// A directory that never comes to rest is looked at all the same.
const LONGEST_UNREST: Duration = Duration::from_secs(1);
/// Finds what watching misses, such as changes over a network file system, and certificates that expire.
const LOOK: Duration = Duration::from_secs(30);

impl Keeper {
    pub(crate) fn start(state: &Arc<State>) -> Result<Keeper, LoadError> {
        let (wake, woken) = mpsc::channel();
        let watcher = state.config.watch.then(|| watch(state, wake.clone())).flatten();
        let weak = Arc::downgrade(state);
        // What has been loaded is older than this look at it: a change in between shows at the first comparison.
        let files = Files::new(state);
        let run = move || {
            let _watched_until_the_end = watcher;
            keep(&weak, &woken, files);
        };
        let thread = std::thread::Builder::new().name("tls-keeper".to_owned()).spawn(run);
        thread.map_err(|error| LoadError::Settings(format!("cannot start a thread: {error}")))?;
        Ok(Keeper { wake })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Fails only when the thread has ended.
        let _ = self.wake.send(Wake::Stop);
    }
}

fn watch(state: &State, wake: Sender<Wake>) -> Option<RecommendedWatcher> {
    let directories = state.watched_directories();
    if directories.is_empty() {
        return None;
    }
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the files is an event too; an error means that some may have been lost.
        let changed = event.map_or(true, |event| match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        });
        if changed {
            let _ = wake.send(Wake::Changed);
        }
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        for directory in &directories {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            state.tell(TlsEvent::NotWatched { problem: error.to_string() });
            None
        }
    }
}

fn keep(state: &Weak<State>, woken: &Receiver<Wake>, mut files: Files) {
    loop {
        let looked_by_itself = match woken.recv_timeout(LOOK) {
            Ok(Wake::Changed) => {
                if !wait_until_quiet(woken) {
                    return;
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(state) = state.upgrade() else { return };
        if state.config.watch && files.have_changed() {
            // Success and failure are told as events.
            let _ = state.reload();
        }
        if looked_by_itself {
            state.close_refused();
        }
    }
}

/// False when it is time to stop.
fn wait_until_quiet(woken: &Receiver<Wake>) -> bool {
    let start = Instant::now();
    while start.elapsed() < LONGEST_UNREST {
        match woken.recv_timeout(QUIET) {
            Ok(Wake::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// The files that were loaded, and how they were then.
struct Files {
    paths: Vec<PathBuf>,
    stamps: Vec<Option<FileStamp>>,
}

impl Files {
    fn new(state: &State) -> Files {
        let paths = state.paths();
        Files { stamps: Vec::new(), paths }
    }

    /// Whether any of them differs from the last time that this was asked. The first time counts as a change.
    fn have_changed(&mut self) -> bool {
        let stamps: Vec<_> = self.paths.iter().flat_map(|path| stamps(path)).collect();
        let changed = stamps != self.stamps;
        self.stamps = stamps;
        changed
    }
}

/// The stamp of a file, or of all in a directory.
fn stamps(path: &Path) -> Vec<Option<FileStamp>> {
    let stamp = |path: &Path| SecretFile::new(path).stamp();
    let Ok(entries) = std::fs::read_dir(path) else { return vec![stamp(path)] };
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| stamp(file)).collect()
}
