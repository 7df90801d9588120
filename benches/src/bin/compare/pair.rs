//! Runs the two sides of a measurement on two pinned threads, and never waits for them for ever.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::job::Result;
use crate::pin;

/// A run takes about a second; one that takes this long has lost a message or is stuck in its set-up.
const DEADLINE: Duration = Duration::from_secs(60);
/// After one side failed, how long to wait for what the other has to say about it.
const GRACE: Duration = Duration::from_millis(500);

/// What one of the two threads sends back.
enum Side<S, R> {
    Sender(Result<S>),
    Receiver(Result<R>),
}

/// Runs `sender` on its core and `receiver` on its, and answers both results.
///
/// A side that fails, panics or hangs makes this an error. The other side may then stay behind, blocked, on a
/// thread of its own: nothing can end it, and it does no harm but to hold its sockets.
pub(crate) fn run<S, R>(
    sender: impl FnOnce() -> Result<S> + Send + 'static,
    receiver: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<(S, R)>
where
    S: Send + 'static,
    R: Send + 'static,
{
    let (report, reports) = mpsc::channel();
    let sender_report = report.clone();
    let sending = thread::Builder::new().name("sender".into()).spawn(move || {
        let result = pin::this_thread_to(pin::SENDER).and_then(|()| sender());
        // No one listens any more if the deadline has passed; there is nothing to do about that here.
        let _ = sender_report.send(Side::Sender(result));
    })?;
    let receiving = thread::Builder::new().name("receiver".into()).spawn(move || {
        let result = pin::this_thread_to(pin::RECEIVER).and_then(|()| receiver());
        let _ = report.send(Side::Receiver(result));
    })?;

    let (mut sent, mut received) = (None, None);
    let mut complaints: Vec<String> = Vec::new();
    while sent.is_none() || received.is_none() {
        let patience = if complaints.is_empty() { DEADLINE } else { GRACE };
        match reports.recv_timeout(patience) {
            Ok(Side::Sender(Ok(value))) => sent = Some(value),
            Ok(Side::Receiver(Ok(value))) => received = Some(value),
            Ok(Side::Sender(Err(error))) => complaints.push(format!("sender: {error}")),
            Ok(Side::Receiver(Err(error))) => complaints.push(format!("receiver: {error}")),
            Err(_) if !complaints.is_empty() => return Err(complaints.join("; ").into()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("not finished after {} s, messages were lost", DEADLINE.as_secs()).into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err("one side panicked".into()),
        }
    }
    // Both have answered, so this only waits for their last instructions: no thread overlaps the next run.
    sending.join().map_err(|_| "the sender panicked")?;
    receiving.join().map_err(|_| "the receiver panicked")?;
    match (sent, received) {
        (Some(sent), Some(received)) => Ok((sent, received)),
        _ => Err(complaints.join("; ").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_of_a_side_is_answered_though_the_other_hangs() {
        let (_open, never) = mpsc::channel::<()>();
        let result: Result<((), ())> = run(move || Ok(never.recv()?), || Err("cannot bind".into()));
        assert_eq!(result.map_err(|error| error.to_string()), Err("receiver: cannot bind".into()));
    }
}
