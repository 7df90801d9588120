//! PUB and XPUB: send to everyone who has subscribed (RFC 29/PUBSUB).

use std::sync::Arc;

use transport_core::framing::zmtp::SocketType;
use transport_core::{Message, MessageRef, SendError, Transports};

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Owner, Slot};
use crate::peer::Peer;
use crate::proxy::{Inlet, Outlet};
use crate::publishing::{Publisher, Shown, Subscribers};

/// Sends each message to all of its peers that have subscribed to a prefix of its first part; its peers are SUB and XSUB
/// sockets.
///
/// Sending never waits: a peer whose queue is full does not get the message, which is counted. A message is encoded once
/// for all.
///
/// It is a [`Sink`](futures_util::Sink) of messages: flushing waits until each has its place in the queues of the peers,
/// from where it goes out by itself, and closing is [`close`](PubSocket::close).
///
/// # Examples
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{PubSocket, SocketConfig, SubSocket};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let mut publisher = PubSocket::new(&transports, config.clone());
/// let mut subscriber = SubSocket::new(&transports, config);
/// publisher.bind("inproc://weather").await?;
/// subscriber.subscribe("vienna");
/// subscriber.connect("inproc://weather")?;
///
/// publisher.subscribed("vienna").await; // what is sent before is lost
/// publisher.send("rome 25").await?;
/// publisher.send("vienna 17").await?;
/// assert_eq!(subscriber.recv().await.to_text(), Some("vienna 17"));
/// # Ok(())
/// # }
/// ```
pub struct PubSocket {
    hub: Owner,
    publisher: Publisher,
    subscribers: Arc<Subscribers>,
    slot: Slot,
}

/// As [`PubSocket`], and receives the subscriptions of its peers, and their other messages.
///
/// A subscription is a message: `01` and the topic, or `00` and the topic when it is taken back. Only the first and the
/// last peer of a topic are told of, unless the socket is [`verbose`](XPubSocket::verbose) or
/// [`verboser`](XPubSocket::verboser). When a peer goes, its subscriptions end as if it had taken them back. A peer that takes
/// back what it never had is told of only where nobody has subscribed to the topic.
///
/// Peers have their turns here too: the end of one's subscription may be received after the beginning of another's that came
/// later. A [`proxy`](crate::proxy()) passes on only what is true by then.
pub struct XPubSocket {
    hub: Owner,
    publisher: Publisher,
    incoming: Incoming,
    subscribers: Arc<Subscribers>,
}

impl PubSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> PubSocket {
        let subscribers = Arc::new(Subscribers::new(Shown::Nothing));
        let hub = Hub::new(transports, config, SocketType::Pub, Arc::clone(&subscribers) as _);
        let publisher = Publisher::new(Arc::clone(&hub), Arc::clone(&subscribers));
        PubSocket { publisher, slot: Slot::new(Arc::clone(&hub)), hub: Owner::new(hub), subscribers }
    }
}

impl XPubSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> XPubSocket {
        let subscribers = Arc::new(Subscribers::new(Shown::FirstAndLast));
        let hub = Hub::new(transports, config, SocketType::XPub, Arc::clone(&subscribers) as _);
        let publisher = Publisher::new(Arc::clone(&hub), Arc::clone(&subscribers));
        XPubSocket { publisher, incoming: Incoming::new(Arc::clone(&hub)), subscribers, hub: Owner::new(hub) }
    }

    /// Tells of every subscription, not only of the first to a topic; of the end of one only when it was the last, as
    /// `ZMQ_XPUB_VERBOSE`.
    #[must_use]
    pub fn verbose(self) -> XPubSocket {
        self.subscribers.show(Shown::EveryOne);
        self
    }

    /// Tells of every subscription and of every end of one, as `ZMQ_XPUB_VERBOSER`.
    #[must_use]
    pub fn verboser(self) -> XPubSocket {
        self.subscribers.show(Shown::EveryOneAndEnd);
        self
    }

    /// Leaves it to the application what a peer that asks for a topic is subscribed to: it receives each request, and
    /// answers it by [`subscribe`](XPubSocket::subscribe), or not at all. When a peer goes, it receives the end of what the
    /// peer has asked for, whatever that was answered with, as with `ZMQ_XPUB_MANUAL`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use transport_core::{Policy, Transports, mem::MemTransport};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transports = Transports::new().with(MemTransport::new());
    /// use transport_zmq::{SocketConfig, SubSocket, XPubSocket};
    ///
    /// let config = SocketConfig::new(Policy::same_process());
    /// let mut publisher = XPubSocket::new(&transports, config.clone()).manual();
    /// publisher.bind("inproc://prices").await?;
    /// let mut subscriber = SubSocket::new(&transports, config);
    /// subscriber.subscribe("");
    /// subscriber.connect("inproc://prices")?;
    ///
    /// // It asks for everything, and gets what everyone may see.
    /// let (request, peer) = publisher.recv_from().await;
    /// assert_eq!(&request[0][..], b"\x01");
    /// publisher.subscribe(&peer, "public");
    /// publisher.send_to_peer(&peer, "public: the last price was 17")?;
    /// publisher.send("internal: 16").await?;
    /// publisher.send("public: 18").await?;
    /// assert_eq!(subscriber.recv().await.to_text(), Some("public: the last price was 17"));
    /// assert_eq!(subscriber.recv().await.to_text(), Some("public: 18"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn manual(self) -> XPubSocket {
        self.subscribers.set_manual();
        self
    }

    /// Subscribes a peer to a topic, whatever it has asked for; false when it has gone, or has as many subscriptions as
    /// are kept for one peer (10,000, and 1 MiB of topics).
    pub fn subscribe(&mut self, peer: &Peer, topic: impl AsRef<[u8]>) -> bool {
        self.subscribers.subscribe(peer, topic.as_ref())
    }

    /// Takes a peer's subscription back; false when it has none to this topic.
    pub fn unsubscribe(&mut self, peer: &Peer, topic: impl AsRef<[u8]>) -> bool {
        self.subscribers.unsubscribe(peer, topic.as_ref())
    }

    /// Sends a message to one peer alone, such as the last value of a topic to one that has just subscribed. False when it
    /// has no room for it.
    ///
    /// # Errors
    ///
    /// When the message cannot be sent to it.
    pub fn send_to_peer<'m>(
        &mut self,
        peer: &Peer,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<bool, SendError> {
        peer.try_send(message.into())
    }
}

macro_rules! publishing {
    ($socket:ident) => {
        impl $socket {
            /// Says whether a message is dropped for a peer that has no room for it, and counted. Default: true. With
            /// false sending waits until everyone who has subscribed has room, as with `ZMQ_XPUB_NODROP`.
            ///
            /// # Security
            ///
            /// A peer that takes nothing, and shows that it is alive, then holds up all the others.
            #[must_use]
            pub fn with_drop(mut self, drop: bool) -> $socket {
                self.publisher.set_waits(!drop);
                self
            }

            /// Sends this to each peer first, before it has subscribed to anything; a SUB hands it out when it has
            /// subscribed to it. For peers that connect from now on.
            #[must_use]
            pub fn with_welcome(self, message: impl Into<Message>) -> $socket {
                self.subscribers.set_welcome(message.into());
                self
            }

            /// Says whether messages go to those who have *not* subscribed to them, as with `ZMQ_INVERT_MATCHING`; the
            /// SUB sockets must say so too. Default: false.
            #[must_use]
            pub fn with_inverted(self, inverted: bool) -> $socket {
                self.subscribers.set_inverted(inverted);
                self
            }

            /// Sends a message to everyone who has subscribed to it.
            ///
            /// It waits for no peer unless [`with_drop`](Self::with_drop) says so, but lets the connections write now and
            /// then.
            ///
            /// # Errors
            ///
            /// When the message cannot be sent to anyone.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe: the message is queued for all, or for none when the future was dropped.
            #[inline]
            pub async fn send(&mut self, message: impl Into<MessageRef<'_>>) -> Result<(), SendError> {
                self.publisher.send(message.into()).await
            }

            /// Sends each of the messages to everyone who has subscribed to it, as [`send`](Self::send) does: a run of
            /// messages for the same peers is encoded once and handed over as one, which is several times as fast.
            ///
            /// # Errors
            ///
            /// When a message cannot be sent to anyone; those before it were.
            ///
            /// # Cancel safety
            ///
            /// Not cancel-safe: it is not told how many were sent. Use [`try_send_many`](Self::try_send_many) or `send`.
            pub async fn send_many(&mut self, messages: &[Message]) -> Result<(), SendError> {
                self.publisher.send_many(messages).await
            }

            /// Sends each of the messages up to the first for which someone who has subscribed to it has no room and is
            /// [waited for](Self::with_drop); returns how many. The connections are not let write: for what their queues have
            /// room for.
            ///
            /// # Errors
            ///
            /// When a message cannot be sent to anyone; those before it were.
            pub fn try_send_many(&mut self, messages: &[Message]) -> Result<usize, SendError> {
                self.publisher.try_send_many(messages)
            }

            /// Sends a message unless someone who has subscribed to it has no room and is
            /// [waited for](Self::with_drop); false then. The connections are not let write: for a few messages in a row.
            ///
            /// # Errors
            ///
            /// When the message cannot be sent to anyone.
            #[inline]
            pub fn try_send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<bool, SendError> {
                self.publisher.try_send(message.into())
            }

            /// As [`send`](Self::send), without letting the connections write: for a few messages in a row. It is dropped for
            /// whoever has no room.
            ///
            /// # Errors
            ///
            /// When the message cannot be sent to anyone.
            #[inline]
            pub fn send_now<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), SendError> {
                self.publisher.send_now(message.into())
            }

            /// Waits until a peer has subscribed to exactly this topic.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe.
            pub async fn subscribed(&self, topic: impl AsRef<[u8]>) {
                self.publisher.subscribed(topic.as_ref()).await;
            }

            /// How many peers have subscribed to anything.
            pub fn subscribers(&self) -> usize {
                self.publisher.subscribers()
            }

            /// How many messages were dropped because a peer's queue was full, each peer counted.
            pub fn dropped(&self) -> u64 {
                self.hub.dropped()
            }
        }
    };
}

publishing!(PubSocket);
sinking!(
    PubSocket:
    turn: |this, cx| this.publisher.poll_turn(cx),
    send: |this, message| this.publisher.try_send(message),
    end: |this, cx| this.slot.poll_closed(cx),
);
publishing!(XPubSocket);
receiving!(XPubSocket);
common!(PubSocket);
common!(XPubSocket);
proxying!(PubSocket: |socket| Inlet::None, Outlet::Published(socket.publisher));
proxying!(
    XPubSocket: |socket| Inlet::Subscriptions(socket.incoming, socket.subscribers),
    Outlet::Published(socket.publisher)
);
