//! This library's sockets.

use std::time::Duration;

use transport::Message;
use transport_zmq::{
    DealerSocket, Handover, PairSocket, Peer, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket,
    RouteError, RouterSocket, SocketEvents, SubSocket, XPubSocket, XSubSocket,
};

use super::named::{AnySocket, Outcome};
use super::{Settings, to_bytes};

/// A socket of this library, used as ZeroMQ's are: a ROUTER's messages begin with a routing id, and an XSUB's
/// subscriptions are messages.
#[derive(Debug)]
#[allow(missing_docs, reason = "the names of ZeroMQ")]
pub enum OurSocket {
    Req(ReqSocket),
    Rep(RepSocket),
    Dealer(DealerSocket),
    Router(RouterSocket),
    Pub(PubSocket),
    Sub(SubSocket),
    XPub(XPubSocket),
    XSub(XSubSocket),
    Push(PushSocket),
    Pull(PullSocket),
    Pair(PairSocket),
}

/// Does the same with a socket of any type.
macro_rules! each {
    ($socket:expr, $inner:ident => $what:expr) => {
        match $socket {
            OurSocket::Req($inner) => $what,
            OurSocket::Rep($inner) => $what,
            OurSocket::Dealer($inner) => $what,
            OurSocket::Router($inner) => $what,
            OurSocket::Pub($inner) => $what,
            OurSocket::Sub($inner) => $what,
            OurSocket::XPub($inner) => $what,
            OurSocket::XSub($inner) => $what,
            OurSocket::Push($inner) => $what,
            OurSocket::Pull($inner) => $what,
            OurSocket::Pair($inner) => $what,
        }
    };
}

/// A publisher of either type with its settings.
macro_rules! publisher {
    ($socket:expr, $settings:expr) => {{
        let socket = $socket.with_drop(!$settings.no_drop).with_inverted($settings.inverted);
        match &$settings.welcome {
            Some(welcome) => socket.with_welcome(to_bytes(welcome)),
            None => socket,
        }
    }};
}

impl OurSocket {
    /// The events of the socket: of the first call, from the start.
    pub fn events(&self) -> SocketEvents {
        each!(self, socket => socket.events())
    }

    /// The peers that are connected now.
    pub fn peers(&self) -> Vec<Peer> {
        each!(self, socket => socket.peers())
    }

    /// How many messages were dropped.
    pub fn dropped(&self) -> u64 {
        match self {
            OurSocket::Pub(socket) => socket.dropped(),
            OurSocket::XPub(socket) => socket.dropped(),
            OurSocket::Router(socket) => socket.dropped(),
            _ => 0,
        }
    }
}

impl AnySocket for OurSocket {
    async fn open(r#type: &str, settings: &Settings) -> Result<OurSocket, String> {
        let (transports, config) = (transport::transports(), settings.config()?);
        Ok(match r#type {
            "REQ" => {
                let req = ReqSocket::new(&transports, config);
                let req = if settings.correlate { req.correlated() } else { req };
                OurSocket::Req(if settings.relaxed { req.relaxed() } else { req })
            }
            "REP" => OurSocket::Rep(RepSocket::new(&transports, config)),
            "DEALER" => OurSocket::Dealer(DealerSocket::new(&transports, config)),
            "ROUTER" => {
                let router = RouterSocket::new(&transports, config).with_drop(!settings.mandatory);
                let handover = if settings.handover { Handover::DangerToAnyone } else { Handover::default() };
                OurSocket::Router(router.with_handover(handover))
            }
            "PUB" => OurSocket::Pub(publisher!(PubSocket::new(&transports, config), settings)),
            "SUB" => {
                let mut sub = SubSocket::new(&transports, config).with_inverted(settings.inverted);
                settings.subscribe.iter().for_each(|topic| sub.subscribe(to_bytes(topic)));
                OurSocket::Sub(sub)
            }
            "XPUB" => {
                let xpub = publisher!(XPubSocket::new(&transports, config), settings);
                let xpub = if settings.verbose { xpub.verbose() } else { xpub };
                OurSocket::XPub(if settings.verboser { xpub.verboser() } else { xpub })
            }
            "XSUB" => OurSocket::XSub(XSubSocket::new(&transports, config)),
            "PUSH" => OurSocket::Push(PushSocket::new(&transports, config)),
            "PULL" => OurSocket::Pull(PullSocket::new(&transports, config)),
            "PAIR" => OurSocket::Pair(PairSocket::new(&transports, config)),
            other => return Err(format!("there is no socket type {other}")),
        })
    }

    /// Binds, and tells where.
    async fn bind(&mut self, to: &str) -> Result<String, String> {
        let address = each!(self, socket => socket.bind(to).await).map_err(said)?;
        Ok(crate::to_zmq(&address.to_string()))
    }

    async fn connect(&mut self, to: &str) -> Result<(), String> {
        each!(self, socket => socket.connect(to)).map(drop).map_err(said)
    }

    async fn close(self) {
        each!(self, socket => socket.close().await);
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        match self {
            OurSocket::Req(socket) => socket.send(&message).await.map_err(said),
            OurSocket::Rep(socket) => socket.send(&message).await.map_err(said),
            OurSocket::Dealer(socket) => socket.send(&message).await.map_err(said),
            OurSocket::Router(socket) => socket.send_routed(message).await.map_err(said),
            OurSocket::Pub(socket) => socket.send(&message).await.map_err(said),
            OurSocket::XPub(socket) => socket.send(&message).await.map_err(said),
            OurSocket::Push(socket) => socket.send(&message).await.map_err(said),
            OurSocket::Pair(socket) => socket.send(&message).await.map_err(said),
            OurSocket::XSub(socket) => {
                socket.send(&message);
                Ok(())
            }
            OurSocket::Sub(_) | OurSocket::Pull(_) => Err("it does not send".to_owned()),
        }
    }

    /// Sends if that can be done at once.
    async fn try_send(&mut self, message: &Message) -> Result<Outcome, String> {
        let sent = match self {
            OurSocket::Dealer(socket) => socket.try_send(message).map_err(said)?,
            OurSocket::Push(socket) => socket.try_send(message).map_err(said)?,
            OurSocket::Pair(socket) => socket.try_send(message).map_err(said)?,
            OurSocket::Pub(socket) => socket.try_send(message).map_err(said)?,
            OurSocket::XPub(socket) => socket.try_send(message).map_err(said)?,
            OurSocket::Router(socket) => {
                // Sending is cancel-safe: it is asked once.
                let sending = socket.send_routed(message.clone());
                match tokio::time::timeout(Duration::ZERO, sending).await {
                    Err(_) => false,
                    Ok(Err(RouteError::NoSuchPeer { .. } | RouteError::Peer(_))) => {
                        return Ok(Outcome::NoPeer);
                    }
                    Ok(sent) => sent.map(|()| true).map_err(said)?,
                }
            }
            other => other.send(message.clone()).await.map(|()| true)?,
        };
        Ok(if sent { Outcome::Sent } else { Outcome::Full })
    }

    /// Cancel-safe.
    async fn recv(&mut self) -> Result<Message, String> {
        Ok(match self {
            OurSocket::Req(socket) => socket.recv().await.map_err(said)?,
            OurSocket::Rep(socket) => socket.recv().await,
            OurSocket::Dealer(socket) => socket.recv().await,
            OurSocket::Router(socket) => socket.recv_routed().await,
            OurSocket::Sub(socket) => socket.recv().await,
            OurSocket::XPub(socket) => socket.recv().await,
            OurSocket::XSub(socket) => socket.recv().await,
            OurSocket::Pull(socket) => socket.recv().await,
            OurSocket::Pair(socket) => socket.recv().await,
            OurSocket::Pub(_) | OurSocket::Push(_) => return Err("it does not receive".to_owned()),
        })
    }

    async fn subscribe(&mut self, topic: Vec<u8>) -> Result<(), String> {
        let OurSocket::Sub(socket) = self else { return Err("only a SUB subscribes".to_owned()) };
        socket.subscribe(topic);
        Ok(())
    }

    async fn unsubscribe(&mut self, topic: Vec<u8>) -> Result<(), String> {
        let OurSocket::Sub(socket) = self else { return Err("only a SUB subscribes".to_owned()) };
        let there = socket.unsubscribe(topic);
        there.then_some(()).ok_or_else(|| "it had not subscribed to that".to_owned())
    }
}

pub(super) fn said(error: impl std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}
