//! A socket as the end of a proxy.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use transport_core::{Message, MessageRef};

use crate::engine::{Incoming, Outgoing, Owner, Room};
use crate::publishing::Publisher;
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

    /// The next message; never one where the pattern does not receive.
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        match &mut self.inlet {
            Inlet::None => Poll::Pending,
            Inlet::Plain(incoming) => incoming.poll_recv(cx),
            Inlet::Routed(incoming) => {
                let message = ready!(incoming.poll_recv(cx));
                Poll::Ready(behind_sender(message, &incoming.sender_of_last()))
            }
            Inlet::Subscribed(incoming, topics) => loop {
                let message = ready!(incoming.poll_recv(cx));
                if topics.matches(&message[0]) {
                    return Poll::Ready(message);
                }
            },
        }
    }

    /// Sends a message, when there is room.
    pub(super) fn poll_send(&mut self, message: &Message, cx: &mut Context<'_>) -> Poll<Outcome> {
        let ProxyEnd { hub, outlet, room, .. } = self;
        room.poll(&hub.group, cx, || outlet.try_send(message))
    }

    pub(super) async fn close(self) {
        self.hub.close().await;
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
