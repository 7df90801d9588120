//! PUSH: sends to its peers in turns (RFC 30/PIPELINE).

use std::sync::Arc;

use transport_core::Transports;
use transport_core::framing::zmtp::SocketType;

use crate::config::SocketConfig;
use crate::engine::{Hub, Outgoing, Owner, SendOnly};

/// Sends each message to one of its peers, in turns over those that have room; its peers are PULL sockets.
///
/// With no peer, or when all are full, sending waits.
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
}

impl PushSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> PushSocket {
        let hub = Hub::new(transports, config, SocketType::Push, Arc::new(SendOnly));
        PushSocket { outgoing: Outgoing::new(Arc::clone(&hub)), hub: Owner::new(hub) }
    }
}

sending!(PushSocket);
common!(PushSocket);
