//! Steering a proxy, and what it has done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use transport_core::Message;

use super::end::Outcome;

/// Steers a [`SocketProxy`](super::SocketProxy) from elsewhere; cloned for as many as steer.
#[derive(Clone, Debug)]
pub struct ProxyHandle {
    shared: Arc<Shared>,
}

/// What a proxy has passed on since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStatistics {
    /// At the frontend.
    pub frontend: EndStatistics,
    /// At the backend.
    pub backend: EndStatistics,
}

/// What a proxy has passed on at one of its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndStatistics {
    /// What arrived there.
    pub received: Volume,
    /// What was sent there.
    pub sent: Volume,
    /// What was not sent there: for peers of a ROUTER that have gone or have no room, or of a form that cannot be sent.
    pub dropped: Volume,
}

/// A number of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Volume {
    /// How many.
    pub messages: u64,
    /// The bytes of all their parts.
    pub bytes: u64,
}

/// What a proxy and its handles share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) orders: watch::Sender<Order>,
    pub(super) frontend: Counters,
    pub(super) backend: Counters,
}

/// What the proxy shall do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Run,
    Pause,
    /// The last one.
    Terminate,
}

impl ProxyHandle {
    pub(super) fn new(shared: Arc<Shared>) -> ProxyHandle {
        ProxyHandle { shared }
    }

    /// Passes no more messages on until the proxy is resumed: they wait in the sockets and with the peers.
    pub fn pause(&self) {
        self.order(Order::Pause);
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.order(Order::Run);
    }

    /// Ends [`run`](super::SocketProxy::run) for good.
    pub fn terminate(&self) {
        self.order(Order::Terminate);
    }

    /// What the proxy has passed on so far.
    pub fn statistics(&self) -> ProxyStatistics {
        let Shared { frontend, backend, .. } = &*self.shared;
        ProxyStatistics { frontend: frontend.read(), backend: backend.read() }
    }

    fn order(&self, order: Order) {
        self.shared.orders.send_if_modified(|now| {
            let modified = *now != Order::Terminate && *now != order;
            if modified {
                *now = order;
            }
            modified
        });
    }
}

/// What happens at one end.
#[derive(Debug, Default)]
pub(super) struct Counters {
    received: Counter,
    sent: Counter,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Counter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    pub(super) fn received(&self, message: &Message) {
        self.received.count(message);
    }

    pub(super) fn passed(&self, message: &Message, outcome: Outcome) {
        match outcome {
            Outcome::Sent => self.sent.count(message),
            Outcome::Dropped => self.dropped.count(message),
        }
    }

    fn read(&self) -> EndStatistics {
        EndStatistics { received: self.received.read(), sent: self.sent.read(), dropped: self.dropped.read() }
    }
}

impl Counter {
    fn count(&self, message: &Message) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(message.byte_count() as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Volume {
        Volume { messages: self.messages.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}
