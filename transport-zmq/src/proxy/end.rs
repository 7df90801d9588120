//! A socket as the end of a proxy.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use transport_core::{Message, MessageRef};

use super::handle::Counters;
use crate::engine::{Incoming, Outgoing, Owner, Room};
use crate::publishing::{Publisher, Subscribers};
use crate::sockets::{Routes, Topics, behind_sender};
use crate::subscribing::Wanted;

/// A socket as the end of a [`proxy`](super::proxy()): made from a ROUTER, DEALER, PAIR, XSUB, XPUB, SUB, PUB, PULL or PUSH.
pub struct ProxyEnd {
    hub: Owner,
    inlet: Inlet,
    outlet: Outlet,
    room: Room,
}

/// How a socket receives.
pub(crate) enum Inlet {
    /// It does not.
    None,
    Plain(Incoming),
    /// Behind the routing id of the sender.
    Routed(Incoming),
    /// What was subscribed to.
    Subscribed(Incoming, Topics),
    /// Subscriptions and their ends, as far as they are true, and what else subscribers send.
    Subscriptions(Incoming, Arc<Subscribers>),
}

/// How a socket sends.
pub(crate) enum Outlet {
    /// It does not.
    None,
    /// To the next peer with room.
    InTurns(Outgoing),
    /// To the peer whose routing id is the first part.
    Routed(Arc<Routes>),
    /// To those who have subscribed.
    Published(Publisher),
    /// Subscriptions, to all publishers.
    Upstream(Arc<Wanted>),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent,
    Dropped,
}

impl ProxyEnd {
    pub(crate) fn new(hub: Owner, inlet: Inlet, outlet: Outlet) -> ProxyEnd {
        ProxyEnd { hub, inlet, outlet, room: Room::default() }
    }

    /// Whether `other` can send what this end receives.
    pub(super) fn feeds(&self, other: &ProxyEnd) -> bool {
        !matches!(self.inlet, Inlet::None) && other.can_send()
    }

    pub(super) fn can_send(&self) -> bool {
        !matches!(self.outlet, Outlet::None)
    }

    /// Ready when a message can be sent; never where the pattern does not send.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ProxyEnd { hub, outlet, room, .. } = self;
        room.poll(&hub.group, cx, || outlet.has_room().then_some(()))
    }

    /// Up to `max` messages that have arrived, at least one and few after so many bytes; never any where the pattern does not
    /// receive.
    pub(super) fn poll_recv_many(
        &mut self,
        messages: &mut VecDeque<Message>,
        (max, max_bytes): (usize, usize),
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let first = ready!(self.inlet.poll_recv(cx));
        let mut bytes = first.byte_count();
        messages.push_back(first);
        while messages.len() < max
            && bytes < max_bytes
            && let Some(message) = self.inlet.try_recv()
        {
            bytes += message.byte_count();
            messages.push_back(message);
        }
        Poll::Ready(())
    }

    /// Sends messages from the front, as many as there is room for and at least one; tells how many, and `counters` what became
    /// of each.
    pub(super) fn poll_send_many(
        &mut self,
        messages: &[Message],
        counters: &Counters,
        cx: &mut Context<'_>,
    ) -> Poll<usize> {
        let ProxyEnd { hub, outlet, room, .. } = self;
        room.poll(&hub.group, cx, || outlet.try_send_many(messages, counters))
    }

    /// As `poll_send_many` for one message.
    pub(super) fn poll_send(&mut self, message: &Message, cx: &mut Context<'_>) -> Poll<Outcome> {
        let ProxyEnd { hub, outlet, room, .. } = self;
        room.poll(&hub.group, cx, || outlet.try_send(message))
    }

    /// Sends without regard to high-water marks.
    pub(super) fn send_now(&mut self, message: &Message) -> Outcome {
        self.outlet.send_now(message)
    }

    /// Closes the socket. Cancel-safe: it goes on closing.
    pub(super) async fn close(&self) {
        self.hub.close().await;
    }
}

impl Inlet {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        loop {
            let message = match self {
                Inlet::None => return Poll::Pending,
                Inlet::Plain(incoming)
                | Inlet::Routed(incoming)
                | Inlet::Subscribed(incoming, _)
                | Inlet::Subscriptions(incoming, _) => ready!(incoming.poll_recv(cx)),
            };
            if let Some(message) = self.as_passed_on(message) {
                return Poll::Ready(message);
            }
        }
    }

    fn try_recv(&mut self) -> Option<Message> {
        loop {
            let message = match self {
                Inlet::None => return None,
                Inlet::Plain(incoming)
                | Inlet::Routed(incoming)
                | Inlet::Subscribed(incoming, _)
                | Inlet::Subscriptions(incoming, _) => incoming.try_recv()?,
            };
            if let Some(message) = self.as_passed_on(message) {
                return Some(message);
            }
        }
    }

    /// A message that has just been received, as the other end sends it; `None` when it is not for the other end.
    fn as_passed_on(&self, message: Message) -> Option<Message> {
        match self {
            Inlet::None | Inlet::Plain(_) => Some(message),
            Inlet::Routed(incoming) => Some(behind_sender(message, &incoming.sender_of_last())),
            Inlet::Subscribed(_, topics) => topics.matches(&message[0]).then_some(message),
            Inlet::Subscriptions(_, subscribers) => subscribers.is_true(&message).then_some(message),
        }
    }
}

impl Outlet {
    fn has_room(&mut self) -> bool {
        match self {
            Outlet::None => false,
            Outlet::Routed(_) | Outlet::Published(_) => true,
            Outlet::InTurns(outgoing) => outgoing.has_room(),
            Outlet::Upstream(wanted) => wanted.has_room(),
        }
    }

    /// `None` when there is no room. What cannot be sent to anyone, whatever peer it comes from, is dropped.
    fn try_send(&mut self, message: &Message) -> Option<Outcome> {
        let sent = match self {
            Outlet::None => Ok(false),
            Outlet::InTurns(outgoing) => outgoing.try_send(message.into()).map(|sent| sent.is_some()),
            Outlet::Routed(routes) => return Some(send_routed(routes, message)),
            Outlet::Published(publisher) => publisher.try_send(message.into()),
            Outlet::Upstream(wanted) => {
                wanted.pass_on(message.into());
                Ok(true)
            }
        };
        match sent {
            Ok(sent) => sent.then_some(Outcome::Sent),
            Err(_) => Some(Outcome::Dropped),
        }
    }

    /// How many messages were sent or dropped from the front; `None` when there is no room for the first one.
    fn try_send_many(&mut self, messages: &[Message], counters: &Counters) -> Option<usize> {
        let sent = match self {
            Outlet::InTurns(outgoing) => outgoing.try_send_many(messages),
            Outlet::Published(publisher) => publisher.try_send_many(messages),
            Outlet::None | Outlet::Routed(_) | Outlet::Upstream(_) => {
                let mut outcomes =
                    messages.iter().map_while(|message| Some((message, self.try_send(message)?)));
                let passed =
                    outcomes.by_ref().map(|(message, outcome)| counters.passed(message, outcome)).count();
                return (passed > 0).then_some(passed);
            }
        };
        match sent {
            Ok(0) => None,
            Ok(sent) => {
                messages[..sent].iter().for_each(|message| counters.passed(message, Outcome::Sent));
                Some(sent)
            }
            Err(_) => {
                counters.passed(&messages[0], Outcome::Dropped);
                Some(1)
            }
        }
    }

    fn send_now(&mut self, message: &Message) -> Outcome {
        let sent = match self {
            Outlet::InTurns(outgoing) => outgoing.send_now(message.into()),
            Outlet::Published(publisher) => {
                publisher.send_beyond_marks(message.into());
                true
            }
            // These never wait for room.
            Outlet::None | Outlet::Routed(_) | Outlet::Upstream(_) => {
                return self.try_send(message).unwrap_or(Outcome::Dropped);
            }
        };
        if sent { Outcome::Sent } else { Outcome::Dropped }
    }
}

/// Nobody waits for a single peer here.
fn send_routed(routes: &Routes, message: &Message) -> Outcome {
    let (routing_id, rest) = MessageRef::from(message).split_first();
    let (Some(peer), Some(rest)) = (routes.peer(routing_id), rest) else { return Outcome::Dropped };
    if peer.try_send(rest).unwrap_or(false) {
        return Outcome::Sent;
    }
    peer.count_dropped();
    Outcome::Dropped
}

impl fmt::Debug for ProxyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyEnd").field("peers", &self.hub.peers().len()).finish_non_exhaustive()
    }
}
