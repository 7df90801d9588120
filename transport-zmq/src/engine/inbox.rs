//! What has arrived and waits for the application.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use transport_core::Message;

use super::gate::Taken;
use super::hub::Hub;
use super::spin::Spin;
use crate::logic::fair_queue::FairQueue;
use crate::peer::Peer;

/// Where the peers' tasks put what they have read.
#[derive(Default)]
pub(crate) struct Inbox {
    batches: Mutex<Vec<Batch>>,
    /// Whether `batches` may have something: looked at without the lock.
    arrived: AtomicBool,
    receiver: AtomicWaker,
}

struct Batch {
    peer: Peer,
    messages: Vec<Message>,
    taken: Taken,
}

impl Inbox {
    /// Adds what has been read of a peer.
    pub(super) fn push(&self, peer: &Peer, messages: Vec<Message>, conflate: bool) {
        let bytes = messages.iter().map(Message::byte_count).sum();
        let taken = peer.gate().take(messages.len(), bytes);
        {
            let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
            if conflate {
                batches.retain(|batch| batch.peer != *peer);
            }
            batches.push(Batch { peer: peer.clone(), messages, taken });
        }
        self.arrived.store(true, Ordering::Release);
        self.receiver.wake();
    }

    /// Wakes the application's task: something else has changed that it should look at.
    pub(super) fn wake(&self) {
        self.receiver.wake();
    }
}

/// The application's end: takes batches out and hands out messages in turns.
pub(crate) struct Incoming {
    hub: Arc<Hub>,
    queue: FairQueue<Peer, Message, Taken>,
    spin: Spin,
}

impl Incoming {
    pub(crate) fn new(hub: Arc<Hub>) -> Incoming {
        let spin = Spin::new(hub.config.spin);
        Incoming { hub, queue: FairQueue::new(), spin }
    }

    /// The next message.
    #[inline]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        if let Some(message) = self.try_recv() {
            self.spin.end();
            return Poll::Ready(message);
        }
        if self.spin.again(cx) {
            return Poll::Pending;
        }
        self.hub.inbox.receiver.register(cx.waker());
        // It may have come before the waker was there.
        self.try_recv().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next message, if one has arrived.
    #[inline]
    pub(crate) fn try_recv(&mut self) -> Option<Message> {
        if self.hub.inbox.arrived.load(Ordering::Acquire) {
            self.fetch();
        }
        self.queue.pop()
    }

    /// The next message. Cancel-safe.
    #[inline]
    pub(crate) async fn recv(&mut self) -> Message {
        // A task that always finds something must not keep its thread to itself.
        tokio::task::coop::consume_budget().await;
        match self.try_recv() {
            Some(message) => message,
            None => poll_fn(|cx| self.poll_recv(cx)).await,
        }
    }

    /// Up to `max` messages, appended to `messages`; waits for the first one. Cancel-safe.
    pub(crate) async fn recv_many(&mut self, messages: &mut Vec<Message>, max: usize) -> usize {
        if max == 0 {
            return 0;
        }
        let first = poll_fn(|cx| self.poll_recv(cx)).await;
        messages.push(first);
        1 + self.queue.pop_many(messages, max - 1)
    }

    /// The peer that the last message came from.
    ///
    /// # Panics
    ///
    /// When there was none yet.
    pub(crate) fn sender_of_last(&self) -> Peer {
        self.queue.last_owner().expect("a message was received").clone()
    }

    #[cold]
    fn fetch(&mut self) {
        let inbox = &self.hub.inbox;
        // In this order: what comes in between is looked for once more.
        inbox.arrived.store(false, Ordering::Release);
        let batches = std::mem::take(&mut *inbox.batches.lock().unwrap_or_else(PoisonError::into_inner));
        for Batch { peer, messages, taken } in batches {
            if self.hub.config.conflate {
                self.queue.replace(peer, messages, taken);
            } else {
                self.queue.push(peer, messages, taken);
            }
        }
    }
}
