//! What differs between the types of sockets, as the links see it.

use transport_core::Batch;

use crate::events::Rejection;
use crate::peer::Peer;

/// A socket's pattern: who is taken in, and what becomes of messages before they wait for the application.
///
/// The defaults take everyone in and let everything through.
pub(crate) trait Pattern: Send + Sync {
    /// Takes a peer in, before anything is received from it or sent to it.
    fn admit(&self, _peer: &Peer) -> Result<(), Rejection> {
        Ok(())
    }

    /// Works on messages that have arrived; what is left of them waits for the application.
    fn arrived(&self, _peer: &Peer, _batch: &mut Batch) -> Result<(), Rejection> {
        Ok(())
    }

    /// A peer that was taken in has gone. What is returned waits for the application, as the last that came from it.
    fn left(&self, _peer: &Peer) -> Batch {
        Batch::new()
    }
}

/// The pattern of sockets that take everyone and everything: PULL, DEALER.
pub(crate) struct Open;

impl Pattern for Open {}

/// The pattern of sockets that only send: what arrives is dropped.
pub(crate) struct SendOnly;

impl Pattern for SendOnly {
    fn arrived(&self, _peer: &Peer, batch: &mut Batch) -> Result<(), Rejection> {
        batch.clear();
        Ok(())
    }
}
