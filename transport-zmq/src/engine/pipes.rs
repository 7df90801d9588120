//! The queues to the peers, and how the application chooses one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transport_core::{Message, MessageRef, SendError};

use super::hub::Hub;
use super::stage::Stage;
use crate::config::HighWaterMark;
use crate::peer::Peer;

/// The pipes of a socket, changed by the tasks of its peers.
#[derive(Default)]
pub(crate) struct Pipes {
    list: Mutex<Vec<Pipe>>,
    /// Changes with the list: whoever has a copy looks at this.
    generation: AtomicU64,
}

/// The way to one peer, or to an endpoint that is not connected now.
#[derive(Clone)]
pub(crate) enum Pipe {
    /// To a peer.
    Open(Peer),
    /// To an endpoint: messages wait for the connection.
    Waiting(Arc<WaitQueue>),
}

impl Pipe {
    pub(crate) fn id(&self) -> u64 {
        self.stage().pipe()
    }

    pub(crate) fn stage(&self) -> Stage {
        match self {
            Pipe::Open(peer) => peer.stage(),
            Pipe::Waiting(queue) => queue.stage,
        }
    }
}

impl Pipes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Pipe>> {
        // Held for single changes of the list only.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next stage of a pipe, in which it is open.
    pub(super) fn opening(&self, pipe: u64, number: u64) -> Stage {
        let list = self.lock();
        let before = list.iter().find(|other| other.id() == pipe);
        before.map_or(Stage::first(pipe, number), |before| before.stage().next(number, true))
    }

    /// Puts a pipe in, in the place of the one with the same id if there is one, which is returned.
    pub(super) fn put(&self, pipe: Pipe) -> Option<Pipe> {
        let mut list = self.lock();
        let replaced = match list.iter_mut().find(|other| other.id() == pipe.id()) {
            Some(other) => Some(std::mem::replace(other, pipe)),
            None => {
                list.push(pipe);
                None
            }
        };
        self.generation.fetch_add(1, Ordering::Release);
        replaced
    }

    /// Puts a pipe in, unless there is one with the same id.
    pub(super) fn put_first(&self, pipe: Pipe) {
        let mut list = self.lock();
        if list.iter().all(|other| other.id() != pipe.id()) {
            list.push(pipe);
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes a peer's pipe out.
    pub(super) fn remove(&self, peer: &Peer) {
        self.retain(|pipe| !matches!(pipe, Pipe::Open(other) if other == peer));
    }

    pub(super) fn retain(&self, keep: impl FnMut(&Pipe) -> bool) {
        self.lock().retain(keep);
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        let list = self.lock();
        list.iter()
            .filter_map(|pipe| match pipe {
                Pipe::Open(peer) => Some(peer.clone()),
                Pipe::Waiting(_) => None,
            })
            .collect()
    }
}

/// Messages that wait for an endpoint to be connected.
pub(crate) struct WaitQueue {
    stage: Stage,
    state: Mutex<Waiting>,
    mark: HighWaterMark,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The connection is there: nothing more is put in here.
    moved: bool,
}

impl Waiting {
    fn is_full(&self, mark: HighWaterMark) -> bool {
        self.messages.len() >= mark.messages.max(1) || self.bytes >= mark.bytes.max(1)
    }
}

/// What became of a message that was offered to a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    Taken,
    Full,
    /// The pipe is no longer in use.
    Gone,
}

impl WaitQueue {
    pub(super) fn new(stage: Stage, mark: HighWaterMark) -> WaitQueue {
        WaitQueue { stage, state: Mutex::default(), mark }
    }

    /// Puts messages back that were not sent after all, in front.
    pub(super) fn put_back(&self, mut unsent: VecDeque<Message>) {
        let mut state = self.lock();
        state.bytes += unsent.iter().map(Message::byte_count).sum::<usize>();
        unsent.append(&mut state.messages);
        state.messages = unsent;
    }

    /// Takes everything out for good.
    pub(super) fn move_out(&self) -> VecDeque<Message> {
        let mut state = self.lock();
        state.moved = true;
        state.bytes = 0;
        std::mem::take(&mut state.messages)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    fn has_room(&self, conflate: bool) -> bool {
        let state = self.lock();
        !state.moved && (conflate || !state.is_full(self.mark))
    }

    fn offer(&self, message: MessageRef<'_>, conflate: bool) -> Offer {
        let mut state = self.lock();
        if state.moved {
            return Offer::Gone;
        }
        if conflate {
            state.messages.clear();
            state.bytes = 0;
        }
        if state.is_full(self.mark) {
            return Offer::Full;
        }
        state.bytes += message.byte_count();
        state.messages.push_back(message.to_message());
        Offer::Taken
    }

    /// Adds a message without regard to the mark; false when nothing is put in here any more.
    fn put(&self, message: MessageRef<'_>) -> bool {
        let mut state = self.lock();
        if state.moved {
            return false;
        }
        state.bytes += message.byte_count();
        state.messages.push_back(message.to_message());
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Held for single operations of the queue only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The application's end: a copy of the list, and whose turn it is.
pub(crate) struct Outgoing {
    hub: Arc<Hub>,
    pipes: Vec<Pipe>,
    generation: u64,
    next: usize,
}

impl Outgoing {
    pub(crate) fn new(hub: Arc<Hub>) -> Outgoing {
        Outgoing { hub, pipes: Vec::new(), generation: u64::MAX, next: 0 }
    }

    /// Sends to the next peer with room; waits until there is one. Answers where, for `sent_to`. Cancel-safe.
    #[inline]
    pub(crate) async fn send(&mut self, message: MessageRef<'_>) -> Result<usize, SendError> {
        loop {
            if let Some(sent) = self.try_send(message)? {
                return Ok(sent);
            }
            let progress = self.hub.group.progress();
            // It may have come before this task listened.
            if let Some(sent) = self.try_send(message)? {
                return Ok(sent);
            }
            progress.await;
        }
    }

    /// Sends to the next peer with room, if there is one. Answers where, for `sent_to`.
    #[inline]
    pub(crate) fn try_send(&mut self, message: MessageRef<'_>) -> Result<Option<usize>, SendError> {
        self.refresh();
        for _ in 0..self.pipes.len() {
            if self.next >= self.pipes.len() {
                self.next = 0;
            }
            let place = self.next;
            self.next += 1;
            match &self.pipes[place] {
                Pipe::Open(peer) => match self.offer(peer, message) {
                    Ok(true) => return Ok(Some(place)),
                    Ok(false) => {}
                    Err(SendError::Unencodable(error)) => return Err(error.into()),
                    // The peer's task finds out too and takes it out.
                    Err(_) => peer.cut(),
                },
                Pipe::Waiting(queue) => match queue.offer(message, self.hub.config.conflate) {
                    Offer::Taken => return Ok(Some(place)),
                    Offer::Full => {}
                    Offer::Gone => self.generation = u64::MAX,
                },
            }
        }
        Ok(None)
    }

    /// Sends to this peer; false when it has no room.
    #[inline]
    fn offer(&self, peer: &Peer, message: MessageRef<'_>) -> Result<bool, SendError> {
        if self.hub.config.conflate {
            return peer.sender().send_latest(message).map(|()| true);
        }
        peer.sender().try_send(message)
    }

    /// Whether there is a peer with room.
    pub(crate) fn has_room(&mut self) -> bool {
        self.refresh();
        self.pipes.iter().any(|pipe| match pipe {
            Pipe::Open(peer) => self.hub.config.conflate || peer.has_room(),
            Pipe::Waiting(queue) => queue.has_room(self.hub.config.conflate),
        })
    }

    /// Where the last message went, as `send` has just answered.
    pub(crate) fn sent_to(&self, place: usize) -> Stage {
        self.pipes[place].stage()
    }

    /// Sends as many messages as there is room for, in turns; tells how many.
    pub(crate) fn try_send_many(&mut self, messages: &[Message]) -> Result<usize, SendError> {
        self.refresh();
        // To a single peer all go under one lock.
        if let [Pipe::Open(peer)] = &self.pipes[..]
            && !self.hub.config.conflate
        {
            match peer.sender().try_send_each(messages.iter().map(MessageRef::from)) {
                Err(error @ SendError::Unencodable(_)) => return Err(error),
                Err(_) => peer.cut(),
                Ok(sent) => return Ok(sent),
            }
            return Ok(0);
        }
        for (i, message) in messages.iter().enumerate() {
            match self.try_send(message.into()) {
                Ok(Some(_)) => {}
                Err(error) if i == 0 => return Err(error),
                Ok(None) | Err(_) => return Ok(i),
            }
        }
        Ok(messages.len())
    }

    /// Sends to some peer without regard to the marks, for what must not wait; false when there is no peer and no endpoint to
    /// wait for one.
    pub(crate) fn send_now(&mut self, message: MessageRef<'_>) -> bool {
        self.refresh();
        self.pipes.iter().any(|pipe| match pipe {
            Pipe::Open(peer) => peer.sender().send_now(message).is_ok(),
            Pipe::Waiting(queue) => queue.put(message),
        })
    }

    /// Sends all messages, in turns; waits for room.
    pub(crate) async fn send_many(&mut self, mut messages: &[Message]) -> Result<(), SendError> {
        loop {
            let progress = self.hub.group.progress();
            let sent = self.try_send_many(messages)?;
            messages = &messages[sent..];
            if messages.is_empty() {
                return Ok(());
            }
            if sent == 0 {
                progress.await;
            }
        }
    }

    /// Whether the message that was sent last waits in its pipe, or for an answer of the connection that it went out on.
    pub(crate) fn has(&mut self, sent: Stage) -> bool {
        self.refresh();
        self.pipes.iter().any(|pipe| pipe.stage().has(sent))
    }

    /// Takes the list anew if it has changed.
    #[inline]
    fn refresh(&mut self) {
        let generation = self.hub.pipes.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.copy(generation);
        }
    }

    #[cold]
    fn copy(&mut self, generation: u64) {
        // If the list changes after `generation` was read, it is copied once more than needed.
        self.pipes.clone_from(&self.hub.pipes.lock());
        self.generation = generation;
    }
}

/// Sends to this peer; waits for room. Cancel-safe.
#[inline]
pub(crate) async fn send_to(hub: &Hub, peer: &Peer, message: MessageRef<'_>) -> Result<(), SendError> {
    loop {
        if peer.try_send(message)? {
            return Ok(());
        }
        let progress = hub.group.progress();
        if peer.try_send(message)? {
            return Ok(());
        }
        progress.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Messages are put in behind, put back in front and moved out for good: in the order of a plain list, up to the mark.
        #[test]
        fn what_waits_stays_in_order_within_the_mark_and_is_moved_out_once(
            (messages, bytes) in (0usize..5, 0usize..40),
            steps in proptest::collection::vec((0u8..8, 0usize..20, any::<bool>()), 0..30),
        ) {
            let queue = WaitQueue::new(Stage::first(1, 1), HighWaterMark::new(messages, bytes));
            let mut plain: VecDeque<Message> = VecDeque::new();
            let mut moved = false;
            for (number, (what, size, conflate)) in (0u8..).zip(steps) {
                let message = Message::from(vec![number; size]);
                match what {
                    0 => {
                        let out = queue.move_out();
                        prop_assert_eq!(out, std::mem::take(&mut plain));
                        moved = true;
                    }
                    1 if !moved => {
                        let unsent = VecDeque::from([message.clone(), Message::from("again")]);
                        queue.put_back(unsent);
                        plain.push_front(Message::from("again"));
                        plain.push_front(message);
                    }
                    _ => {
                        let conflate = conflate && what == 2;
                        let held: usize = plain.iter().map(Message::byte_count).sum();
                        let full = plain.len() >= messages.max(1) || held >= bytes.max(1);
                        let expected = match (moved, full && !conflate) {
                            (true, _) => Offer::Gone,
                            (false, true) => Offer::Full,
                            (false, false) => Offer::Taken,
                        };
                        prop_assert_eq!(queue.offer((&message).into(), conflate), expected);
                        if expected == Offer::Taken {
                            if conflate {
                                plain.clear();
                            }
                            plain.push_back(message);
                        }
                    }
                }
                prop_assert_eq!(queue.is_empty(), plain.is_empty());
            }
            prop_assert_eq!(queue.move_out(), plain);
        }
    }
}
