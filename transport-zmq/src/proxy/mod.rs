//! Passing messages on between two sockets.

mod end;
mod handle;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use transport_core::Message;

pub use end::ProxyEnd;
pub(crate) use end::{Inlet, Outlet};
pub use handle::{EndStatistics, ProxyHandle, ProxyStatistics, Volume};

use handle::{Counters, Order, Shared};

/// A proxy between two sockets: what arrives at one is sent at the other, both ways, as `zmq_proxy_steerable` does.
///
/// ```text
/// clients REQ  --> ROUTER  [proxy]  DEALER --> REP   services    questions and answers, spread over who has time
/// subscribers SUB --> XPUB [proxy]  XSUB --> PUB     publishers  messages one way, subscriptions the other
/// producers PUSH  --> PULL [proxy]  PUSH --> PULL    workers     one way
///                             '--> capture
/// ```
///
/// It does nothing until it [runs](SocketProxy::run), and is steered through its [`ProxyHandle`].
#[derive(Debug)]
pub struct SocketProxy {
    frontend: ProxyEnd,
    backend: ProxyEnd,
    capture: Option<ProxyEnd>,
    /// Taken from the frontend, and from the backend, and not passed on yet.
    in_hand: [InHand; 2],
    shared: Arc<Shared>,
}

/// Messages that were received because there was room for the first one.
#[derive(Debug, Default)]
struct InHand {
    messages: VecDeque<Message>,
    /// Whether the first one has been sent to the capture socket.
    captured: bool,
}

/// Makes a proxy between two sockets, which keep the endpoints and peers that they have.
///
/// Messages are passed on whole and in order. They are taken from a socket only when the other has room for one, up to 100 of
/// them or 32 KiB at once: while nobody behind it takes messages, those in front of it have to wait, and the proxy keeps no
/// more than that and the sockets' high-water marks.
/// A ROUTER is different, since room with one peer is no room with another: it drops what is for a peer that has none or
/// is not there (RFC 28/REQREP), so that nobody holds up the others, and the [statistics](ProxyHandle::statistics) count
/// that.
///
/// # Panics
///
/// When neither socket can send what the other receives, such as with two PULL sockets.
///
/// # Security
///
/// Those behind a proxy see its identity, not that of the peers in front of it: who may use a service is for the policy of
/// the frontend.
///
/// # Examples
///
/// Questions of many clients, spread over services that connect when they have time:
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{DealerSocket, RepSocket, ReqSocket, RouterSocket, SocketConfig, proxy};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let frontend = RouterSocket::new(&transports, config.clone());
/// let backend = DealerSocket::new(&transports, config.clone());
/// frontend.bind("inproc://clients").await?;
/// backend.bind("inproc://services").await?;
///
/// let mut proxy = proxy(frontend, backend);
/// let handle = proxy.handle();
/// let running = tokio::spawn(async move { proxy.run().await });
///
/// let mut service = RepSocket::new(&transports, config.clone());
/// service.connect("inproc://services")?;
/// let mut client = ReqSocket::new(&transports, config);
/// client.connect("inproc://clients")?;
/// client.send("how much?").await?;
/// let question = service.recv().await;
/// service.send(&question).await?;
/// assert_eq!(client.recv().await?.to_text(), Some("how much?"));
///
/// assert_eq!(handle.statistics().frontend.received.messages, 1);
/// handle.terminate();
/// running.await?;
/// # Ok(())
/// # }
/// ```
///
/// Publishers and subscribers that know only the proxy; a subscription passes through to the publishers, so that nothing
/// is sent that nobody wants:
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// # use transport_zmq::{PubSocket, SocketConfig, SubSocket, XPubSocket, XSubSocket, proxy};
/// # let config = SocketConfig::new(Policy::same_process());
/// let frontend = XSubSocket::new(&transports, config.clone());
/// let backend = XPubSocket::new(&transports, config.clone());
/// frontend.bind("inproc://publishers").await?;
/// backend.bind("inproc://subscribers").await?;
/// let mut proxy = proxy(frontend, backend);
/// tokio::spawn(async move { proxy.run().await });
///
/// let mut publisher = PubSocket::new(&transports, config.clone());
/// publisher.connect("inproc://publishers")?;
/// let mut subscriber = SubSocket::new(&transports, config);
/// subscriber.subscribe("news");
/// subscriber.connect("inproc://subscribers")?;
/// publisher.subscribed("news").await;
/// publisher.send("news of today").await?;
/// assert_eq!(subscriber.recv().await.to_text(), Some("news of today"));
/// # Ok(())
/// # }
/// ```
///
/// Work for whoever has time, with a copy of all of it:
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// # use transport_zmq::{PullSocket, PushSocket, SocketConfig, proxy};
/// # let config = SocketConfig::new(Policy::same_process());
/// let (frontend, backend) = (PullSocket::new(&transports, config.clone()), PushSocket::new(&transports, config.clone()));
/// frontend.bind("inproc://jobs").await?;
/// backend.bind("inproc://workers").await?;
/// let journal = PushSocket::new(&transports, config.clone());
/// journal.bind("inproc://journal").await?;
/// let mut proxy = proxy(frontend, backend).with_capture(journal);
/// tokio::spawn(async move { proxy.run().await });
///
/// let mut producer = PushSocket::new(&transports, config.clone());
/// producer.connect("inproc://jobs")?;
/// let mut worker = PullSocket::new(&transports, config.clone());
/// worker.connect("inproc://workers")?;
/// let mut clerk = PullSocket::new(&transports, config);
/// clerk.connect("inproc://journal")?;
/// producer.send("job").await?;
/// assert_eq!(worker.recv().await, clerk.recv().await);
/// # Ok(())
/// # }
/// ```
pub fn proxy(frontend: impl Into<ProxyEnd>, backend: impl Into<ProxyEnd>) -> SocketProxy {
    let (frontend, backend) = (frontend.into(), backend.into());
    assert!(
        frontend.feeds(&backend) || backend.feeds(&frontend),
        "neither socket of a proxy can send what the other receives"
    );
    SocketProxy { frontend, backend, capture: None, in_hand: Default::default(), shared: Arc::default() }
}

/// After so many bytes the proxy lets the connections read and write; a message counts [`MESSAGE`] bytes more.
const TURN: usize = 32 << 10;
const MESSAGE: usize = 64;

/// At most so many messages are taken at once, and no more after a turn's bytes.
const AT_ONCE: usize = 100;

impl SocketProxy {
    /// Sends a copy of every message that is received at either end to a third socket, too.
    ///
    /// Its type says what happens when nobody takes the copies: a PUB drops them, and the proxy waits for a PUSH, DEALER or
    /// PAIR.
    ///
    /// # Panics
    ///
    /// When the socket does not send, as PULL and SUB.
    #[must_use]
    pub fn with_capture(mut self, capture: impl Into<ProxyEnd>) -> SocketProxy {
        let capture = capture.into();
        assert!(capture.can_send(), "a capture socket must be able to send");
        self.capture = Some(capture);
        self
    }

    /// Steers the proxy from elsewhere.
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle::new(Arc::clone(&self.shared))
    }

    /// Passes messages on until the proxy is [terminated](ProxyHandle::terminate).
    ///
    /// The sockets stay open afterwards, until the proxy is [closed](SocketProxy::close) or dropped.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no message is lost, and the proxy can run again.
    pub async fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut orders = shared.orders.subscribe();
        loop {
            let order = *orders.borrow_and_update();
            match order {
                Order::Run => {}
                Order::Pause => {
                    let _the_sender_is_shared = orders.changed().await;
                    continue;
                }
                Order::Terminate => return,
            }
            tokio::select! {
                biased;
                _the_sender_is_shared = orders.changed() => {}
                () = poll_fn(|cx| self.poll_turn(cx)) => tokio::task::yield_now().await,
            }
        }
    }

    /// Closes all sockets of the proxy: sends what is queued, for as long as each lingers, and waits for that.
    ///
    /// What the proxy has taken from one socket is queued at the other then, beyond its high-water mark if need be. What waits
    /// in a socket and was not taken is lost with that. Dropping the proxy does the same, in the background.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the sockets go on closing in the background.
    pub async fn close(mut self) {
        self.hand_over();
        let capture = async {
            if let Some(capture) = &self.capture {
                capture.close().await;
            }
        };
        tokio::join!(self.frontend.close(), self.backend.close(), capture);
    }

    /// Passes on what is in hand, whether or not there is room.
    fn hand_over(&mut self) {
        let SocketProxy { frontend, backend, capture, in_hand: [forth, back], shared } = self;
        for (in_hand, to, counters) in [(forth, backend, &shared.backend), (back, frontend, &shared.frontend)]
        {
            for message in std::mem::take(&mut in_hand.messages) {
                if let Some(capture) = capture
                    && !std::mem::take(&mut in_hand.captured)
                {
                    let _dropped = capture.send_now(&message);
                }
                counters.passed(&message, to.send_now(&message));
            }
        }
    }

    /// Passes messages on, both ways in turns, until that is enough for now.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let SocketProxy { frontend, backend, capture, in_hand: [forth, back], shared } = self;
        let mut passed = 0;
        while passed < TURN {
            let [at_front, at_back] = [&shared.frontend, &shared.backend];
            let ways = [
                poll_pass([frontend, backend], capture.as_mut(), forth, [at_front, at_back], cx),
                poll_pass([backend, frontend], capture.as_mut(), back, [at_back, at_front], cx),
            ];
            if ways.iter().all(Poll::is_pending) {
                return Poll::Pending;
            }
            for way in ways {
                if let Poll::Ready(bytes) = way {
                    passed += bytes;
                }
            }
        }
        Poll::Ready(())
    }
}

impl Drop for SocketProxy {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Passes messages on, and tells how many bytes that were.
fn poll_pass(
    [from, to]: [&mut ProxyEnd; 2],
    mut capture: Option<&mut ProxyEnd>,
    in_hand: &mut InHand,
    [from_counters, to_counters]: [&Counters; 2],
    cx: &mut Context<'_>,
) -> Poll<usize> {
    let InHand { messages, captured } = in_hand;
    if messages.is_empty() {
        ready!(to.poll_room(cx));
        if let Some(capture) = &mut capture {
            ready!(capture.poll_room(cx));
        }
        // A capture socket gets them one by one.
        let at_once = if capture.is_some() { 1 } else { AT_ONCE };
        ready!(from.poll_recv_many(messages, (at_once, TURN), cx));
        messages.iter().for_each(|message| from_counters.received(message));
    }
    let messages_in_hand = messages.make_contiguous();
    if let Some(capture) = capture
        && !*captured
        && let Some(first) = messages_in_hand.first()
    {
        let _dropped = ready!(capture.poll_send(first, cx));
        *captured = true;
    }
    let passed = ready!(to.poll_send_many(messages_in_hand, to_counters, cx));
    *captured = false;
    Poll::Ready(messages.drain(..passed).map(|message| message.byte_count() + MESSAGE).sum())
}
