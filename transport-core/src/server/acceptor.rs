//! The accept loop: takes streams in, runs their handshakes under the caps, and hands over who passed.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::events::{ServerEvent, Teller};
use super::pending::Pending;
use crate::connection::{About, Life, Registry, Unopened, after};
use crate::handshake::{HandshakeConfig, HandshakeError};
use crate::identity::Identity;
use crate::transport::{BoxFuture, Established, Incoming, Listener, Source};

/// Makes what a server hands out (connections, or raw streams) of a stream that was taken in, before the deadline.
pub(super) type Admit<T> =
    dyn Fn(Established, Instant) -> BoxFuture<'static, Result<T, Unopened>> + Send + Sync;

/// What a server hands out.
pub(super) trait HandedOut: Send + 'static {
    fn life(&self) -> &Life;
    fn about(&self) -> &Arc<About>;
}

/// What the accept loop, its handshakes and the server's handle share.
pub(super) struct Shared {
    pub(super) config: Arc<HandshakeConfig>,
    pub(super) registry: Arc<Registry>,
    pub(super) teller: Teller,
    pending: Mutex<Pending<Underway>>,
    /// Notified when no handshake is under way any more.
    no_handshakes: Notify,
    places: Arc<Semaphore>,
}

/// A handshake under way: how to stop it, and whose it is.
struct Underway {
    task: AbortHandle,
    source: Source,
    /// Its refusal has been told, and only a farewell is left to say.
    refused: bool,
}

impl Shared {
    pub(super) fn new(config: Arc<HandshakeConfig>, teller: Teller) -> Arc<Shared> {
        let limits = &config.limits;
        let on_closed = {
            let teller = teller.clone();
            move |closed| teller.tell(ServerEvent::Closed(Arc::new(closed)))
        };
        let registry = Registry::new(limits.unread_per_listener, Box::new(on_closed));
        let pending = Mutex::new(Pending::new(limits.pending_handshakes));
        let places = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Shared { config, registry, teller, pending, no_handshakes: Notify::new(), places })
    }

    /// Waits for a place under the cap, and takes it for an authenticated peer.
    pub(super) async fn take_place(&self) -> Life {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        self.registry.join(place)
    }

    /// Stops all handshakes.
    pub(super) fn stop_handshakes(&self) {
        // The lock is free again before the first one ends: each takes itself out of the table.
        let underway = self.pending().drain();
        underway.for_each(|underway| underway.task.abort());
    }

    /// Waits until no handshake is under way.
    pub(super) async fn handshakes_ended(&self) {
        loop {
            let ended = self.no_handshakes.notified();
            if self.pending().is_empty() {
                return;
            }
            ended.await;
        }
    }

    pub(super) fn tell(&self, event: ServerEvent) {
        self.teller.tell(event);
    }

    fn pending(&self) -> MutexGuard<'_, Pending<Underway>> {
        // Held for single operations of the table only.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs until it is aborted.
pub(super) async fn accept_loop<T: HandedOut>(
    mut listener: Box<dyn Listener>,
    shared: Arc<Shared>,
    admit: Arc<Admit<T>>,
    accepted: mpsc::Sender<T>,
) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        // When all places are taken, peers wait in the kernel's backlog. Nobody takes one before it is authenticated, and
        // this loop only looks whether there is one.
        if shared.places.acquire().await.is_err() {
            return;
        }
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(incoming) => {
                backoff = BACKOFF_FIRST;
                start_handshake(incoming, &shared, &admit, &accepted);
            }
            // The peer has gone already: that says nothing about this side.
            Err(error) if is_about_one_peer(&error) => {}
            Err(error) => {
                shared.tell(ServerEvent::AcceptFailed { error: Arc::new(error), retry_in: backoff });
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_LONGEST);
            }
        }
    }
}

fn start_handshake<T: HandedOut>(
    incoming: Incoming,
    shared: &Arc<Shared>,
    admit: &Arc<Admit<T>>,
    accepted: &mpsc::Sender<T>,
) {
    let source = incoming.source().clone();
    // The lock is held until the handshake is in the table: it cannot end before that.
    let mut pending = shared.pending();
    let evicted = pending.insert(&source, |id| {
        let span = tracing::info_span!("handshake", %source, identity = tracing::field::Empty);
        let handshake = handshake(id, incoming, Arc::clone(shared), Arc::clone(admit), accepted.clone());
        let handshake = handshake.instrument(span);
        Underway { task: tokio::spawn(handshake).abort_handle(), source: source.clone(), refused: false }
    });
    drop(pending);
    if let Some(Underway { task, source, refused }) = evicted {
        task.abort();
        if !refused {
            shared.tell(ServerEvent::Refused {
                source,
                identity: None,
                reason: Arc::new(HandshakeError::Evicted),
            });
        }
    }
}

async fn handshake<T: HandedOut>(
    id: u64,
    incoming: Incoming,
    shared: Arc<Shared>,
    admit: Arc<Admit<T>>,
    accepted: mpsc::Sender<T>,
) {
    let source = incoming.source().clone();
    let mut known = None;
    let time = shared.config.limits.handshake_time;
    let deadline = after(time);
    let _gone = RemoveOnDrop { id, shared: &shared };
    let admitted = async {
        let established = match incoming {
            Incoming::Established(established) => established,
            Incoming::Handshake { opening, .. } => match tokio::time::timeout_at(deadline, opening).await {
                Ok(established) => established.map_err(HandshakeError::from)?,
                Err(_) => return Err(HandshakeError::Deadline(time).into()),
            },
        };
        let identity = known.insert(Identity::new(&established.evidence, &[]));
        tracing::Span::current().record("identity", tracing::field::display(identity));
        admit(established, deadline).await
    };
    match admitted.await {
        Ok(item) => {
            let identity = item.about().identity.clone();
            tracing::Span::current().record("identity", tracing::field::display(&identity));
            // From here on it is no longer pending: who has been authenticated does not give way.
            if shared.pending().remove(id).is_some()
                && let Some(connection) = item.life().id()
            {
                item.life().announce(item.about());
                shared.tell(ServerEvent::Accepted { connection, source, identity });
                // Fails only when the server is gone.
                let _ = accepted.send(item).await;
            }
        }
        Err(Unopened { error, farewell }) => {
            // Until the farewell is said it counts, and can give way.
            match shared.pending().get_mut(id) {
                Some(underway) => underway.refused = true,
                None => return, // it gave way in this very moment, and that has been told
            }
            shared.tell(ServerEvent::Refused { source, identity: known, reason: Arc::new(error) });
            farewell.say().await;
        }
    }
}

/// Takes a handshake out of the table however it ends, by a panic in a verifier too.
struct RemoveOnDrop<'a> {
    id: u64,
    shared: &'a Shared,
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let mut pending = self.shared.pending();
        pending.remove(self.id);
        if pending.is_empty() {
            self.shared.no_handshakes.notify_waiters();
        }
    }
}

fn is_about_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
    )
}

const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);
