//! Clients: connections that come back by themselves.
//!
//! ```text
//! Client, ClientHandle ...  --send-->  Queue  --encode, write-->  Connection ... and the next one
//! Client                    <--recv--  Inbox  <--read, decode---
//!                                          one task, the keeper, does all of this
//! ```

mod backoff;
mod config;
mod error;
mod events;
mod handle;
mod keeper;
mod link;
mod queue;
mod retry;
mod shared;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::address::Address;
use crate::connect::{ConnectError, Connector};
use crate::events::Events;
use crate::identity::Identity;
use crate::message::{Message, MessageRef};

use keeper::Keeper;
use queue::{Queue, QueueLimits};
use shared::{Order, Shared};

pub use backoff::{Backoff, BackoffConfig};
pub use config::ClientConfig;
pub use error::{ClientEnd, ClientSendError, GaveUp};
pub use events::{ClientEvent, ClientEvents, ClientState, Disconnect};
pub use handle::ClientHandle;
pub(crate) use retry::mends_itself;

/// A connection that comes back by itself.
///
/// Made by [`Connect::keep`](crate::Connect::keep). It connects in the background, again and again with growing waits
/// (see [`Backoff`]), and authenticates each time anew. An error that does not mend itself ends it: the policy denies
/// the server, or the server refuses this side (all of them are listed below).
///
/// # What is kept, and what may be lost
///
/// A message that was sent waits in a bounded queue until the stream of a connection has taken it as a whole. When a
/// connection is lost, the messages of which no byte was taken are *kept*, and go out on the next one in their order.
/// A message of which some bytes were taken is never sent again: it *may be lost*, and
/// [`ClientEvent::Disconnected`] says how many are. The stream taking a message does not mean that the server has
/// received it; only an answer of the server's application says so.
///
/// # Which errors end it
///
/// | error of an attempt | tried again? |
/// |---|---|
/// | the policy denies the server, it fails its proof, or the stream is too weakly protected for the mechanism | no |
/// | the server refuses this side; with the status 300 or 500 (RFC 27/ZAP) it says "not now", and any other is final (RFC 37/ZMTP, ERROR) | 300 and 500 only |
/// | a transport's handshake fails: over TLS the server refuses this side's certificate, in the same words whether it has expired or is not for anyone whom the policy allows | yes: it may be renewed |
/// | the server wants another mechanism or socket type | no |
/// | the address has not the shape that its transport needs | no |
/// | anything else: nobody listens, a name is not found, a deadline passes, the stream breaks | yes |
///
/// With several addresses ([`ClientConfig::with_fallback`]) such an error takes its address out, and the client ends when
/// none is left.
///
/// # Keep receiving
///
/// Up to 256 messages or 1 MiB received wait for [`recv`](Client::recv). From there on nothing is read, pings are not
/// answered, and after 90 s (by default) the server takes this side for dead.
///
/// # Cancel safety
///
/// All methods are cancel-safe, as [`Connection`](crate::Connection) defines it, but [`close`](Client::close).
/// Dropping the client closes it at once: what waits is lost.
///
/// # Examples
///
/// ```
/// # use transport_core::{Connect, Listen, Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// let mut client = Connect::new(&transports, "mem://docs").server(Policy::same_process()).keep()?;
/// client.send("kept until the server is there").await?;
///
/// let mut server = Listen::new(&transports, "mem://docs").policy(Policy::same_process()).start().await?;
/// let mut connection = server.accept().await.expect("the server goes on");
/// let message = connection.recv().await?.expect("the client sent one");
/// connection.send(&message).await?;
/// assert_eq!(client.recv().await?, Some(message));
/// # Ok(())
/// # }
/// ```
pub struct Client {
    handle: ClientHandle,
    first_events: Option<ClientEvents>,
}

impl Client {
    pub(crate) fn start(
        address: Address,
        connector: Connector,
        config: ClientConfig,
    ) -> Result<Client, ConnectError> {
        let mut addresses = vec![address];
        for fallback in config.fallbacks {
            let fallback = fallback?;
            connector.check(&fallback)?;
            addresses.push(fallback);
        }
        let (events, first_events) = Events::channel(events::EVENTS_KEPT);
        let limits = QueueLimits { bytes: config.queue_bytes, messages: config.queue_messages };
        let state = ClientState::Connecting { address: addresses[0].clone() };
        let shared = Arc::new(Shared::new(Queue::new(limits), events, state));
        let backoff = Backoff::new(config.backoff);
        let keeper = Keeper::new(connector, addresses, backoff, config.give_up_after, Arc::clone(&shared));
        tokio::spawn(keeper.run());
        let handle = ClientHandle { shared, queue_time: config.queue_time };
        Ok(Client { handle, first_events: Some(first_events) })
    }

    /// Sends a message; see [`ClientHandle::send`].
    ///
    /// # Errors
    ///
    /// See [`ClientSendError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message is queued as a whole or not at all.
    pub async fn send(&self, message: impl Into<MessageRef<'_>>) -> Result<(), ClientSendError> {
        self.handle.send(message).await
    }

    /// Receives the next message, of whatever connection there is; `None` when a handle has closed the client.
    ///
    /// What was received before the end is delivered first.
    ///
    /// # Errors
    ///
    /// When the client gave up.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Message>, GaveUp> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Client::recv), for a task that polls.
    ///
    /// # Errors
    ///
    /// When the client gave up.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, GaveUp>> {
        let mut inner = self.handle.shared.lock();
        if let Some((message, room_again)) = inner.inbox.pop() {
            if room_again {
                inner.wake_keeper();
            }
            return Poll::Ready(Ok(Some(message)));
        }
        match &inner.end {
            Some(ClientEnd::Closed) => Poll::Ready(Ok(None)),
            Some(ClientEnd::GaveUp(error)) => Poll::Ready(Err(error.clone())),
            None => {
                inner.inbox.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Reaches this client from elsewhere.
    pub fn handle(&self) -> ClientHandle {
        self.handle.clone()
    }

    /// The events from now on; of the first call, from the start.
    pub fn events(&mut self) -> ClientEvents {
        self.first_events.take().unwrap_or_else(|| self.handle.events())
    }

    /// What the client is doing now.
    pub fn state(&self) -> ClientState {
        self.handle.state()
    }

    /// Waits until there is a connection, and tells who the server is.
    ///
    /// # Errors
    ///
    /// When the client has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn connected(&self) -> Result<Identity, ClientEnd> {
        self.handle.connected().await
    }

    /// Ends the client; see [`ClientHandle::close`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: the client is dropped with the future.
    pub async fn close(self, grace: Duration) -> Vec<Message> {
        self.handle.close(grace).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.handle.shared.lock().draining = true;
        self.handle.shared.order.send_replace(Order::Stop);
        self.handle.shared.progress.notify_waiters();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}
