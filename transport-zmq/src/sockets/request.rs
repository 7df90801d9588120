//! REQ: asks one peer after the other, and waits for each reply (RFC 28/REQREP).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::task::coop;
use transport_core::Message;
use transport_core::framing::zmtp::SocketType;
use transport_core::{MessageRef, SendError, Transports};

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Open, Outgoing, Owner, Stage};
use crate::events::Rejection;
use crate::logic::requests::{self, Envelope, Reply};

/// Sends a request to the next of its peers, and receives the reply to it; its peers are REP and ROUTER sockets.
///
/// It goes in lock-step: a request, its reply, the next request. A reply from anyone else than who was asked is dropped.
///
/// # Examples
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{RepSocket, ReqSocket, SocketConfig};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let (mut req, mut rep) = (ReqSocket::new(&transports, config.clone()), RepSocket::new(&transports, config));
/// rep.bind("inproc://service").await?;
/// req.connect("inproc://service")?;
///
/// let service = async {
///     let question = rep.recv().await;
///     rep.send(&question).await
/// };
/// let (answer, served) = tokio::join!(req.request("are you there?"), service);
/// served?;
/// assert_eq!(answer?.to_text(), Some("are you there?"));
/// # Ok(())
/// # }
/// ```
pub struct ReqSocket {
    hub: Owner,
    incoming: Incoming,
    outgoing: Outgoing,
    relaxed: bool,
    correlated: bool,
    asked: Option<Asked>,
    next_id: u32,
    plain: Envelope,
}

/// A request under way.
struct Asked {
    sent: Stage,
    id: Option<u32>,
}

/// Why there is no reply, or no request was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request before has no reply yet.
    #[error("the last request has no reply yet; receive it, or make the socket relaxed")]
    StillAsking,
    /// Nothing was asked.
    #[error("there is no request to wait for; send one first")]
    NothingAsked,
    /// The peer that was asked has gone. It may have worked on the request or not. (A request of which no byte went out with
    /// its connection goes out on the next one, and is not lost.)
    #[error("the peer that was asked has gone; it may have worked on the request")]
    PeerLost,
    /// The request cannot be sent to anyone.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl ReqSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> ReqSocket {
        let hub = Hub::new(transports, config, SocketType::Req, Arc::new(Open));
        let (incoming, outgoing) = (Incoming::in_turns(Arc::clone(&hub)), Outgoing::new(Arc::clone(&hub)));
        ReqSocket {
            hub: Owner::new(hub),
            incoming,
            outgoing,
            relaxed: false,
            correlated: false,
            asked: None,
            next_id: 0,
            plain: requests::envelope(None),
        }
    }

    /// Lets a new request be sent although the last one has no reply, which is dropped then; turns
    /// [`correlated`](ReqSocket::correlated) on, or its late reply would be taken for that to the new one.
    #[must_use]
    pub fn relaxed(mut self) -> ReqSocket {
        self.relaxed = true;
        self.correlated()
    }

    /// Puts a number in front of each request, which the peer sends back with its reply.
    #[must_use]
    pub fn correlated(mut self) -> ReqSocket {
        self.correlated = true;
        self
    }

    /// Sends a request to the next peer with room; waits until there is one.
    ///
    /// # Errors
    ///
    /// [`RequestError::StillAsking`] out of turn, and when the request cannot be sent to anyone.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the request is sent as a whole or not at all.
    pub async fn send(&mut self, request: impl Into<MessageRef<'_>>) -> Result<(), RequestError> {
        if self.asked.is_some() && !self.relaxed {
            return Err(RequestError::StillAsking);
        }
        let request = request.into();
        let (id, numbered) = if self.correlated {
            let id = self.next_id;
            (Some(id), requests::envelope(Some(id)))
        } else {
            (None, Envelope::new())
        };
        // What came before the request is no reply to it. While it replaces another one their numbers tell, and if it is not
        // sent the other one's reply must be there.
        if self.asked.is_none() {
            self.incoming.discard();
        }
        let envelope = if self.correlated { &numbered } else { &self.plain };
        let place = self.outgoing.send(request.behind(envelope)).await?;
        let sent = self.outgoing.sent_to(place);
        self.next_id = self.next_id.wrapping_add(u32::from(self.correlated));
        self.asked = Some(Asked { sent, id });
        Ok(())
    }

    /// Receives the reply to the request that was sent last.
    ///
    /// # Errors
    ///
    /// [`RequestError::NothingAsked`] out of turn; [`RequestError::PeerLost`] when the peer has gone, after which a new
    /// request can be sent.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Result<Message, RequestError> {
        if self.asked.is_none() {
            return Err(RequestError::NothingAsked);
        }
        poll_fn(|cx| {
            loop {
                // However many late replies there are, other tasks run meanwhile.
                let budget = ready!(coop::poll_proceed(cx));
                // The peer's last words come before its end.
                let lost = self.is_lost();
                match self.incoming.poll_arrived(cx) {
                    Poll::Ready(message) => {
                        budget.made_progress();
                        if let Some(answer) = self.reply(message) {
                            return Poll::Ready(Ok(answer));
                        }
                    }
                    Poll::Pending if lost => {
                        self.asked = None;
                        return Poll::Ready(Err(RequestError::PeerLost));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Sends a request and receives the reply to it.
    ///
    /// # Errors
    ///
    /// See [`send`](ReqSocket::send) and [`recv`](ReqSocket::recv).
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: the request may have been sent; [`recv`](ReqSocket::recv) waits for its reply then.
    pub async fn request(&mut self, request: impl Into<MessageRef<'_>>) -> Result<Message, RequestError> {
        self.send(request).await?;
        self.recv().await
    }

    /// The answer in a message that has arrived, if it is one.
    fn reply(&mut self, message: Message) -> Option<Message> {
        let peer = self.incoming.sender_of_last();
        let Asked { sent, id } = self.asked.as_ref()?;
        if peer.pipe() != sent.pipe() {
            return None;
        }
        match requests::open(message, *id) {
            Reply::Answer(answer) => {
                self.asked = None;
                Some(answer)
            }
            Reply::Stale => None,
            Reply::Malformed => {
                peer.turn_out(Rejection::MalformedReply);
                None
            }
        }
    }

    /// Whether the connection that the request went out on has gone.
    fn is_lost(&mut self) -> bool {
        self.asked.as_ref().is_some_and(|asked| !self.outgoing.has(asked.sent))
    }
}

common!(ReqSocket);
