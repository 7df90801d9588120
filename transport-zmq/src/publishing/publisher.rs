//! Sending to everyone who has subscribed.

use std::sync::Arc;
use std::task::{Context, Poll};

use transport_core::{Broadcast, MessageRef, SendError, WriteBuffer};

use super::subscribers::{Subscriber, Subscribers};
use crate::engine::Hub;

/// The application's end.
pub(crate) struct Publisher {
    hub: Arc<Hub>,
    subscribers: Arc<Subscribers>,
    /// Whether a message waits for everyone who has subscribed to it.
    waits: bool,
    scratch: WriteBuffer,
    /// What was sent since the connections were last let write.
    unwritten: usize,
}

/// After so many bytes the connections are let write.
const TURN: usize = 32 << 10;
/// What a message counts beside its bytes.
const MESSAGE: usize = 64;

impl Publisher {
    pub(crate) fn new(hub: Arc<Hub>, subscribers: Arc<Subscribers>) -> Publisher {
        Publisher { hub, subscribers, waits: false, scratch: WriteBuffer::new(), unwritten: 0 }
    }

    pub(crate) fn set_waits(&mut self, waits: bool) {
        self.waits = waits;
    }

    #[inline]
    pub(crate) async fn send(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        while !self.try_send(message)? {
            let progress = self.hub.group.progress();
            // It may have come before this task listened.
            if self.try_send(message)? {
                break;
            }
            progress.await;
        }
        if self.is_turn_over() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// False when someone who has subscribed has no room and is waited for.
    #[inline]
    pub(crate) fn try_send(&mut self, message: MessageRef<'_>) -> Result<bool, SendError> {
        if self.waits && !self.hub.config.conflate && !self.has_room(message) {
            return Ok(false);
        }
        self.send_now(message).map(|()| true)
    }

    fn has_room(&self, message: MessageRef<'_>) -> bool {
        let mut all = true;
        let topic = message.parts().next().unwrap_or_default();
        self.subscribers.lock().visit(topic, |subscriber| all &= subscriber.peer.has_room());
        all
    }

    /// Ready when the connections have been let write.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_turn_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn is_turn_over(&mut self) -> bool {
        let over = self.unwritten >= TURN;
        if over {
            self.unwritten = 0;
        }
        over
    }

    pub(crate) fn send_now(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.unwritten += message.byte_count() + MESSAGE;
        let topic = message.parts().next().unwrap_or_default();
        let mut broadcast = Broadcast::new(message, &mut self.scratch);
        let mut unencodable = None;
        self.subscribers.lock().visit(topic, |subscriber| {
            let sender = subscriber.peer.sender();
            let sent = if self.hub.config.conflate {
                sender.broadcast_latest(&mut broadcast).map(|()| true)
            } else {
                sender.try_broadcast(&mut broadcast)
            };
            match sent {
                Ok(true) => {}
                Ok(false) => {
                    subscriber.peer.count_dropped();
                    self.hub.count_dropped();
                }
                Err(SendError::Unencodable(error)) => unencodable = Some(error),
                // The peer's task finds out too and takes it out.
                Err(_) => subscriber.peer.cut(),
            }
        });
        unencodable.map_or(Ok(()), |error| Err(error.into()))
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.lock().peers().filter(|subscriber| !subscriber.topics.is_empty()).count()
    }

    pub(crate) async fn subscribed(&self, topic: &[u8]) {
        loop {
            let changed = self.subscribers.changed.notified();
            let is_there = |subscriber: &Subscriber| subscriber.topics.contains(topic);
            if self.subscribers.lock().peers().any(is_there) {
                return;
            }
            changed.await;
        }
    }
}
