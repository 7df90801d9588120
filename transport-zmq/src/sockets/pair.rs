//! PAIR: exactly one peer (RFC 31/EXPAIR).

use std::sync::{Arc, Mutex, PoisonError};

use transport_core::framing::zmtp::SocketType;
use transport_core::{Batch, Claims, Identity, Transports};

use super::duplex::{DuplexReceiver, DuplexSender};
use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Outgoing, Owner, Pattern};
use crate::events::Rejection;
use crate::peer::Peer;
use crate::proxy::{Inlet, Outlet};

/// Talks to exactly one peer, a PAIR too; a second one is turned away while the first one is there.
///
/// Without a peer, or when its queue is full, sending waits. Connected to several endpoints it talks to whoever is there first,
/// and has one queue for all of them.
///
/// # Examples
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{PairSocket, SocketConfig};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let mut parent = PairSocket::new(&transports, config.clone());
/// let mut child = PairSocket::new(&transports, config);
/// parent.bind("inproc://family").await?;
/// child.connect("inproc://family")?;
/// child.send("ready").await?;
/// assert_eq!(parent.recv().await.to_text(), Some("ready"));
/// parent.send("go").await?;
/// assert_eq!(child.recv().await.to_text(), Some("go"));
/// # Ok(())
/// # }
/// ```
pub struct PairSocket {
    hub: Owner,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl PairSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> PairSocket {
        let hub = Hub::new(transports, config, SocketType::Pair, Arc::new(OnePeer::default()));
        let (incoming, outgoing) = (Incoming::new(Arc::clone(&hub)), Outgoing::new(Arc::clone(&hub)));
        PairSocket { hub: Owner::new(hub), incoming, outgoing }
    }
}

/// Who is there.
#[derive(Default)]
struct OnePeer(Mutex<Option<Peer>>);

impl Pattern for OnePeer {
    fn place_for(&self, _identity: &Identity, _claims: &Claims) -> Result<(), Rejection> {
        let there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if there.is_some() { Err(Rejection::SecondPeer) } else { Ok(()) }
    }

    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if there.is_some() {
            return Err(Rejection::SecondPeer);
        }
        *there = Some(peer.clone());
        Ok(())
    }

    fn left(&self, _peer: &Peer) -> Batch {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Batch::new()
    }
}

sending!(PairSocket);
receiving!(PairSocket);
splitting!(PairSocket);
common!(PairSocket);
proxying!(PairSocket: |socket| Inlet::Plain(socket.incoming), Outlet::InTurns(socket.outgoing));
