//! One test for many seeds.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Runs `test` for the seeds from 0 on, `seeds` of them, in as many threads as there are cores; or, when the
/// environment variable `TEST_SEED` is set, for that seed alone.
///
/// # Panics
///
/// When the test does for some seed: the message names the seed and the command that runs it again.
///
/// # Examples
///
/// ```
/// use transport_core::test_util::{pair, sweep, virtual_time};
///
/// sweep(20, |seed| {
///     virtual_time(seed, async |mut random| {
///         let (mut near, mut far) = pair().await;
///         let message = vec![0; random.length(0..=100_000)];
///         let (sent, received) = tokio::join!(near.send(&message), far.recv());
///         sent.unwrap();
///         assert_eq!(received.unwrap().unwrap()[0], message);
///     })
/// });
/// ```
pub fn sweep(seeds: u64, test: impl Fn(u64) + Sync) {
    if let Ok(seed) = std::env::var("TEST_SEED") {
        return test(seed.parse().expect("TEST_SEED is a number"));
    }
    if let Some(seed) = first_failure(seeds, test) {
        panic!("failed for seed {seed}; run it again with: {}", command(seed));
    }
}

/// The smallest seed that failed of those tried until a failure was seen.
fn first_failure(seeds: u64, test: impl Fn(u64) + Sync) -> Option<u64> {
    let next = AtomicU64::new(0);
    let failed: Mutex<Option<u64>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| test(seed))).is_err() {
                next.store(seeds, Ordering::Relaxed);
                let mut failed = failed.lock().expect("no panic under this lock");
                *failed = Some(failed.map_or(seed, |other| other.min(seed)));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    failed.into_inner().expect("no panic under this lock")
}

/// How to run this test again with one seed. The harness names a test's thread after the test.
fn command(seed: u64) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}")).unwrap_or_default();
    let thread = thread::current();
    let name = thread.name().map(|name| format!(" {name}")).unwrap_or_default();
    format!("TEST_SEED={seed} cargo test{package}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_fails_is_found() {
        assert_eq!(first_failure(100, |seed| assert_ne!(seed, 42)), Some(42));
        assert_eq!(first_failure(42, |seed| assert_ne!(seed, 42)), None);
    }

    #[test]
    fn the_command_names_the_test_and_the_seed() {
        let command = command(7);
        assert!(command.starts_with("TEST_SEED=7 cargo test"), "{command}");
        assert!(command.ends_with("the_command_names_the_test_and_the_seed"), "{command}");
    }
}
