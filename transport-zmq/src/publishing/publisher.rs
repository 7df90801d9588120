//! Sending to everyone who has subscribed.

use std::sync::Arc;
use std::task::{Context, Poll};

use transport_core::{Broadcast, BroadcastMany, Message, MessageRef, SendError, WriteBuffer};

use super::subscribers::{Subscriber, Subscribers, topic_of};
use crate::engine::{Hub, Turn};

/// The application's end.
pub(crate) struct Publisher {
    hub: Arc<Hub>,
    subscribers: Arc<Subscribers>,
    /// Whether a message waits for everyone who has subscribed to it.
    waits: bool,
    scratch: WriteBuffer,
    turn: Turn,
}

impl Publisher {
    pub(crate) fn new(hub: Arc<Hub>, subscribers: Arc<Subscribers>) -> Publisher {
        Publisher { hub, subscribers, waits: false, scratch: WriteBuffer::new(), turn: Turn::default() }
    }

    pub(crate) fn set_waits(&mut self, waits: bool) {
        self.waits = waits;
    }

    /// Cancel-safe.
    #[inline]
    pub(crate) async fn send(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.turn.next().await;
        while !self.try_send(message)? {
            let progress = self.hub.group.progress();
            // It may have come before this task listened.
            if self.try_send(message)? {
                break;
            }
            progress.await;
        }
        Ok(())
    }

    /// As `send` for each message.
    pub(crate) async fn send_many(&mut self, mut messages: &[Message]) -> Result<(), SendError> {
        while !messages.is_empty() {
            self.turn.next().await;
            let progress = self.hub.group.progress();
            let sent = self.try_send_turn(messages)?;
            messages = &messages[sent..];
            if sent == 0 {
                progress.await;
            }
        }
        Ok(())
    }

    /// Sends messages up to one that must wait, and tells how many.
    pub(crate) fn try_send_many(&mut self, messages: &[Message]) -> Result<usize, SendError> {
        let mut sent = 0;
        while sent < messages.len() {
            self.turn.begin();
            match self.try_send_turn(&messages[sent..])? {
                0 => break,
                more => sent += more,
            }
        }
        Ok(sent)
    }

    /// Sends messages up to one that must wait or the end of a turn, and tells how many.
    fn try_send_turn(&mut self, messages: &[Message]) -> Result<usize, SendError> {
        let mut sent = 0;
        while sent < messages.len() && !self.turn.is_over() {
            // Who waits or conflates looks at each message.
            if self.waits || self.hub.config.conflate {
                if !self.try_send((&messages[sent]).into())? {
                    break;
                }
                sent += 1;
            } else {
                sent += self.send_run(&messages[sent..]);
            }
        }
        Ok(sent)
    }

    /// Sends the messages at the front that go to the same subscribers, and tells how many.
    fn send_run(&mut self, messages: &[Message]) -> usize {
        let Publisher { hub, subscribers, scratch, turn, .. } = self;
        let mut subscribers = subscribers.lock();
        turn.count((&messages[0]).into());
        let run = subscribers.run(messages, |message| {
            let fits = !turn.is_over();
            if fits {
                turn.count(message.into());
            }
            fits
        });
        let mut broadcast = BroadcastMany::new(&messages[..run], scratch);
        subscribers.visit(topic_of((&messages[0]).into()), |subscriber| {
            match subscriber.peer.sender().try_broadcast_many(&mut broadcast) {
                Ok(sent) => drop_for(hub, subscriber, run - sent),
                // The peer's task finds out too and takes it out. (ZMTP has every message; only a seal can be used up.)
                Err(_) => subscriber.peer.cut(),
            }
        });
        run
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
        let topic = topic_of(message);
        self.subscribers.lock().visit(topic, |subscriber| all &= subscriber.peer.has_room());
        all
    }

    /// Ready when the connections have been let write.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.turn.poll_next(cx)
    }

    pub(crate) fn send_now(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.turn.count(message);
        let topic = topic_of(message);
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
                Ok(false) => drop_for(&self.hub, subscriber, 1),
                Err(SendError::Unencodable(error)) => unencodable = Some(error),
                // The peer's task finds out too and takes it out.
                Err(_) => subscriber.peer.cut(),
            }
        });
        unencodable.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Sends without regard to the marks, for what must not wait and must not be dropped.
    pub(crate) fn send_beyond_marks(&mut self, message: MessageRef<'_>) {
        self.subscribers.lock().visit(topic_of(message), |subscriber| {
            // The peer's task finds out too and takes it out.
            let _gone = subscriber.peer.sender().send_now(message);
        });
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

fn drop_for(hub: &Hub, subscriber: &Subscriber, messages: usize) {
    for _ in 0..messages {
        subscriber.peer.count_dropped();
        hub.count_dropped();
    }
}
