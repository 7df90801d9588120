//! What differs between the types of sockets, as the links see it.

use std::error::Error;
use std::sync::Arc;

use transport_core::{Batch, Claims, HandshakeError, Identity};

use crate::events::Rejection;
use crate::peer::Peer;

/// A socket's pattern: who is taken in, and what becomes of messages before they wait for the application.
///
/// The defaults take everyone in and let everything through.
pub(crate) trait Pattern: Send + Sync {
    /// Whether there is a place for a peer, before it is told that it is in. Asked where the peer connects: a peer that is
    /// connected to knows by then.
    fn place_for(&self, _identity: &Identity, _claims: &Claims) -> Result<(), Rejection> {
        Ok(())
    }

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

/// What a listener asks of a pattern before it tells a peer that it is in.
pub(super) fn admission(
    pattern: &Arc<dyn Pattern>,
) -> impl Fn(&Identity, &Claims) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + use<> {
    let pattern = Arc::clone(pattern);
    move |identity, claims| match pattern.place_for(identity, claims) {
        Ok(()) => Ok(()),
        Err(reason) => Err(Box::new(NoPlace { identity: identity.clone(), reason })),
    }
}

/// For whom a pattern has no place, and why.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NoPlace {
    pub(super) identity: Identity,
    pub(super) reason: Rejection,
}

impl NoPlace {
    /// If that is why a peer was refused.
    pub(super) fn of(error: &HandshakeError) -> Option<&NoPlace> {
        match error {
            HandshakeError::NoPlace(error) => error.downcast_ref(),
            _ => None,
        }
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
