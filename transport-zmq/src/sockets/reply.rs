//! REP: receives a request, and replies to whoever sent it (RFC 28/REQREP).

use std::sync::Arc;

use transport_core::framing::zmtp::SocketType;
use transport_core::{Message, MessageRef, SendError, Transports};

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Open, Owner};
use crate::logic::requests::{self, Envelope};
use crate::peer::Peer;

/// Receives requests from its peers in turns, and replies to each before the next; its peers are REQ and DEALER sockets.
///
/// # Examples
///
/// See [`ReqSocket`](crate::ReqSocket).
pub struct RepSocket {
    hub: Owner,
    incoming: Incoming,
    asking: Option<(Peer, Envelope)>,
}

/// Why a reply was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// There is no request to reply to.
    #[error("there is no request to reply to; receive one first")]
    NothingAsked,
    /// Whoever asked does not take its replies, and has asked more than its queue has room for. This reply is dropped.
    #[error("the peer that asked does not take its replies; this one was dropped")]
    NoRoom,
    /// Whoever asked has gone, or cannot be sent to.
    #[error("the peer that asked cannot be replied to")]
    Peer(#[source] SendError),
}

impl RepSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> RepSocket {
        let hub = Hub::new(transports, config, SocketType::Rep, Arc::new(Open));
        RepSocket { incoming: Incoming::in_turns(Arc::clone(&hub)), hub: Owner::new(hub), asking: None }
    }

    /// Receives the next request. What came without an envelope is dropped.
    ///
    /// A request that was not replied to is forgotten.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Message {
        loop {
            let message = self.incoming.recv().await;
            if let Some((envelope, request)) = requests::split(message) {
                self.asking = Some((self.incoming.sender_of_last(), envelope));
                return request;
            }
        }
    }

    /// The peer that sent the request which was received last and not replied to.
    pub fn asking(&self) -> Option<&Peer> {
        self.asking.as_ref().map(|(peer, _)| peer)
    }

    /// Replies to the request that was received last. It waits for no peer: one that asks and takes no replies must not
    /// keep them from the others.
    ///
    /// # Errors
    ///
    /// See [`ReplyError`]. Another request can be received in any case.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: it waits only to let other tasks run; the reply goes out as a whole or not at all, and can be sent
    /// again.
    pub async fn send(&mut self, reply: impl Into<MessageRef<'_>>) -> Result<(), ReplyError> {
        tokio::task::coop::consume_budget().await;
        let (peer, envelope) = self.asking.take().ok_or(ReplyError::NothingAsked)?;
        match peer.try_send(reply.into().behind(&envelope)) {
            Ok(true) => Ok(()),
            Ok(false) => {
                peer.count_dropped();
                Err(ReplyError::NoRoom)
            }
            Err(error) => Err(ReplyError::Peer(error)),
        }
    }
}

common!(RepSocket);
