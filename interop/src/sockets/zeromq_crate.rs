//! The sockets of the crate `zeromq`.

use std::time::Duration;

use transport::Message;
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Socket as _,
    SocketOptions, SocketRecv as _, SocketSend as _, SubSocket, XPubSocket, XSubSocket, ZmqError, ZmqMessage,
};

use super::Settings;
use super::named::{AnySocket, Outcome};
use super::ours::said;

/// A socket of the crate `zeromq`, which has no PAIR, and of the settings only the routing id and subscriptions.
#[allow(missing_docs, reason = "the names of ZeroMQ")]
pub enum CrateSocket {
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
}

macro_rules! each {
    ($socket:expr, $inner:ident => $what:expr) => {
        match $socket {
            CrateSocket::Req($inner) => $what,
            CrateSocket::Rep($inner) => $what,
            CrateSocket::Dealer($inner) => $what,
            CrateSocket::Router($inner) => $what,
            CrateSocket::Pub($inner) => $what,
            CrateSocket::Sub($inner) => $what,
            CrateSocket::XPub($inner) => $what,
            CrateSocket::XSub($inner) => $what,
            CrateSocket::Push($inner) => $what,
            CrateSocket::Pull($inner) => $what,
        }
    };
}

impl AnySocket for CrateSocket {
    async fn open(r#type: &str, settings: &Settings) -> Result<CrateSocket, String> {
        let mut options = SocketOptions::default();
        if let Some(id) = &settings.routing_id {
            options.peer_identity(id.parse().map_err(said)?);
        }
        Ok(match r#type {
            "REQ" => CrateSocket::Req(ReqSocket::with_options(options)),
            "REP" => CrateSocket::Rep(RepSocket::with_options(options)),
            "DEALER" => CrateSocket::Dealer(DealerSocket::with_options(options)),
            "ROUTER" => CrateSocket::Router(RouterSocket::with_options(options)),
            "PUB" => CrateSocket::Pub(PubSocket::with_options(options)),
            "SUB" => {
                let mut sub = SubSocket::with_options(options);
                for topic in &settings.subscribe {
                    sub.subscribe(topic).await.map_err(said)?;
                }
                CrateSocket::Sub(sub)
            }
            "XPUB" => CrateSocket::XPub(XPubSocket::with_options(options)),
            "XSUB" => CrateSocket::XSub(XSubSocket::with_options(options)),
            "PUSH" => CrateSocket::Push(PushSocket::with_options(options)),
            "PULL" => CrateSocket::Pull(PullSocket::with_options(options)),
            other => return Err(format!("the crate has no socket type {other}")),
        })
    }

    async fn bind(&mut self, to: &str) -> Result<String, String> {
        let endpoint = each!(self, socket => socket.bind(to).await).map_err(said)?;
        Ok(endpoint.to_string())
    }

    async fn connect(&mut self, to: &str) -> Result<(), String> {
        each!(self, socket => socket.connect(to).await).map_err(said)
    }

    async fn close(self) {
        each!(self, socket => drop(socket.close().await));
    }

    /// The crate does not wait for a peer as other libraries do: here it is asked until there is one.
    async fn send(&mut self, message: Message) -> Result<(), String> {
        let mut message = foreign(message)?;
        loop {
            let sent = match self {
                CrateSocket::Req(socket) => socket.send(message).await,
                CrateSocket::Rep(socket) => socket.send(message).await,
                CrateSocket::Dealer(socket) => socket.send(message).await,
                CrateSocket::Router(socket) => socket.send(message).await,
                CrateSocket::Pub(socket) => socket.send(message).await,
                CrateSocket::XPub(socket) => socket.send(message).await,
                CrateSocket::XSub(socket) => socket.send(message).await,
                CrateSocket::Push(socket) => socket.send(message).await,
                CrateSocket::Sub(_) | CrateSocket::Pull(_) => return Err("it does not send".to_owned()),
            };
            match sent {
                Err(ZmqError::ReturnToSender { message: back, .. }) => message = back,
                sent => return sent.map_err(said),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn try_send(&mut self, message: &Message) -> Result<Outcome, String> {
        let CrateSocket::Router(socket) = self else { return Err("only a ROUTER is asked this".to_owned()) };
        match socket.send(foreign(message.clone())?).await {
            Ok(()) => Ok(Outcome::Sent),
            Err(ZmqError::Other(_)) => Ok(Outcome::NoPeer),
            Err(error) => Err(said(error)),
        }
    }

    async fn recv(&mut self) -> Result<Message, String> {
        let message = match self {
            CrateSocket::Req(socket) => socket.recv().await,
            CrateSocket::Rep(socket) => socket.recv().await,
            CrateSocket::Dealer(socket) => socket.recv().await,
            CrateSocket::Router(socket) => socket.recv().await,
            CrateSocket::Sub(socket) => socket.recv().await,
            CrateSocket::XPub(socket) => socket.recv().await,
            CrateSocket::XSub(socket) => socket.recv().await,
            CrateSocket::Pull(socket) => socket.recv().await,
            CrateSocket::Pub(_) | CrateSocket::Push(_) => return Err("it does not receive".to_owned()),
        };
        Ok(message.map_err(said)?.into_vec().into_iter().collect())
    }

    async fn subscribe(&mut self, topic: Vec<u8>) -> Result<(), String> {
        let CrateSocket::Sub(socket) = self else { return Err("only a SUB subscribes".to_owned()) };
        socket.subscribe(&text(topic)?).await.map_err(said)
    }

    async fn unsubscribe(&mut self, topic: Vec<u8>) -> Result<(), String> {
        let CrateSocket::Sub(socket) = self else { return Err("only a SUB subscribes".to_owned()) };
        socket.unsubscribe(&text(topic)?).await.map_err(said)
    }
}

fn foreign(message: Message) -> Result<ZmqMessage, String> {
    ZmqMessage::try_from(message.into_parts().collect::<Vec<_>>())
        .map_err(|_| "a message has parts".to_owned())
}

fn text(topic: Vec<u8>) -> Result<String, String> {
    String::from_utf8(topic).map_err(said)
}
