//! The tokio runtime of the asynchronous subjects: one on each of the two pinned threads.

use std::future::Future;

use tokio::runtime::Builder;

use crate::job::Result;

/// Runs `side` to its end on a current-thread runtime of the calling thread.
pub(crate) fn block_on<T>(side: impl Future<Output = Result<T>>) -> Result<T> {
    Builder::new_current_thread().enable_all().build()?.block_on(side)
}
