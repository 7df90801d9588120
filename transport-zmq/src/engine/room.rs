//! Waiting for room without a future of its own: for sinks and proxies.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::futures::OwnedNotified;
use transport_core::{Message, MessageRef, SendError, SenderGroup};

use super::hub::Hub;

/// Waits for what the progress of a socket's queues can bring, by one task.
#[derive(Default)]
pub(crate) struct Room {
    progress: Option<Pin<Box<OwnedNotified>>>,
}

/// The state of a socket that is a sink: a message that it has taken and that waits for room.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    message: Option<Message>,
    room: Room,
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Room {
    /// Ready with what `look` finds; it looks again whenever the queues of `group` have got shorter.
    pub(crate) fn poll<T>(
        &mut self,
        group: &SenderGroup,
        cx: &mut Context<'_>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Poll<T> {
        loop {
            if let Some(found) = look() {
                self.progress = None;
                return Poll::Ready(found);
            }
            match &mut self.progress {
                Some(progress) => {
                    ready!(progress.as_mut().poll(cx));
                    self.progress = None;
                }
                // It may have come before this task listened: looked for once more.
                None => self.progress = Some(Box::pin(group.progress())),
            }
        }
    }
}

impl Slot {
    pub(crate) fn new(hub: Arc<Hub>) -> Slot {
        Slot { hub, message: None, room: Room::default(), closing: None }
    }

    /// Takes a message that finds no room by `send`.
    pub(crate) fn put(
        &mut self,
        message: Message,
        send: impl FnOnce(MessageRef<'_>) -> Result<bool, SendError>,
    ) -> Result<(), SendError> {
        debug_assert!(self.message.is_none(), "a sink is asked whether it is ready first");
        if !send((&message).into())? {
            self.message = Some(message);
        }
        Ok(())
    }

    /// Ready when nothing waits any more. A message that cannot be sent to anyone is dropped with the error.
    pub(crate) fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(MessageRef<'_>) -> Result<bool, SendError>,
    ) -> Poll<Result<(), SendError>> {
        let Some(message) = &self.message else { return Poll::Ready(Ok(())) };
        let sent = ready!(self.room.poll(&self.hub.group, cx, || match send(message.into()) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        }));
        self.message = None;
        Poll::Ready(sent)
    }

    /// Closes the socket, as its `close` does.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let close = || {
            let hub = Arc::clone(&self.hub);
            Box::pin(async move { hub.close().await }) as _
        };
        ready!(self.closing.get_or_insert_with(close).as_mut().poll(cx));
        // Whoever asks again closes what is closed.
        self.closing = None;
        Poll::Ready(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.hub.tell_unsent(None, usize::from(self.message.is_some()));
    }
}
