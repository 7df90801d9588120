//! DEALER: sends in turns and receives in turns (RFC 28/REQREP).

use std::sync::Arc;

use transport_core::Transports;
use transport_core::framing::zmtp::SocketType;

use super::duplex::{DuplexReceiver, DuplexSender};
use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Open, Outgoing, Owner};
use crate::proxy::{Inlet, Outlet};

/// Sends to its peers in turns and receives from them in turns; its peers are ROUTER, REP and DEALER sockets.
///
/// It adds nothing to a message and takes nothing off: to talk to a REP, send an empty part first. With no peer, or when
/// all are full, sending waits.
///
/// # Examples
///
/// See [`RouterSocket`](crate::RouterSocket).
pub struct DealerSocket {
    hub: Owner,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl DealerSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> DealerSocket {
        let hub = Hub::new(transports, config, SocketType::Dealer, Arc::new(Open));
        let (incoming, outgoing) = (Incoming::new(Arc::clone(&hub)), Outgoing::new(Arc::clone(&hub)));
        DealerSocket { hub: Owner::new(hub), incoming, outgoing }
    }
}

sending!(DealerSocket);
receiving!(DealerSocket);
splitting!(DealerSocket);
common!(DealerSocket);
proxying!(DealerSocket: |socket| Inlet::Plain(socket.incoming), Outlet::InTurns(socket.outgoing));
