//! A test must end.

use std::time::Duration;

/// Runs a test to its end.
///
/// # Panics
///
/// When that takes longer than any test may.
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONGEST, test).await {
        Ok(output) => output,
        Err(_) => panic!("the test did not end within {LONGEST:?}"),
    }
}

/// Far more than any test takes, even on a busy machine: it only tells a hang from a slow run.
const LONGEST: Duration = Duration::from_secs(60);
