//! Sending to everyone who has subscribed.

use std::sync::Arc;
use std::task::{Context, Poll};

use transport_core::{Broadcast, BroadcastMany, Message, MessageRef, SendError, WriteBuffer};

use super::subscribers::{Subscriber, Subscribers, topic_of};
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

    /// As `send` for each message.
    pub(crate) async fn send_many(&mut self, mut messages: &[Message]) -> Result<(), SendError> {
        while !messages.is_empty() {
            let progress = self.hub.group.progress();
            let sent = self.try_send_turn(messages)?;
            messages = &messages[sent..];
            if self.is_turn_over() {
                tokio::task::yield_now().await;
            } else if sent == 0 {
                progress.await;
            }
        }
        Ok(())
    }

    /// Sends messages up to one that must wait, and tells how many.
    pub(crate) fn try_send_many(&mut self, messages: &[Message]) -> Result<usize, SendError> {
        let mut sent = 0;
        while sent < messages.len() {
            self.unwritten = 0;
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
        while sent < messages.len() && self.unwritten < TURN {
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
        let Publisher { hub, subscribers, scratch, unwritten, .. } = self;
        let mut subscribers = subscribers.lock();
        *unwritten += cost((&messages[0]).into());
        let run = subscribers.run(messages, |message| {
            let fits = *unwritten < TURN;
            *unwritten += if fits { cost(message.into()) } else { 0 };
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
        self.unwritten += cost(message);
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

/// What a message counts in a turn.
fn cost(message: MessageRef<'_>) -> usize {
    message.byte_count() + MESSAGE
}

fn drop_for(hub: &Hub, subscriber: &Subscriber, messages: usize) {
    for _ in 0..messages {
        subscriber.peer.count_dropped();
        hub.count_dropped();
    }
}
