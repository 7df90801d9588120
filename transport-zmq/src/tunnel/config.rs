//! Settings.

use std::sync::Arc;

use transport_core::mechanism::{MechanismFactory, Null, SharedMechanism};
use transport_core::{Connect, Limits, Listen};

use super::flow::WINDOW;

/// Settings of a [`ZmqTransport`](super::ZmqTransport): how its ZeroMQ connections are made.
///
/// They are those to the next ZeroMQ program, which may be a proxy. Who is at the far end of a stream is for the
/// mechanism to prove that is used *over* it.
#[derive(Clone)]
pub struct ZmqConfig {
    connecting: SharedMechanism,
    accepting: Vec<SharedMechanism>,
    limits: Limits,
}

impl Default for ZmqConfig {
    /// NULL on both sides, and messages of at most 256 KiB.
    fn default() -> ZmqConfig {
        let message = usize::try_from(WINDOW).unwrap_or(usize::MAX);
        ZmqConfig {
            connecting: Arc::new(Null),
            accepting: Vec::new(),
            limits: Limits::default().with_message(message),
        }
    }
}

impl ZmqConfig {
    /// The default settings.
    pub fn new() -> ZmqConfig {
        ZmqConfig::default()
    }

    /// How this side authenticates itself where it connects: for streams, and for a listener attached to a proxy.
    /// Default: NULL.
    #[must_use]
    pub fn with_mechanism(mut self, mechanism: impl MechanismFactory + 'static) -> ZmqConfig {
        self.connecting = Arc::new(mechanism);
        self
    }

    /// Adds a mechanism that peers of a listener may use. Default: NULL.
    #[must_use]
    pub fn with_server_mechanism(mut self, mechanism: impl MechanismFactory + 'static) -> ZmqConfig {
        self.accepting.push(Arc::new(mechanism));
        self
    }

    /// Sets the bounds of the ZeroMQ connections; a message must hold 64 KiB and the routing ids on its way.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> ZmqConfig {
        self.limits = limits;
        self
    }

    pub(super) fn apply_to_connect(&self, connect: Connect) -> Connect {
        let connect = connect.mechanism(Arc::clone(&self.connecting)).limits(self.limits.clone());
        // Whether the stream is guarded well enough is checked where it is used, with the protection that it shows.
        if self.connecting.properties().reveals_secret { connect } else { connect.danger_plaintext() }
    }

    pub(super) fn apply_to_listen(&self, listen: Listen) -> Listen {
        let listen = listen.limits(self.limits.clone());
        let listen = self.accepting.iter().fold(listen, |listen, m| listen.mechanism(Arc::clone(m)));
        let reveals = self.accepting.iter().any(|mechanism| mechanism.properties().reveals_secret);
        if reveals { listen } else { listen.danger_plaintext() }
    }
}

impl std::fmt::Debug for ZmqConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let accepting: Vec<_> = self.accepting.iter().map(|mechanism| mechanism.name()).collect();
        f.debug_struct("ZmqConfig")
            .field("connecting", &self.connecting.name())
            .field("accepting", &accepting)
            .finish_non_exhaustive()
    }
}
