//! The task behind a client: connects, works, waits, and begins again.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::error::{ClientEnd, GaveUp};
use super::events::{ClientEvent, ClientState, Disconnect};
use super::link::{Finished, Link};
use super::retry::mends_itself;
use super::shared::Shared;
use crate::address::Address;
use crate::connect::{ConnectError, Connector};
use crate::connection::{after, now};

pub(super) struct Keeper {
    connector: Connector,
    /// Those at which another attempt could succeed, the preferred one first.
    addresses: Vec<Address>,
    /// The next one to try. Invariant: less than their number.
    at: usize,
    backoff: Backoff,
    give_up_after: Option<Duration>,
    /// Since when there has been no connection.
    without: Instant,
    link: Option<Link>,
    /// What the end will have been.
    end: ClientEnd,
    shared: Arc<Shared>,
}

impl Keeper {
    pub(super) fn new(
        connector: Connector,
        addresses: Vec<Address>,
        backoff: Backoff,
        give_up_after: Option<Duration>,
        shared: Arc<Shared>,
    ) -> Keeper {
        let end = ClientEnd::Closed;
        Keeper {
            connector,
            addresses,
            at: 0,
            backoff,
            give_up_after,
            without: now(),
            link: None,
            end,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        self.end = tokio::select! {
            biased;
            () = shared.is_over() => ClientEnd::Closed,
            end = self.keep() => end,
        };
    }

    /// Goes on until everything has been sent and this side wants to close, or there is no more hope.
    async fn keep(&mut self) -> ClientEnd {
        loop {
            let address = &self.addresses[self.at];
            if self.is_drained(ClientState::Connecting { address: address.clone() }) {
                return ClientEnd::Closed;
            }
            self.shared.tell(ClientEvent::Connecting { address: address.clone() });
            let (wait, failure) = match self.connector.connect(address).await {
                Ok(connection) => match self.work(Link::new(connection)).await {
                    Some(lasted) => (self.after_connection(lasted), None),
                    None => return ClientEnd::Closed,
                },
                Err(error) => {
                    let error = Arc::new(error);
                    match self.after_failure(&error) {
                        Some(wait) => (wait, Some(error)),
                        None => return GaveUp::ForGood(error).into(),
                    }
                }
            };
            if !self.wait(wait).await {
                let time = now().saturating_duration_since(self.without);
                return GaveUp::TooLong { time, last: failure }.into();
            }
        }
    }

    /// Works with a connection until it is lost, and tells how long it lasted; `None` when everything has been sent.
    async fn work(&mut self, link: Link) -> Option<Duration> {
        let address = self.addresses[self.at].clone();
        let identity = link.connection().identity().clone();
        let source = link.connection().source().clone();
        let shared = Arc::clone(&self.shared);
        let state = ClientState::Connected { address: address.clone(), identity: identity.clone() };
        shared.state.send_replace(state);
        shared.tell(ClientEvent::Connected { address, source, identity });
        // In a field, so that the accounts can be ended when this future is dropped.
        let link = self.link.insert(link);
        let finished = poll_fn(|cx| link.poll(&shared, cx)).await;
        let link = self.link.take()?;
        match finished {
            Finished::Lost(reason) => Some(link.lost(&shared, reason)),
            Finished::Drained => {
                link.lost(&shared, Disconnect::ByThisSide);
                // Everything is written; a server that does not close in time changes nothing.
                let _late = link.into_connection().close().await;
                None
            }
        }
    }

    /// How long to wait after a connection that lasted for `lasted`.
    fn after_connection(&mut self, lasted: Duration) -> Duration {
        self.without = now();
        let stable = self.backoff.lasted(lasted);
        // After a good connection the preferred address has its chance; after another one, the next.
        self.at = if stable { 0 } else { (self.at + 1) % self.addresses.len() };
        self.backoff.next_wait()
    }

    /// How long to wait after a failed attempt: only when all addresses have been tried. `None` when there is none left.
    fn after_failure(&mut self, error: &Arc<ConnectError>) -> Option<Duration> {
        let again = mends_itself(error);
        let address = self.addresses[self.at].clone();
        self.shared.tell(ClientEvent::ConnectFailed { address, error: Arc::clone(error), again });
        if again {
            self.at += 1;
        } else {
            self.addresses.remove(self.at);
        }
        if self.at < self.addresses.len() {
            return Some(Duration::ZERO);
        }
        self.at = 0;
        (!self.addresses.is_empty()).then(|| self.backoff.next_wait())
    }

    /// Waits, but not beyond the time to give up; false when that has come.
    async fn wait(&mut self, time: Duration) -> bool {
        let left = self.give_up_after.map(|limit| {
            let without = now().saturating_duration_since(self.without);
            limit.saturating_sub(without)
        });
        if left == Some(Duration::ZERO) {
            return false;
        }
        let time = left.map_or(time, |left| left.min(time));
        let until = after(time);
        if time.is_zero() {
            // An attempt may fail without waiting for anything, and others need their turn.
            tokio::task::yield_now().await;
            return true;
        }
        if self.is_drained(ClientState::Waiting { until: until.into_std() }) {
            return true;
        }
        self.shared.tell(ClientEvent::Waiting { time });
        tokio::time::sleep_until(until).await;
        true
    }

    /// Enters a state without a connection; true if the client may end, since nothing waits to be sent.
    fn is_drained(&self, state: ClientState) -> bool {
        // In this order: who closes the client either sees this state, or is seen here.
        self.shared.state.send_replace(state);
        let inner = self.shared.lock();
        inner.draining && inner.queue.is_empty()
    }
}

/// However this task ends, with its runtime too: the accounts are closed, and everyone is told.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.lost(&self.shared, Disconnect::ByThisSide);
        }
        self.shared.finish(self.end.clone());
    }
}
