//! Reaching a client from elsewhere: sending, watching, closing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ClientEnd, ClientSendError};
use super::events::{ClientEvents, ClientState};
use super::shared::{Inner, Order, Shared};
use crate::connection::after;
use crate::events::Events;
use crate::identity::Identity;
use crate::message::{Message, MessageRef};

/// Reaches a [`Client`](super::Client) from elsewhere: to send, and to see what it is doing. Cloned for as many tasks as need it.
///
/// Messages sent one after the other stay in their order.
#[derive(Clone)]
pub struct ClientHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) queue_time: Option<Duration>,
}

impl ClientHandle {
    /// Sends a message: queues it, and sees to it that it goes out on this connection or a later one.
    ///
    /// Ready when there was room in the queue. [`flush`](ClientHandle::flush) waits until it has left it.
    ///
    /// # Errors
    ///
    /// See [`ClientSendError`]. When the framing cannot carry the message, [`ClientEvent::Unencodable`](super::ClientEvent::Unencodable) tells later.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message is queued as a whole or not at all.
    pub async fn send(&self, message: impl Into<MessageRef<'_>>) -> Result<(), ClientSendError> {
        let message = message.into();
        let queued = self.wait_to_queue(message);
        match self.queue_time {
            Some(time) => {
                tokio::time::timeout(time, queued).await.unwrap_or(Err(ClientSendError::Full(time)))
            }
            None => queued.await,
        }
    }

    /// As [`send`](ClientHandle::send), without waiting for room.
    ///
    /// # Errors
    ///
    /// See [`ClientSendError`].
    pub fn try_send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), ClientSendError> {
        let mut inner = self.shared.lock();
        if inner.try_queue(message.into())? { Ok(()) } else { Err(ClientSendError::Full(Duration::ZERO)) }
    }

    /// Waits until everything that was queued so far has left the queue: the stream has taken it. That does not mean
    /// that the server has received it.
    ///
    /// # Errors
    ///
    /// When the client ends before.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn flush(&self) -> Result<(), ClientEnd> {
        let target = self.shared.lock().queue.queued();
        loop {
            let progress = {
                let inner = self.shared.lock();
                if inner.queue.left() >= target {
                    return Ok(());
                }
                if let Some(end) = &inner.end {
                    return Err(end.clone());
                }
                // Created under the lock, so that no progress falls in between.
                self.shared.progress.notified()
            };
            progress.await;
        }
    }

    /// How many messages wait to be sent.
    pub fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// What the client is doing now.
    pub fn state(&self) -> ClientState {
        self.shared.state.borrow().clone()
    }

    /// Waits until there is a connection, and tells who the server is.
    ///
    /// # Errors
    ///
    /// When the client has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn connected(&self) -> Result<Identity, ClientEnd> {
        let mut states = self.shared.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                ClientState::Connected { identity, .. } => return Ok(identity.clone()),
                ClientState::Closed => return Err(ClientEnd::Closed),
                ClientState::GaveUp(error) => return Err(error.clone().into()),
                ClientState::Connecting { .. } | ClientState::Waiting { .. } => {}
            }
            // Fails only when the sender is gone, which this handle holds.
            let _ = states.changed().await;
        }
    }

    /// The events from now on.
    pub fn events(&self) -> ClientEvents {
        // After the end there is nobody to tell any.
        self.shared.lock().events.as_ref().map_or_else(|| Events::channel(1).1, |events| events.subscribe())
    }

    /// Ends the client: takes no more messages, sends those that wait, on a new connection if need be, and closes. After
    /// `grace` it closes at once.
    ///
    /// Returns the messages that wait still: empty when all were sent, and in one call only when several close. What
    /// the server sends meanwhile can be received until the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the client goes on to close, and a further call waits for it.
    pub async fn close(&self, grace: Duration) -> Vec<Message> {
        let deadline = after(grace);
        {
            let mut inner = self.shared.lock();
            inner.draining = true;
            let idle = inner.queue.is_empty() && !self.shared.state.borrow().is_connected();
            let deadline = if idle { tokio::time::Instant::now() } else { deadline };
            self.shared.order.send_if_modified(|order| {
                let sooner = match order {
                    Order::Go => true,
                    Order::Drain(earlier) => deadline < *earlier,
                    Order::Stop => false,
                };
                if sooner {
                    *order = Order::Drain(deadline);
                }
                sooner
            });
            inner.wake_keeper();
        }
        // Those that wait for room are told.
        self.shared.progress.notify_waiters();
        let mut states = self.shared.state.subscribe();
        // Fails only when the sender is gone, which this handle holds.
        let _ = states.wait_for(ClientState::is_ended).await;
        self.shared.lock().queue.take()
    }

    async fn wait_to_queue(&self, message: MessageRef<'_>) -> Result<(), ClientSendError> {
        loop {
            let progress = {
                let mut inner = self.shared.lock();
                if inner.try_queue(message)? {
                    return Ok(());
                }
                self.shared.progress.notified()
            };
            progress.await;
        }
    }
}

impl Inner {
    /// Queues a message if there is room.
    fn try_queue(&mut self, message: MessageRef<'_>) -> Result<bool, ClientEnd> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        if self.draining {
            return Err(ClientEnd::Closed);
        }
        if self.queue.is_full() {
            return Ok(false);
        }
        self.queue.push(message.to_message());
        self.wake_keeper();
        Ok(true)
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle").field("state", &self.state()).finish_non_exhaustive()
    }
}
