//! What PUB and XPUB have in common: who has subscribed to what, and sending to them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::Notify;
use transport_core::{Batch, Broadcast, MessageRef, SendError, WriteBuffer};

use crate::engine::{Hub, Pattern};
use crate::events::Rejection;
use crate::logic::subscriptions::{self, CANCEL, SUBSCRIBE, Subscriptions};
use crate::peer::Peer;

/// Who has subscribed to what.
pub(crate) struct Subscribers {
    state: Mutex<State>,
    changed: Notify,
    /// Whether the application receives subscriptions and other messages.
    shown: bool,
    /// Whether it receives every subscription.
    all_shown: AtomicBool,
}

struct State {
    topics: Subscriptions<usize>,
    /// By the keys in `topics`.
    peers: Vec<Option<Subscriber>>,
    places: HashMap<Peer, usize>,
    free: Vec<usize>,
    /// Counts messages, so that a peer gets one only once.
    round: u64,
}

struct Subscriber {
    peer: Peer,
    topics: HashSet<Bytes>,
    bytes: usize,
    round: u64,
}

/// Subscriptions of one peer; libzmq has no limit.
const MOST_TOPICS: usize = 10_000;
const MOST_TOPIC_BYTES: usize = 1 << 20;

impl Subscribers {
    pub(crate) fn new(shown: bool) -> Subscribers {
        let topics = Subscriptions::new();
        let state = State { topics, peers: Vec::new(), places: HashMap::new(), free: Vec::new(), round: 0 };
        Subscribers {
            state: Mutex::new(state),
            changed: Notify::new(),
            shown,
            all_shown: AtomicBool::new(false),
        }
    }

    pub(crate) fn tell_all(&self) {
        self.all_shown.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is called with the lock held panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Follows a subscription of a peer; true when the application shall see it.
    fn follow(&mut self, peer: &Peer, message: &[u8], all_shown: bool) -> Result<bool, Rejection> {
        let Some(&place) = self.places.get(peer) else { return Ok(false) };
        let Some(subscriber) = &mut self.peers[place] else { return Ok(false) };
        let Some((&kind, topic)) = message.split_first() else { return Ok(false) };
        if kind == SUBSCRIBE {
            if subscriber.topics.contains(topic) {
                return Ok(all_shown);
            }
            if subscriber.topics.len() >= MOST_TOPICS || subscriber.bytes + topic.len() > MOST_TOPIC_BYTES {
                return Err(Rejection::TooManySubscriptions);
            }
            subscriber.bytes += topic.len();
            // A copy: it must not keep the buffer alive that it came in.
            subscriber.topics.insert(Bytes::copy_from_slice(topic));
            let first = self.topics.insert(topic, place);
            Ok(first || all_shown)
        } else if subscriber.topics.remove(topic) {
            subscriber.bytes -= topic.len();
            Ok(self.topics.remove(topic, place) || all_shown)
        } else {
            // As libzmq: a proxy behind this socket may know it.
            Ok(true)
        }
    }
}

impl Pattern for Subscribers {
    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        let state = &mut *self.lock();
        let subscriber = Subscriber { peer: peer.clone(), topics: HashSet::new(), bytes: 0, round: 0 };
        let place = state.free.pop().unwrap_or(state.peers.len());
        if place == state.peers.len() {
            state.peers.push(Some(subscriber));
        } else {
            state.peers[place] = Some(subscriber);
        }
        state.places.insert(peer.clone(), place);
        Ok(())
    }

    fn arrived(&self, peer: &Peer, batch: &mut Batch) -> Result<(), Rejection> {
        let all_shown = self.all_shown.load(Ordering::Relaxed);
        let mut rejection = None;
        {
            let mut state = self.lock();
            batch.retain(|message| {
                let mut shown = self.shown;
                for part in message.parts() {
                    if matches!(part.first(), Some(&(SUBSCRIBE | CANCEL))) {
                        match state.follow(peer, part, all_shown) {
                            Ok(show) => shown &= show,
                            Err(reason) => rejection = Some(reason),
                        }
                    }
                }
                shown
            });
        }
        self.changed.notify_waiters();
        rejection.map_or(Ok(()), Err)
    }

    /// The application is told as if the peer had taken its subscriptions back: a proxy passes that on.
    fn left(&self, peer: &Peer) -> Batch {
        let all_shown = self.all_shown.load(Ordering::Relaxed);
        let state = &mut *self.lock();
        let Some(place) = state.places.remove(peer) else { return Batch::new() };
        let Some(subscriber) = state.peers[place].take() else { return Batch::new() };
        state.free.push(place);
        let mut taken_back = Batch::new();
        for topic in &subscriber.topics {
            let last = state.topics.remove(topic, place);
            if self.shown && (last || all_shown) {
                taken_back.push(subscriptions::message(CANCEL, topic));
            }
        }
        taken_back
    }
}

/// The application's end.
pub(crate) struct Publisher {
    hub: Arc<Hub>,
    subscribers: Arc<Subscribers>,
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
        Publisher { hub, subscribers, scratch: WriteBuffer::new(), unwritten: 0 }
    }

    #[inline]
    pub(crate) async fn send(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.send_now(message)?;
        if self.is_turn_over() {
            tokio::task::yield_now().await;
        }
        Ok(())
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
        let State { topics, peers, round, .. } = &mut *self.subscribers.lock();
        *round += 1;
        topics.visit(topic, |place| {
            let Some(subscriber) = &mut peers[place] else { return };
            if subscriber.round == *round {
                return;
            }
            subscriber.round = *round;
            match subscriber.peer.sender().try_broadcast(&mut broadcast) {
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
        let state = self.subscribers.lock();
        state.peers.iter().flatten().filter(|subscriber| !subscriber.topics.is_empty()).count()
    }

    pub(crate) async fn subscribed(&self, topic: &[u8]) {
        loop {
            let changed = self.subscribers.changed.notified();
            let there = {
                let state = self.subscribers.lock();
                state.peers.iter().flatten().any(|subscriber| subscriber.topics.contains(topic))
            };
            if there {
                return;
            }
            changed.await;
        }
    }
}
