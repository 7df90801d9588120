//! PULL: receives from its peers in turns (RFC 30/PIPELINE).

use std::sync::Arc;

use transport_core::Transports;
use transport_core::framing::zmtp::SocketType;

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Open, Owner};
use crate::proxy::{Inlet, Outlet};

/// Receives messages from its peers, in turns; its peers are PUSH sockets.
///
/// It is a [`Stream`](futures_util::Stream) of messages.
///
/// # Examples
///
/// See [`PushSocket`](crate::PushSocket).
pub struct PullSocket {
    hub: Owner,
    incoming: Incoming,
}

impl PullSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> PullSocket {
        let hub = Hub::new(transports, config, SocketType::Pull, Arc::new(Open));
        PullSocket { incoming: Incoming::new(Arc::clone(&hub)), hub: Owner::new(hub) }
    }
}

receiving!(PullSocket);
streaming!(PullSocket);
common!(PullSocket);
proxying!(PullSocket: |socket| Inlet::Plain(socket.incoming), Outlet::None);
