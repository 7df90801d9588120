//! Letting the connections write while a task sends without waiting for any of them.

use std::task::{Context, Poll};

use transport_core::MessageRef;

/// What a task has sent since it last let other tasks run, such as those that write it.
#[derive(Default)]
pub(crate) struct Turn {
    sent: usize,
}

/// A turn is over after so many bytes.
const TURN: usize = 32 << 10;
/// What a message counts beside its bytes.
const MESSAGE: usize = 64;

impl Turn {
    /// Lets other tasks run when the turn is over: before something is sent, so that whoever is cancelled here has sent
    /// nothing.
    #[inline]
    pub(crate) async fn next(&mut self) {
        if self.is_over() {
            self.begin();
            tokio::task::yield_now().await;
        }
    }

    /// As `next`, without a future of its own.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_over() {
            self.begin();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Begins the next turn at once.
    pub(crate) fn begin(&mut self) {
        self.sent = 0;
    }

    #[inline]
    pub(crate) fn count(&mut self, message: MessageRef<'_>) {
        self.sent += message.byte_count() + MESSAGE;
    }

    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.sent >= TURN
    }
}
