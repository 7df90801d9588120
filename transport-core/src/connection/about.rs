//! What is known about a connection's peer.

use std::sync::Arc;

use super::closed::ConnectionId;
use crate::claims::Claims;
use crate::descriptors;
use crate::evidence::Protection;
use crate::handshake::HandshakeConfig;
use crate::identity::Identity;
use crate::transport::Source;

/// What is known about a connection's peer.
pub(crate) struct About {
    pub(crate) identity: Identity,
    pub(crate) claims: Claims,
    pub(crate) source: Source,
    pub(super) protection: Protection,
    pub(super) config: Arc<HandshakeConfig>,
}

impl About {
    pub(crate) fn new(
        identity: Identity,
        claims: Claims,
        source: Source,
        protection: Protection,
        config: &Arc<HandshakeConfig>,
    ) -> Arc<About> {
        Arc::new(About { identity, claims, source, protection, config: Arc::clone(config) })
    }

    pub(crate) fn span(&self, id: Option<ConnectionId>) -> tracing::Span {
        let id = id.map(ConnectionId::to_u64);
        tracing::info_span!("connection", id, source = %self.source, identity = %self.identity)
    }

    /// How many descriptors the peer takes with a message, where they are passed at all.
    pub(super) fn taken_by_peer(&self) -> usize {
        // The handshake has read it already.
        descriptors::taken_by_peer(&self.claims).unwrap_or(0)
    }
}
