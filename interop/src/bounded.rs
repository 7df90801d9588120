//! A test must end.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::python::environment_since;

/// Runs a test to its end.
///
/// # Panics
///
/// When that takes longer than any test may; the time until there is an environment for Python does not count.
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let mut test = pin!(test);
    loop {
        let since = environment_since().map_or(start, |there| start.max(there));
        let deadline = since + LONGEST;
        match timeout_at(deadline, &mut test).await {
            Ok(output) => return output,
            // Else the environment has been made meanwhile, perhaps by this very test.
            Err(_) if environment_since().is_none_or(|there| there <= since) => {
                panic!("the test did not end within {LONGEST:?}")
            }
            Err(_) => {}
        }
    }
}

/// Far more than any test takes, even on a busy machine: it only tells a hang from a slow run.
const LONGEST: Duration = Duration::from_secs(120);
