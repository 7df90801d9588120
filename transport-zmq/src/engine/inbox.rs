//! What has arrived and waits for the application.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use atomic_waker::AtomicWaker;
use tokio::task::coop;
use transport_core::{Batch, Message, MessageRef};

use super::gate::{Budget, Gate, Taken};
use super::hub::Hub;
use super::spin::Spin;
use crate::config::HighWaterMark;
use crate::logic::fair_queue::FairQueue;
use crate::peer::Peer;

/// Where the peers' tasks put what they have read.
pub(crate) struct Inbox {
    batches: Mutex<Vec<Arrived>>,
    /// Whether `batches` may have something: looked at without the lock.
    arrived: AtomicBool,
    receiver: AtomicWaker,
    budget: Arc<Budget>,
}

struct Arrived {
    peer: Peer,
    batch: Batch,
    taken: Taken,
}

impl Inbox {
    /// An empty one in which so many bytes may wait.
    pub(super) fn new(most: usize) -> Inbox {
        Inbox {
            batches: Mutex::default(),
            arrived: AtomicBool::new(false),
            receiver: AtomicWaker::new(),
            budget: Budget::new(most),
        }
    }

    /// A gate for a peer.
    pub(super) fn gate(&self, mark: HighWaterMark) -> Gate {
        Gate::new(mark, Arc::clone(&self.budget))
    }

    /// Adds what has been read of a peer.
    pub(super) fn push(&self, peer: &Peer, batch: Batch, conflate: bool) {
        let taken = peer.gate().take(batch.len(), batch.byte_count());
        {
            let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
            if conflate {
                batches.retain(|arrived| arrived.peer != *peer);
            }
            batches.push(Arrived { peer: peer.clone(), batch, taken });
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
    queue: FairQueue<Peer, Batch, Taken>,
    spin: Spin,
}

impl Incoming {
    pub(crate) fn new(hub: Arc<Hub>) -> Incoming {
        let spin = Spin::new(hub.config.spin);
        Incoming { hub, queue: FairQueue::new(), spin }
    }

    /// That of a socket that sends and receives in turns: its waits are for an answer, or for the next question.
    pub(crate) fn in_turns(hub: Arc<Hub>) -> Incoming {
        let asked_for = !hub.config.spin.is_zero();
        let spin =
            if asked_for { Spin::new(hub.config.spin) } else { Spin::adaptive(hub.config.adaptive_spin) };
        Incoming { hub, queue: FairQueue::new(), spin }
    }

    /// The next message. A task that always finds something must not keep its thread to itself: it has to wait now and then.
    #[inline]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        let budget = ready!(coop::poll_proceed(cx));
        let message = ready!(self.poll_arrived(cx));
        budget.made_progress();
        Poll::Ready(message)
    }

    /// As `poll_recv`, and pending only when nothing has arrived: the caller sees to it that other tasks run.
    #[inline]
    pub(crate) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        self.poll_take(cx, Incoming::try_recv)
    }

    /// The next message, if one has arrived.
    #[inline]
    pub(crate) fn try_recv(&mut self) -> Option<Message> {
        self.fetch_arrived();
        self.queue.pop()
    }

    /// The next message. Cancel-safe.
    #[inline]
    pub(crate) async fn recv(&mut self) -> Message {
        coop::consume_budget().await;
        match self.try_recv() {
            Some(message) => message,
            None => poll_fn(|cx| self.poll_arrived(cx)).await,
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

    /// Lends the messages of one peer that have arrived together; waits for the first one, and tells how many they were.
    /// Cancel-safe.
    pub(crate) async fn recv_each(&mut self, mut visit: impl FnMut(MessageRef<'_>, &Peer)) -> usize {
        coop::consume_budget().await;
        let take = |incoming: &mut Incoming| {
            incoming.fetch_arrived();
            incoming.queue.pop_batch()
        };
        // The guard goes after the messages: their room is free when they are.
        let (batch, _taken) = poll_fn(|cx| self.poll_take(cx, take)).await;
        let peer = self.queue.last_owner().expect("a batch was handed out");
        batch.lend_each(|message| visit(message, peer));
        batch.len()
    }

    /// Drops what has arrived.
    pub(crate) fn discard(&mut self) {
        self.fetch_arrived();
        while self.queue.pop_batch().is_some() {}
    }

    /// The peer that the last message came from.
    ///
    /// # Panics
    ///
    /// When there was none yet.
    pub(crate) fn sender_of_last(&self) -> Peer {
        self.queue.last_owner().expect("a message was received").clone()
    }

    #[inline]
    fn poll_take<T>(&mut self, cx: &mut Context<'_>, take: impl Fn(&mut Incoming) -> Option<T>) -> Poll<T> {
        if let Some(taken) = take(self) {
            self.spin.end();
            return Poll::Ready(taken);
        }
        if self.spin.again(cx) {
            return Poll::Pending;
        }
        self.hub.inbox.receiver.register(cx.waker());
        // It may have come before the waker was there.
        take(self).map_or(Poll::Pending, Poll::Ready)
    }

    #[inline]
    fn fetch_arrived(&mut self) {
        if self.hub.inbox.arrived.load(Ordering::Acquire) {
            self.fetch();
        }
    }

    #[cold]
    fn fetch(&mut self) {
        let inbox = &self.hub.inbox;
        // In this order: what comes in between is looked for once more.
        inbox.arrived.store(false, Ordering::Release);
        let batches = std::mem::take(&mut *inbox.batches.lock().unwrap_or_else(PoisonError::into_inner));
        for Arrived { peer, batch, taken } in batches {
            if self.hub.config.conflate {
                self.queue.replace(peer, batch, taken);
            } else {
                self.queue.push(peer, batch, taken);
            }
        }
    }
}
