//! What a client's handles and its task share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::error::ClientEnd;
use super::events::{self, ClientEvent, ClientState};
use super::queue::Queue;
use crate::events::EventSender;
use crate::message::Message;

pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Notified when messages have left the queue, and at the end.
    pub(super) progress: Notify,
    pub(super) state: watch::Sender<ClientState>,
    /// What the handles want of the task.
    pub(super) order: watch::Sender<Order>,
}

pub(super) struct Inner {
    pub(super) queue: Queue,
    pub(super) inbox: Inbox,
    /// Until the end, when no more events come.
    pub(super) events: Option<EventSender<ClientEvent>>,
    /// No more messages are taken, and the task ends when the queue is empty.
    pub(super) draining: bool,
    /// Set once, when the task has ended.
    pub(super) end: Option<ClientEnd>,
    /// The task, to be woken when there is something for it to do.
    keeper: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Go,
    /// To send what waits, and then to end; in any case at this moment.
    Drain(Instant),
    /// To end at once.
    Stop,
}

/// Messages that were received and wait for the application.
#[derive(Default)]
pub(super) struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Who waits for one.
    pub(super) receiver: Option<Waker>,
}

/// From so many messages or bytes on, nothing more is read.
const INBOX_MESSAGES: usize = 256;
const INBOX_BYTES: usize = 1 << 20;

impl Shared {
    pub(super) fn new(queue: Queue, events: EventSender<ClientEvent>, state: ClientState) -> Shared {
        let inner = Inner {
            queue,
            inbox: Inbox::default(),
            events: Some(events),
            draining: false,
            end: None,
            keeper: None,
        };
        Shared {
            inner: Mutex::new(inner),
            progress: Notify::new(),
            state: watch::Sender::new(state),
            order: watch::Sender::new(Order::Go),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that happens under the lock panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, event: ClientEvent) {
        // Outside of the lock: a log may itself be sent through this client.
        events::log(&event);
        #[cfg(feature = "metrics")]
        crate::metrics::of_client(&event);
        if let Some(events) = &self.lock().events {
            events.tell(event);
        }
    }

    /// Notes that the task has ended, and tells everyone.
    pub(super) fn finish(&self, end: ClientEnd) {
        let mut inner = self.lock();
        let unsent = inner.queue.len();
        let (state, event) = match &end {
            ClientEnd::Closed => (ClientState::Closed, ClientEvent::Closed { unsent }),
            ClientEnd::GaveUp(error) => {
                (ClientState::GaveUp(error.clone()), ClientEvent::GaveUp { error: error.clone(), unsent })
            }
        };
        if let Some(events) = inner.events.take() {
            events.tell(event.clone());
        }
        inner.end = Some(end);
        inner.inbox.wake_receiver();
        drop(inner);
        self.state.send_replace(state);
        self.progress.notify_waiters();
        events::log(&event);
        #[cfg(feature = "metrics")]
        crate::metrics::of_client(&event);
    }

    /// Waits until the task must end whatever it is doing.
    pub(super) async fn is_over(&self) {
        let mut orders = self.order.subscribe();
        loop {
            let order = *orders.borrow_and_update();
            let changed = orders.changed();
            match order {
                // The sender lives in `self`, so there is always a change to wait for.
                Order::Go => drop(changed.await),
                Order::Drain(deadline) => {
                    if tokio::time::timeout_at(deadline, changed).await.is_err() {
                        return;
                    }
                }
                Order::Stop => return,
            }
        }
    }
}

impl Inner {
    /// Notes that the calling task is the one to wake.
    pub(super) fn register_keeper(&mut self, cx: &Context<'_>) {
        if !self.keeper.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.keeper = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake_keeper(&mut self) {
        if let Some(waker) = self.keeper.take() {
            waker.wake();
        }
    }
}

impl Inbox {
    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < INBOX_MESSAGES && self.bytes < INBOX_BYTES
    }

    /// Adds messages, and wakes who waits for one.
    pub(super) fn extend(&mut self, messages: &mut Vec<Message>) {
        self.bytes += messages.iter().map(Message::byte_count).sum::<usize>();
        self.messages.extend(messages.drain(..));
        self.wake_receiver();
    }

    /// The next message, and whether there is room again because it was taken.
    pub(super) fn pop(&mut self) -> Option<(Message, bool)> {
        let was_full = !self.has_room();
        let message = self.messages.pop_front()?;
        self.bytes -= message.byte_count();
        Some((message, was_full && self.has_room()))
    }

    pub(super) fn wake_receiver(&mut self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}
