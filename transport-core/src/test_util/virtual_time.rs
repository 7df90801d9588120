//! A runtime whose clock runs as fast as the test does.

use std::time::Duration;

use super::random::Random;

/// Runs a test in one thread, with a clock that jumps to the next timer whenever nothing else is left to do.
///
/// An hour of heartbeats takes milliseconds, and the same seed gives the same run. Sockets are not available: they
/// belong to the time outside. Use [`MemTransport`](crate::mem::MemTransport), with faults if need be.
///
/// # Panics
///
/// When the test does, after printing the seed; and when it is not done after ten days of virtual time, which is how
/// one shows that waits for something that never comes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use transport_core::test_util::{pair, virtual_time};
///
/// virtual_time(17, async |mut random| {
///     let (mut near, mut far) = pair().await;
///     let start = tokio::time::Instant::now();
///     let pause = random.time(Duration::from_secs(60)..=Duration::from_secs(3600));
///     // Heartbeats go to and fro for up to an hour.
///     let idle = async { tokio::join!(near.recv(), far.recv()) };
///     assert!(tokio::time::timeout(pause, idle).await.is_err());
///     assert_eq!(start.elapsed(), pause);
/// });
/// ```
pub fn virtual_time<T>(seed: u64, test: impl AsyncFnOnce(Random) -> T) -> T {
    let _names_the_seed = SeedOfPanic(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
    runtime.block_on(async {
        match tokio::time::timeout(HANGS, test(Random::new(seed))).await {
            Ok(value) => value,
            Err(_) => panic!(
                "the test hangs: it is not done after {} days of virtual time",
                HANGS.as_secs() / 86_400
            ),
        }
    })
}

/// Prints the seed when the test panics.
struct SeedOfPanic(u64);

impl Drop for SeedOfPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was seed {}", self.0);
        }
    }
}

/// Heartbeats go on meanwhile: long enough for any test, and still over in a moment.
const HANGS: Duration = Duration::from_secs(10 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the test hangs")]
    fn a_test_that_waits_for_ever_panics_at_once() {
        virtual_time(1, async |_| std::future::pending::<()>().await);
    }
}
