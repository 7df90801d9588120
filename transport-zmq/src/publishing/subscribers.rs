//! Who has subscribed to what.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use transport_core::{Batch, Message, MessageRef};

use super::topic_set::TopicSet;
use crate::engine::Pattern;
use crate::events::Rejection;
use crate::logic::subscriptions::{self, CANCEL, SUBSCRIBE, Subscriptions};
use crate::peer::Peer;

/// Who has subscribed to what.
pub(crate) struct Subscribers {
    state: Mutex<State>,
    pub(super) changed: Notify,
}

pub(super) struct State {
    topics: Subscriptions<usize>,
    /// By the keys in `topics`.
    peers: Vec<Option<Subscriber>>,
    places: HashMap<Peer, usize>,
    free: Vec<usize>,
    /// Counts messages, so that a peer gets one only once.
    round: u64,
    shown: Shown,
    /// Whether the application decides on subscriptions.
    manual: bool,
    /// Whether those get a message that have not subscribed to it.
    inverted: bool,
    /// What each peer gets first.
    welcome: Option<Message>,
}

pub(super) struct Subscriber {
    pub(super) peer: Peer,
    pub(super) topics: TopicSet,
    /// What it asks for where the application decides.
    requests: TopicSet,
    round: u64,
}

/// What subscriptions are matched with.
pub(super) fn topic_of(message: MessageRef<'_>) -> &[u8] {
    message.parts().next().unwrap_or_default()
}

/// Which subscriptions the application receives as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// None, and no other messages either.
    Nothing,
    /// The first and the last of a topic.
    FirstAndLast,
    /// Every one, and the last end of one.
    EveryOne,
    /// Every one, and every end of one.
    EveryOneAndEnd,
}

impl Subscribers {
    pub(crate) fn new(shown: Shown) -> Subscribers {
        let state = State {
            topics: Subscriptions::new(),
            peers: Vec::new(),
            places: HashMap::new(),
            free: Vec::new(),
            round: 0,
            shown,
            manual: false,
            inverted: false,
            welcome: None,
        };
        Subscribers { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn show(&self, shown: Shown) {
        self.lock().shown = shown;
    }

    pub(crate) fn set_manual(&self) {
        self.lock().manual = true;
    }

    pub(crate) fn set_inverted(&self, inverted: bool) {
        self.lock().inverted = inverted;
    }

    pub(crate) fn set_welcome(&self, welcome: Message) {
        self.lock().welcome = Some(welcome);
    }

    /// Subscribes a peer; false when it has gone, or has as many subscriptions as are kept.
    pub(crate) fn subscribe(&self, peer: &Peer, topic: &[u8]) -> bool {
        let subscribed = self.lock().subscribe(peer, topic).is_ok_and(|subscribed| subscribed.is_some());
        self.changed.notify_waiters();
        subscribed
    }

    /// Takes a peer's subscription back; false when there is none.
    pub(crate) fn unsubscribe(&self, peer: &Peer, topic: &[u8]) -> bool {
        self.lock().cancel(peer, topic).is_some()
    }

    /// Whether the subscription or the end of one that the application was told of is how things are now.
    ///
    /// Peers have their turns, so that one's subscription may be handed out before the earlier end of another's. Whoever
    /// passes on only what is true when it is handed out ends with what is true: each change is told of after it.
    pub(crate) fn is_true(&self, message: &Message) -> bool {
        let state = self.lock();
        match message[0].split_first() {
            Some((&kind @ (SUBSCRIBE | CANCEL), topic)) if !state.manual => {
                state.topics.contains(topic) == (kind == SUBSCRIBE)
            }
            _ => true,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is called with the lock held panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Visits everyone who gets a message of this topic, once.
    #[inline]
    pub(super) fn visit(&mut self, topic: &[u8], mut visit: impl FnMut(&Subscriber)) {
        let State { topics, peers, round, inverted, .. } = self;
        *round += 1;
        let is_new = |subscriber: &mut Subscriber| std::mem::replace(&mut subscriber.round, *round) != *round;
        topics.visit(topic, |place| {
            if let Some(subscriber) = &mut peers[place]
                && is_new(subscriber)
                && !*inverted
            {
                visit(subscriber);
            }
        });
        if *inverted {
            peers.iter_mut().flatten().filter_map(|peer| is_new(peer).then_some(&*peer)).for_each(visit);
        }
    }

    /// How many of the messages at the front go to the same peers, as long as there may be `more`; the first one counts in
    /// any case.
    pub(super) fn run(&self, messages: &[Message], mut more: impl FnMut(&Message) -> bool) -> usize {
        let Some((first, others)) = messages.split_first() else { return 0 };
        let place_of = |message: &Message| self.topics.place_of(topic_of(message.into()));
        let place = place_of(first);
        1 + others.iter().take_while(|message| place_of(message) == place && more(message)).count()
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &Subscriber> {
        self.peers.iter().flatten()
    }

    /// Follows what a peer has sent, if it is a subscription or the end of one; true when the application shall see it.
    fn follow(&mut self, peer: &Peer, message: &[u8]) -> Result<bool, Rejection> {
        match message.split_first() {
            Some((&kind @ (SUBSCRIBE | CANCEL), topic)) if self.manual => {
                if let Some((_, subscriber)) = self.subscriber(peer) {
                    match kind {
                        SUBSCRIBE => drop(subscriber.requests.insert(topic)?),
                        _ => drop(subscriber.requests.remove(topic)),
                    }
                }
                Ok(true)
            }
            Some((&SUBSCRIBE, topic)) => {
                let first = self.subscribe(peer, topic)?;
                Ok(first == Some(true) || matches!(self.shown, Shown::EveryOne | Shown::EveryOneAndEnd))
            }
            Some((&CANCEL, topic)) => Ok(match self.cancel(peer, topic) {
                Some(last) => last || self.shown == Shown::EveryOneAndEnd,
                // libzmq tells of these in any case: then whoever passes subscriptions on, or counts them, takes from others
                // what this peer never had.
                None => !self.topics.contains(topic),
            }),
            _ => Ok(true),
        }
    }

    /// True when nobody had subscribed to the topic, false when somebody had, and `None` when the peer has gone.
    fn subscribe(&mut self, peer: &Peer, topic: &[u8]) -> Result<Option<bool>, Rejection> {
        let Some((place, subscriber)) = self.subscriber(peer) else { return Ok(None) };
        let is_new = subscriber.topics.insert(topic)?;
        Ok(Some(is_new && self.topics.insert(topic, place)))
    }

    /// True when nobody is left who has subscribed to the topic, and `None` when the peer had not.
    fn cancel(&mut self, peer: &Peer, topic: &[u8]) -> Option<bool> {
        let (place, subscriber) = self.subscriber(peer)?;
        subscriber.topics.remove(topic).then(|| self.topics.remove(topic, place))
    }

    fn subscriber(&mut self, peer: &Peer) -> Option<(usize, &mut Subscriber)> {
        let &place = self.places.get(peer)?;
        Some((place, self.peers[place].as_mut()?))
    }
}

impl Pattern for Subscribers {
    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        let state = &mut *self.lock();
        let (topics, requests) = Default::default();
        let subscriber = Subscriber { peer: peer.clone(), topics, requests, round: 0 };
        let place = state.free.pop().unwrap_or(state.peers.len());
        if place == state.peers.len() {
            state.peers.push(Some(subscriber));
        } else {
            state.peers[place] = Some(subscriber);
        }
        state.places.insert(peer.clone(), place);
        if let Some(welcome) = &state.welcome {
            // Who cannot be sent it is about to go.
            let _gone = peer.sender().send_now(welcome);
        }
        Ok(())
    }

    /// A subscription is the first part of a message. (libzmq looks at all parts unless told otherwise, and takes what an
    /// application sends for subscriptions then.)
    fn arrived(&self, peer: &Peer, batch: &mut Batch) -> Result<(), Rejection> {
        let mut rejection = None;
        {
            let mut state = self.lock();
            batch.retain(|message| {
                let show = match state.follow(peer, topic_of(message)) {
                    Ok(show) => show,
                    Err(reason) => {
                        rejection = Some(reason);
                        false
                    }
                };
                show && state.shown != Shown::Nothing
            });
        }
        self.changed.notify_waiters();
        rejection.map_or(Ok(()), Err)
    }

    /// The application is told as if the peer had taken back what it has subscribed to, or has asked for where the application
    /// decides: a proxy passes that on.
    fn left(&self, peer: &Peer) -> Batch {
        let state = &mut *self.lock();
        let Some(place) = state.places.remove(peer) else { return Batch::new() };
        let Some(subscriber) = state.peers[place].take() else { return Batch::new() };
        state.free.push(place);
        let mut taken_back = Batch::new();
        for topic in subscriber.topics.iter() {
            let last = state.topics.remove(topic, place);
            let show = state.shown == Shown::EveryOneAndEnd || last && state.shown != Shown::Nothing;
            if show && !state.manual {
                taken_back.push(subscriptions::message(CANCEL, topic));
            }
        }
        for topic in subscriber.requests.iter() {
            taken_back.push(subscriptions::message(CANCEL, topic));
        }
        taken_back
    }
}
