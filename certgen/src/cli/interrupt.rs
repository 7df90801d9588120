//! Signals wait while files are written.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use certgen::Error;

/// Runs `work`, which takes milliseconds, to its end even if the process is told to stop; then it stops.
///
/// So a [`FileSet`](certgen::FileSet) always gets to remove what it began. A limit on the size of files makes writing fail
/// instead of ending the process.
pub(crate) fn uninterrupted<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let caught = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGXFSZ] {
        let listen = || -> io::Result<()> {
            // Afterwards it ends the process, as it did before.
            flag::register_conditional_default(signal, Arc::clone(&is_over))?;
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, Arc::clone(&caught), number)?;
            Ok(())
        };
        listen().map_err(|error| Error::Config(format!("cannot listen to signals: {error}")))?;
    }
    let outcome = work();
    is_over.store(true, Ordering::SeqCst);
    match caught.load(Ordering::SeqCst) {
        0 => {}
        signal if signal == usize::try_from(SIGXFSZ).unwrap_or_default() => {}
        // 128 and the number, as shells count.
        signal => process::exit(128 + i32::try_from(signal).unwrap_or_default()),
    }
    outcome
}
