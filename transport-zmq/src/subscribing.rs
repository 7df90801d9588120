//! What SUB and XSUB have subscribed to, and telling the peers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use transport_core::{Batch, Message, MessageRef};

use crate::engine::Pattern;
use crate::events::Rejection;
use crate::logic::subscriptions::{CANCEL, SUBSCRIBE, message};
use crate::peer::Peer;

/// The topics that this socket has subscribed to.
///
/// Each is sent to a peer once, and cancelled when it has been taken back as often as it was subscribed to: a publisher
/// keeps a set, whatever RFC 37 says of counting.
pub(crate) struct Wanted {
    state: Mutex<State>,
}

struct State {
    /// How often each topic was subscribed to.
    counts: BTreeMap<Bytes, usize>,
    /// Who is told.
    peers: Vec<Peer>,
    /// How many messages may wait for one of them, besides all of the topics.
    most_waiting: usize,
}

impl Wanted {
    pub(crate) fn new(most_waiting: usize) -> Wanted {
        Wanted { state: Mutex::new(State { counts: BTreeMap::new(), peers: Vec::new(), most_waiting }) }
    }

    /// True when there was no such subscription.
    pub(crate) fn subscribe(&self, topic: &[u8]) -> bool {
        let state = &mut *self.lock();
        let count = state.counts.entry(Bytes::copy_from_slice(topic)).or_default();
        *count += 1;
        let first = *count == 1;
        if first {
            state.tell_all(&message(SUBSCRIBE, topic));
        }
        first
    }

    /// How many subscriptions to this topic are left; `None` when there was none.
    pub(crate) fn unsubscribe(&self, topic: &[u8]) -> Option<usize> {
        let state = &mut *self.lock();
        let count = state.counts.get_mut(topic)?;
        *count -= 1;
        let left = *count;
        if left == 0 {
            state.counts.remove(topic);
            state.tell_all(&message(CANCEL, topic));
        }
        Some(left)
    }

    /// Sends what an XSUB's application sends: each subscription counts once.
    pub(crate) fn pass_on(&self, sent: MessageRef<'_>) {
        let first = sent.parts().next().unwrap_or_default();
        let state = &mut *self.lock();
        match first.split_first() {
            Some((&SUBSCRIBE, topic)) => {
                state.counts.insert(Bytes::copy_from_slice(topic), 1);
            }
            Some((&CANCEL, topic)) => {
                state.counts.remove(topic);
            }
            _ => return state.offer_all(sent),
        }
        state.tell_all(&sent.to_message());
    }

    /// Whether each peer has room to be told something.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().peers.iter().all(|peer| peer.has_room())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is called with the lock held panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell_all(&self, message: &Message) {
        let most = self.most_waiting.saturating_add(self.counts.len());
        for peer in &self.peers {
            // Who cannot be told is about to go, and is told everything when it comes back.
            let _gone = peer.sender().send_now(message);
            if peer.sender().queued() > most {
                peer.turn_out(Rejection::TakesNoSubscriptions);
            }
        }
    }

    fn offer_all(&self, message: MessageRef<'_>) {
        for peer in &self.peers {
            if !peer.try_send(message).unwrap_or(false) {
                peer.count_dropped();
            }
        }
    }
}

impl Pattern for Wanted {
    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        // With the lock held, so that no subscription is told twice or not at all.
        let mut state = self.lock();
        for topic in state.counts.keys() {
            let _gone = peer.sender().send_now(&message(SUBSCRIBE, topic));
        }
        state.peers.push(peer.clone());
        Ok(())
    }

    fn left(&self, peer: &Peer) -> Batch {
        self.lock().peers.retain(|other| other != peer);
        Batch::new()
    }
}
