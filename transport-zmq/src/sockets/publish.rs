//! PUB and XPUB: send to everyone who has subscribed (RFC 29/PUBSUB).

use std::sync::Arc;

use transport_core::framing::zmtp::SocketType;
use transport_core::{MessageRef, SendError, Transports};

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Owner, Slot};
use crate::proxy::{Inlet, Outlet};
use crate::publishing::{Publisher, Subscribers};

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
    slot: Slot,
}

/// As [`PubSocket`], and receives the subscriptions of its peers, and their other messages.
///
/// A subscription is a message: `01` and the topic, or `00` and the topic when it is taken back. Only the first and the
/// last peer of a topic are told of, unless the socket is [`verbose`](XPubSocket::verbose).
pub struct XPubSocket {
    hub: Owner,
    publisher: Publisher,
    incoming: Incoming,
    subscribers: Arc<Subscribers>,
}

impl PubSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> PubSocket {
        let subscribers = Arc::new(Subscribers::new(false));
        let hub = Hub::new(transports, config, SocketType::Pub, Arc::clone(&subscribers) as _);
        let publisher = Publisher::new(Arc::clone(&hub), subscribers);
        PubSocket { publisher, hub: Owner::new(hub), slot: Slot::default() }
    }
}

impl XPubSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> XPubSocket {
        let subscribers = Arc::new(Subscribers::new(true));
        let hub = Hub::new(transports, config, SocketType::XPub, Arc::clone(&subscribers) as _);
        let publisher = Publisher::new(Arc::clone(&hub), Arc::clone(&subscribers));
        XPubSocket { publisher, incoming: Incoming::new(Arc::clone(&hub)), subscribers, hub: Owner::new(hub) }
    }

    /// Tells of every subscription, not only of the first and last of a topic.
    #[must_use]
    pub fn verbose(self) -> XPubSocket {
        self.subscribers.tell_all();
        self
    }
}

macro_rules! publishing {
    ($socket:ident) => {
        impl $socket {
            /// Sends a message to everyone who has subscribed to it.
            ///
            /// It never waits for a peer, but lets the connections write now and then.
            ///
            /// # Errors
            ///
            /// When the message cannot be sent to anyone.
            ///
            /// # Cancel safety
            ///
            /// Cancel-safe: when it waits, the message has been queued.
            #[inline]
            pub async fn send(&mut self, message: impl Into<MessageRef<'_>>) -> Result<(), SendError> {
                self.publisher.send(message.into()).await
            }

            /// As [`send`](Self::send), without letting the connections write: for a few messages in a row.
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
    send: |this, message| this.publisher.send_now(message).map(|()| true),
    end: |this, cx| this.slot.poll_closed(&this.hub, cx),
);
publishing!(XPubSocket);
receiving!(XPubSocket);
common!(PubSocket);
common!(XPubSocket);
proxying!(PubSocket: |socket| Inlet::None, Outlet::Published(socket.publisher));
proxying!(XPubSocket: |socket| Inlet::Plain(socket.incoming), Outlet::Published(socket.publisher));
