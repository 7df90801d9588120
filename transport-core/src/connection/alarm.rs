//! A timer that costs nothing until it is needed, and little when its deadline moves.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// Wakes a task at a deadline that is given anew at every poll.
///
/// Deadlines mostly move later, with every byte that arrives. So the timer is not moved along: it fires at the old
/// time and is set again then.
#[derive(Default)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready when `deadline` has passed; never for `None`.
    pub(crate) fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The moment after `time` from now; for a time that is meant as "for ever", a moment that never comes.
pub(crate) fn after(time: std::time::Duration) -> tokio::time::Instant {
    const NEVER: std::time::Duration = std::time::Duration::from_secs(30 * 365 * 86_400);
    let now = tokio::time::Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + NEVER)
}

/// The time as tests may have set it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_whose_deadline_moves_fires_at_the_last_one() {
        let start = now();
        let mut alarm = Alarm::default();
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            alarm.poll(Some(start + Duration::from_secs(if polls == 1 { 5 } else { 9 })), cx)
        })
        .await;
        assert_eq!(now() - start, Duration::from_secs(9));
        assert_eq!(polls, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_can_be_set_earlier() {
        let start = now();
        let mut alarm = Alarm::default();
        assert!(
            std::future::poll_fn(|cx| Poll::Ready(alarm.poll(Some(start + Duration::from_secs(9)), cx)))
                .await
                .is_pending()
        );
        std::future::poll_fn(|cx| alarm.poll(Some(start + Duration::from_secs(1)), cx)).await;
        assert_eq!(now() - start, Duration::from_secs(1));
    }
}
