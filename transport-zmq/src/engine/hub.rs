//! What the application's end of a socket, its endpoints and its peers share.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport_core::framing::zmtp::SocketType;
use transport_core::{Address, EventSender, SenderGroup, Transports};

use super::endpoints::Bound;
use super::inbox::Inbox;
use super::pattern::Pattern;
use super::pipes::{Pipe, Pipes};
use crate::config::SocketConfig;
use crate::events::{SocketEvent, SocketEvents};
use crate::peer::Peer;

/// The middle of a socket.
pub(crate) struct Hub {
    pub(crate) config: SocketConfig,
    pub(super) socket_type: SocketType,
    pub(super) transports: Transports,
    pub(crate) pattern: Arc<dyn Pattern>,
    /// Whether messages to an endpoint wait until it is connected.
    pub(super) waits_for_connections: bool,
    pub(crate) group: SenderGroup,
    pub(crate) pipes: Pipes,
    pub(crate) inbox: Inbox,
    events: EventSender<SocketEvent>,
    first_events: Mutex<Option<SocketEvents>>,
    pub(super) endpoints: Mutex<Vec<Bound>>,
    next_id: AtomicU64,
    /// The pipe of all endpoints and peers of a PAIR, which has one peer, wherever it is.
    one_pipe: Option<u64>,
    /// Messages that no peer got, or that one did not get.
    dropped: AtomicU64,
    pub(super) tasks: TaskTracker,
    /// Where the socket was made: it may be used and dropped on threads without one.
    pub(super) runtime: Handle,
    /// The socket is closing: what is queued goes out, and then everything ends.
    pub(crate) closing: CancellationToken,
    /// The time for that is over.
    pub(crate) over: CancellationToken,
}

/// What the application holds of a socket: when it is dropped, the socket closes.
pub(crate) struct Owner {
    hub: Arc<Hub>,
}

impl Owner {
    pub(crate) fn new(hub: Arc<Hub>) -> Owner {
        Owner { hub }
    }
}

impl Deref for Owner {
    type Target = Arc<Hub>;

    fn deref(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.hub.start_closing();
    }
}

impl Hub {
    pub(crate) fn new(
        transports: &Transports,
        mut config: SocketConfig,
        socket_type: SocketType,
        pattern: Arc<dyn Pattern>,
    ) -> Arc<Hub> {
        let (events, first_events) = SocketEvents::channel(EVENTS_KEPT);
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Req, Sub};
        let waits = matches!(socket_type, Push | Dealer | Req | Pair);
        // Elsewhere one message is not in the place of another: subscriptions, requests, messages to several peers.
        config.conflate &= matches!(socket_type, Push | Pull | Pub | Sub | Dealer | Pair);
        Arc::new(Hub {
            waits_for_connections: waits && !config.immediate,
            inbox: Inbox::new(config.limits.unread_per_listener),
            config,
            socket_type,
            transports: transports.clone(),
            pattern,
            group: SenderGroup::new(),
            pipes: Pipes::default(),
            events,
            first_events: Mutex::new(Some(first_events)),
            endpoints: Mutex::default(),
            next_id: AtomicU64::new(1),
            one_pipe: (socket_type == SocketType::Pair).then_some(0),
            dropped: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
        })
    }

    /// The events from now on; of the first call, from the start.
    pub(crate) fn events(&self) -> SocketEvents {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    pub(crate) fn tell(&self, event: SocketEvent) {
        match &event {
            SocketEvent::HandshakeFailed { source, reason, .. } => {
                tracing::info!(%source, %reason, "peer refused")
            }
            SocketEvent::Rejected { source, reason, .. } => tracing::info!(%source, %reason, "peer rejected"),
            SocketEvent::ConnectFailed { address, error, .. } => {
                tracing::info!(%address, %error, "cannot connect")
            }
            SocketEvent::AcceptFailed { address, error, .. } => {
                tracing::warn!(%address, %error, "cannot accept")
            }
            SocketEvent::Unsent { endpoint, messages } => tracing::info!(?endpoint, messages, "not sent"),
            other => tracing::debug!(event = ?other, "socket"),
        }
        self.events.tell(event);
    }

    /// Ends the socket: what is queued goes out for as long as the socket lingers.
    pub(crate) async fn close(&self) {
        self.start_closing();
        self.tasks.wait().await;
    }

    /// As `close`, in the background.
    pub(crate) fn start_closing(&self) {
        if self.closing.is_cancelled() {
            return;
        }
        let linger = self.config.linger;
        self.closing.cancel();
        self.tasks.close();
        if linger.is_zero() {
            self.over.cancel();
            return;
        }
        let (over, tasks) = (self.over.clone(), self.tasks.clone());
        // When it has ended there are no tasks any more either.
        self.runtime.spawn(async move {
            let _lingering = tokio::time::timeout(linger, tasks.wait()).await;
            over.cancel();
        });
    }

    /// The list of pipes has changed: whoever waits looks at it.
    pub(super) fn changed(&self) {
        self.group.wake();
        self.inbox.wake();
    }

    pub(super) fn put_pipe(&self, pipe: Pipe) -> Option<Pipe> {
        let replaced = self.pipes.put(pipe);
        self.changed();
        replaced
    }

    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The pipe of an endpoint that is connected to, or of a peer that has connected.
    pub(super) fn new_pipe(&self) -> u64 {
        self.one_pipe.unwrap_or_else(|| self.new_id())
    }

    /// The endpoint is no longer connected to: nothing waits for it any more.
    pub(super) fn forget_pipe(&self, pipe: u64, endpoint: &Address) {
        if self.waits_for(pipe) && !self.closing.is_cancelled() {
            return; // for other endpoints of a PAIR
        }
        let mut unsent = 0;
        self.pipes.retain(|other| {
            match other {
                _ if other.id() != pipe => true,
                Pipe::Open(peer) => peer.endpoint() != endpoint,
                Pipe::Waiting(queue) => {
                    // For good: an application that still has the queue is told that it is gone.
                    unsent += queue.move_out().len();
                    false
                }
            }
        });
        self.changed();
        self.tell_unsent(Some(endpoint), unsent);
    }

    pub(super) fn tell_unsent(&self, endpoint: Option<&Address>, messages: usize) {
        if messages > 0 {
            self.tell(SocketEvent::Unsent { endpoint: endpoint.cloned(), messages });
        }
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.pipes.peers()
    }
}

const EVENTS_KEPT: usize = 1024;
