//! Looking again for a while before a task sleeps.

use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

/// Whether a task that found nothing looks again at once: what comes soon is then received without waking a core that
/// sleeps, which takes longer than anything else on the way.
///
/// It looks whenever its runtime has looked at the sockets, so other tasks of the thread go on meanwhile.
pub(crate) struct Spin {
    limit: Duration,
    since: Option<Instant>,
}

impl Spin {
    pub(crate) fn new(limit: Duration) -> Spin {
        Spin { limit, since: None }
    }

    /// Nothing was found. True when the task will be woken to look again; false when it has looked for long enough, and
    /// something else must wake it.
    #[inline]
    pub(crate) fn again(&mut self, cx: &mut Context<'_>) -> bool {
        !self.limit.is_zero() && self.again_until_limit(cx)
    }

    /// Something was found.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.since = None;
    }

    #[cold]
    fn again_until_limit(&mut self, cx: &mut Context<'_>) -> bool {
        if self.since.get_or_insert_with(Instant::now).elapsed() >= self.limit {
            self.since = None;
            return false;
        }
        // Its first poll asks the runtime to wake the task, once it has looked at its sockets.
        pin!(tokio::task::yield_now()).poll(cx).is_pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn it_looks_again_until_its_limit_and_anew_after_something_was_found() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut spin = Spin::new(Duration::from_secs(3600));
        assert!(spin.again(&mut cx) && spin.again(&mut cx));
        spin.since = Instant::now().checked_sub(Duration::from_secs(3601));
        assert!(!spin.again(&mut cx), "it has looked for long enough");
        assert!(spin.again(&mut cx), "whoever is woken looks for a while again");
        spin.end();
        assert!(spin.since.is_none());
    }

    #[test]
    fn without_a_limit_it_never_looks_again() {
        assert!(!Spin::new(Duration::ZERO).again(&mut Context::from_waker(Waker::noop())));
    }
}
