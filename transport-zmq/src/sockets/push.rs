//! PUSH: sends to its peers in turns (RFC 30/PIPELINE).

use std::sync::Arc;
use std::task::Poll;

use transport_core::Transports;
use transport_core::framing::zmtp::SocketType;

use crate::config::SocketConfig;
use crate::engine::{Hub, Outgoing, Owner, SendOnly, Slot};
use crate::proxy::{Inlet, Outlet};

/// Sends each message to one of its peers, in turns over those that have room; its peers are PULL sockets.
///
/// With no peer, or when all are full, sending waits.
///
/// It is a [`Sink`](futures_util::Sink) of messages: flushing waits until each has its place in the queue of a peer, from
/// where it goes out by itself, and closing is [`close`](PushSocket::close).
///
/// # Examples
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{PullSocket, PushSocket, SocketConfig};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let mut push = PushSocket::new(&transports, config.clone());
/// let mut pull = PullSocket::new(&transports, config);
/// push.bind("inproc://work").await?;
/// pull.connect("inproc://work")?;
/// push.send("job").await?;
/// assert_eq!(pull.recv().await.to_text(), Some("job"));
/// # Ok(())
/// # }
/// ```
pub struct PushSocket {
    hub: Owner,
    outgoing: Outgoing,
    slot: Slot,
}

impl PushSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> PushSocket {
        let hub = Hub::new(transports, config, SocketType::Push, Arc::new(SendOnly));
        let (outgoing, slot) = (Outgoing::new(Arc::clone(&hub)), Slot::new(Arc::clone(&hub)));
        PushSocket { hub: Owner::new(hub), outgoing, slot }
    }
}

sending!(PushSocket);
sinking!(
    PushSocket:
    turn: |_this, _cx| Poll::Ready(()),
    send: |this, message| Ok(this.outgoing.try_send(message)?.is_some()),
    end: |this, cx| this.slot.poll_closed(cx),
);
common!(PushSocket);
proxying!(PushSocket: |socket| Inlet::None, Outlet::InTurns(socket.outgoing));
