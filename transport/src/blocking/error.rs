//! Why a blocking call failed.

use std::io;
use std::time::Duration;

/// Why a blocking call failed: as the async one does, with `E`, or because it blocks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E: std::error::Error + 'static> {
    /// As the async call fails.
    #[error(transparent)]
    Failed(#[from] E),
    /// The call came from a thread of a tokio runtime, which must not block. Nothing was done.
    #[error(
        "a blocking call within a tokio runtime: use the async API of the crate, or a thread of std::thread::spawn"
    )]
    WithinRuntime,
    /// There was no answer in the time of a call that has one.
    #[error("nothing came within {0:?}")]
    TimedOut(Duration),
    /// The system gave no runtime, such as for lack of descriptors or threads.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}
