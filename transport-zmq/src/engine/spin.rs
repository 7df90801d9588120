//! Looking again for a while before a task sleeps.

use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

use super::spin_payoff::SpinPayoff;

/// Whether a task that found nothing looks again at once: what comes soon is then received without waking a core that
/// sleeps, which takes longer than anything else on the way.
///
/// It looks whenever its runtime has looked at the sockets, so other tasks of the thread go on meanwhile.
pub(crate) struct Spin {
    limit: Duration,
    /// When the wait under way began.
    since: Option<Instant>,
    /// Whether that one is spun through.
    spins: bool,
    /// Present where it decides about each wait.
    payoff: Option<SpinPayoff>,
}

impl Spin {
    /// Spins through each wait, for so long at most.
    pub(crate) fn new(limit: Duration) -> Spin {
        Spin { limit, since: None, spins: false, payoff: None }
    }

    /// The same for as long as it is seen to pay.
    pub(crate) fn adaptive(limit: Duration) -> Spin {
        Spin { payoff: Some(SpinPayoff::new(limit)), ..Spin::new(limit) }
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
        if let Some(since) = self.since.take() {
            self.waited(since);
        }
    }

    #[cold]
    fn waited(&mut self, since: Instant) {
        if let Some(payoff) = &mut self.payoff {
            payoff.waited(since.elapsed());
        }
    }

    #[cold]
    fn again_until_limit(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.since.get_or_insert_with(|| {
            self.spins = self.payoff.as_mut().is_none_or(SpinPayoff::spins_next);
            Instant::now()
        });
        if !self.spins {
            return false;
        }
        if since.elapsed() >= self.limit {
            self.spins = false;
            if self.payoff.is_none() {
                // Whoever is woken for nothing looks for a while again.
                self.since = None;
            }
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
        let mut cx = Context::from_waker(Waker::noop());
        assert!(!Spin::new(Duration::ZERO).again(&mut cx));
        assert!(!Spin::adaptive(Duration::ZERO).again(&mut cx));
    }

    #[test]
    fn an_adaptive_one_whose_wait_has_reached_the_limit_sleeps_until_something_is_found() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut spin = Spin::adaptive(Duration::from_secs(3600));
        let mut looks = 0;
        // Nothing but waits that are answered at once: sooner or later it tries what spinning would give.
        while !spin.again(&mut cx) {
            spin.end();
            looks += 1;
            assert!(looks < 1000);
        }
        assert!(spin.again(&mut cx), "it goes on until something is found or the limit is reached");
        spin.since = Instant::now().checked_sub(Duration::from_secs(3601));
        assert!(!spin.again(&mut cx) && !spin.again(&mut cx));
    }
}
