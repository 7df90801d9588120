//! The queue of those who were authenticated and not handed over yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{Semaphore, mpsc};

/// The receiving end, which the application takes from and the server closes.
pub(super) struct Accepted<T>(Mutex<mpsc::Receiver<T>>);

impl<T> Accepted<T> {
    pub(super) fn new(room: usize) -> (Arc<Accepted<T>>, mpsc::Sender<T>) {
        let (sender, receiver) = mpsc::channel(room.clamp(1, Semaphore::MAX_PERMITS));
        (Arc::new(Accepted(Mutex::new(receiver))), sender)
    }

    /// The next one; `None` after the end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.lock().poll_recv(cx)
    }

    /// Takes nobody in any more and drops who is left: nobody will use them.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.close();
        while queue.try_recv().is_ok() {}
    }

    fn lock(&self) -> MutexGuard<'_, mpsc::Receiver<T>> {
        // Held for single operations of the queue only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_one_and_any_number_that_was_asked_for() {
        for room in [0, 1, usize::MAX] {
            let (_accepted, sender) = Accepted::new(room);
            assert!(sender.try_send(()).is_ok(), "{room}");
        }
    }
}
