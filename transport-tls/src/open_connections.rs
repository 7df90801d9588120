//! The open connections, to close those whose peers would not be accepted any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Context;
use std::time::SystemTime;

use atomic_waker::AtomicWaker;
use transport_core::Source;

use crate::refusal::Refusal;
use crate::verifier::{VerifiedPeer, Verifier};

#[derive(Default)]
pub(crate) struct OpenConnections {
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    next: u64,
    by_id: HashMap<u64, Arc<OpenConnection>>,
}

/// What both a stream and the registry know of a connection.
pub(crate) struct OpenConnection {
    peer: Arc<VerifiedPeer>,
    source: Source,
    /// Set once, when it must close.
    refused: OnceLock<Refusal>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// A stream's place in the registry, given up with it.
pub(crate) struct Membership {
    id: u64,
    open: Arc<OpenConnection>,
    registry: Arc<OpenConnections>,
}

impl OpenConnections {
    pub(crate) fn join(self: &Arc<Self>, peer: Arc<VerifiedPeer>, source: Source) -> Membership {
        let open = Arc::new(OpenConnection {
            peer,
            source,
            refused: OnceLock::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        });
        let mut members = self.lock();
        let id = members.next;
        members.next += 1;
        members.by_id.insert(id, Arc::clone(&open));
        Membership { id, open, registry: Arc::clone(self) }
    }

    /// Closes those whose peers do not pass any more, and says which and why.
    pub(crate) fn close_refused(&self, verifier: &Verifier, now: SystemTime) -> Vec<(Source, Refusal)> {
        // Verified without the lock: a connection that joins meanwhile has just been.
        let open: Vec<_> = self.lock().by_id.values().cloned().collect();
        let mut closed = Vec::new();
        for connection in open {
            let VerifiedPeer { chain, role, .. } = &*connection.peer;
            if let Err(refusal) = verifier.verify(chain, *role, now)
                && connection.refused.set(refusal.clone()).is_ok()
            {
                connection.reader.wake();
                connection.writer.wake();
                closed.push((connection.source.clone(), refusal));
            }
        }
        closed
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Held for single operations of the map only.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Why the connection must close, if it must.
    pub(crate) fn refused(&self) -> Option<&Refusal> {
        self.open.refused.get()
    }

    /// As [`refused`](Membership::refused); otherwise the reading task is woken when it must.
    pub(crate) fn poll_refused_for_read(&self, cx: &mut Context<'_>) -> Option<&Refusal> {
        self.open.reader.register(cx.waker());
        self.refused()
    }

    /// As [`refused`](Membership::refused); otherwise the writing task is woken when it must.
    pub(crate) fn poll_refused_for_write(&self, cx: &mut Context<'_>) -> Option<&Refusal> {
        self.open.writer.register(cx.waker());
        self.refused()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registry.lock().by_id.remove(&self.id);
    }
}

impl fmt::Debug for OpenConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenConnections")
    }
}
