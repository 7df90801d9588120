//! SUB and XSUB: receive what they have subscribed to (RFC 29/PUBSUB).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use transport_core::framing::zmtp::SocketType;
use transport_core::{Message, MessageRef, Transports};

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Owner};
use crate::logic::subscriptions::Subscriptions;
use crate::peer::Peer;
use crate::proxy::{Inlet, Outlet};
use crate::subscribing::Wanted;

/// Receives the messages of its peers that begin with a topic it has subscribed to; its peers are PUB and XPUB sockets.
///
/// It is a [`Stream`](futures_util::Stream) of messages. What was published before the subscription has reached the publisher is lost.
///
/// # Examples
///
/// See [`PubSocket`](crate::PubSocket).
pub struct SubSocket {
    hub: Owner,
    incoming: Incoming,
    wanted: Arc<Wanted>,
    /// The same topics, for this end to look at without a lock.
    topics: Topics,
}

/// As [`SubSocket`], for programs that pass subscriptions on: they are messages that it sends, and it receives all that
/// comes.
///
/// # Examples
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{SocketConfig, XPubSocket, XSubSocket};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let mut publisher = XPubSocket::new(&transports, config.clone());
/// let mut subscriber = XSubSocket::new(&transports, config);
/// publisher.bind("inproc://weather").await?;
/// subscriber.connect("inproc://weather")?;
///
/// subscriber.send(b"\x01vienna"); // subscribes
/// assert_eq!(&publisher.recv().await[0][..], b"\x01vienna");
/// publisher.send("vienna 17").await?;
/// assert_eq!(subscriber.recv().await.to_text(), Some("vienna 17"));
/// # Ok(())
/// # }
/// ```
pub struct XSubSocket {
    hub: Owner,
    incoming: Incoming,
    wanted: Arc<Wanted>,
}

/// What a SUB hands out.
pub(crate) struct Topics {
    wanted: Subscriptions<()>,
    inverted: bool,
}

impl Topics {
    #[inline]
    pub(crate) fn matches(&self, topic: &[u8]) -> bool {
        self.wanted.matches(topic) != self.inverted
    }

    /// Whether no message need be looked at.
    fn have_everything(&self) -> bool {
        !self.inverted && self.wanted.matches(b"")
    }
}

impl SubSocket {
    /// A socket without endpoints and subscriptions. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> SubSocket {
        let wanted = Arc::new(Wanted::new(config.send_mark.messages));
        let hub = Hub::new(transports, config, SocketType::Sub, Arc::clone(&wanted) as _);
        SubSocket {
            incoming: Incoming::new(Arc::clone(&hub)),
            hub: Owner::new(hub),
            wanted,
            topics: Topics { wanted: Subscriptions::new(), inverted: false },
        }
    }

    /// Says whether the socket receives what it has *not* subscribed to, from publishers that say the same: see
    /// [`PubSocket::with_inverted`](crate::PubSocket::with_inverted). Default: false.
    #[must_use]
    pub fn with_inverted(mut self, inverted: bool) -> SubSocket {
        self.topics.inverted = inverted;
        self
    }

    /// Subscribes to everything that begins with `topic`; the empty one is everything.
    ///
    /// Subscribing to the same topic again needs another [`unsubscribe`](SubSocket::unsubscribe).
    pub fn subscribe(&mut self, topic: impl AsRef<[u8]>) {
        if self.wanted.subscribe(topic.as_ref()) {
            self.topics.wanted.insert(topic.as_ref(), ());
        }
    }

    /// Takes a subscription back; false when there is none to this topic.
    pub fn unsubscribe(&mut self, topic: impl AsRef<[u8]>) -> bool {
        let left = self.wanted.unsubscribe(topic.as_ref());
        if left == Some(0) {
            self.topics.wanted.remove(topic.as_ref(), ());
        }
        left.is_some()
    }

    /// Receives the next message that was subscribed to, from each peer in turn.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    #[inline]
    pub async fn recv(&mut self) -> Message {
        loop {
            let message = self.incoming.recv().await;
            if self.topics.matches(&message[0]) {
                return message;
            }
        }
    }

    /// Receives the next message that was subscribed to, and tells who sent it.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_from(&mut self) -> (Message, Peer) {
        let message = self.recv().await;
        (message, self.incoming.sender_of_last())
    }

    /// Receives up to `max` messages that have arrived, appended to `messages`; waits for the first one. Returns how many.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_many(&mut self, messages: &mut Vec<Message>, max: usize) -> usize {
        let before = messages.len();
        while messages.len() == before && max > 0 {
            self.incoming.recv_many(messages, max).await;
            let mut at = 0;
            messages.retain(|message| {
                at += 1;
                at <= before || self.topics.matches(&message[0])
            });
        }
        messages.len() - before
    }

    /// Shows the messages of one peer that have arrived together and were subscribed to; see
    /// [`PullSocket::recv_each`](crate::PullSocket::recv_each).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_each(&mut self, mut visit: impl FnMut(MessageRef<'_>, &Peer)) -> usize {
        let SubSocket { incoming, topics, .. } = self;
        if topics.have_everything() {
            return incoming.recv_each(visit).await;
        }
        let mut count = 0;
        while count == 0 {
            incoming
                .recv_each(|message, peer| {
                    if message.parts().next().is_some_and(|topic| topics.matches(topic)) {
                        count += 1;
                        visit(message, peer);
                    }
                })
                .await;
        }
        count
    }

    /// The next message that was subscribed to, if one has arrived.
    pub fn try_recv(&mut self) -> Option<Message> {
        loop {
            let message = self.incoming.try_recv()?;
            if self.topics.matches(&message[0]) {
                return Some(message);
            }
        }
    }
}

/// Never ends.
impl Stream for SubSocket {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match self.incoming.poll_recv(cx) {
                Poll::Ready(message) if self.topics.matches(&message[0]) => {
                    return Poll::Ready(Some(message));
                }
                Poll::Ready(_) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl XSubSocket {
    /// A socket without endpoints and subscriptions. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> XSubSocket {
        let wanted = Arc::new(Wanted::new(config.send_mark.messages));
        let hub = Hub::new(transports, config, SocketType::XSub, Arc::clone(&wanted) as _);
        XSubSocket { incoming: Incoming::new(Arc::clone(&hub)), hub: Owner::new(hub), wanted }
    }

    /// Sends a message to all peers: `01` and a topic to subscribe, `00` and a topic to take that back, anything else as it
    /// is.
    ///
    /// Subscriptions are kept for peers that come later. Other messages are dropped for a peer that has no room for them, as
    /// its [`dropped`](Peer::dropped) counts.
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) {
        self.wanted.pass_on(message.into());
    }
}

receiving!(XSubSocket);
common!(SubSocket);
common!(XSubSocket);
proxying!(SubSocket: |socket| Inlet::Subscribed(socket.incoming, socket.topics), Outlet::None);
proxying!(XSubSocket: |socket| Inlet::Plain(socket.incoming), Outlet::Upstream(socket.wanted));
