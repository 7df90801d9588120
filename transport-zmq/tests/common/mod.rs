//! Where the sockets of these tests meet.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

pub(crate) mod raw;
pub(crate) mod subject;

use std::future::Future;
use std::time::Duration;

use transport_core::mem::MemTransport;
use transport_core::tcp::TcpTransport;
use transport_core::{Address, BackoffConfig, Policy, Transports};
use transport_unix::UnixTransport;
use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
use transport_zmq::{Security, SocketConfig, SocketEvent, SocketEvents};

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing here takes so long")
}

/// Endpoints to bind to, one for each transport, with the folder that keeps the socket file.
pub(crate) struct Places {
    pub(crate) transports: Transports,
    folder: tempfile::TempDir,
}

impl Places {
    pub(crate) fn new() -> Places {
        let transports =
            Transports::new().with(MemTransport::new()).with(TcpTransport::new()).with(UnixTransport::new());
        Places { transports, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn all(&self) -> [String; 3] {
        ["inproc://place".to_owned(), "tcp://127.0.0.1:0".to_owned(), self.ipc("place")]
    }

    pub(crate) fn ipc(&self, name: &str) -> String {
        format!("ipc://{}/{name}.sock", self.folder.path().display())
    }
}

/// A table with tcp alone.
pub(crate) fn tcp() -> Transports {
    Transports::new().with(TcpTransport::new())
}

/// Everyone may in, and reconnecting is fast.
pub(crate) fn config() -> SocketConfig {
    let soon = Duration::from_millis(20);
    SocketConfig::new(Policy::danger_anyone())
        .with_reconnect(BackoffConfig::default().with_first(soon).with_longest(soon))
        .with_linger(Duration::from_secs(5))
}

/// The same for other peers.
pub(crate) fn secured(security: Security) -> SocketConfig {
    let mut config = config();
    config.security = security;
    config
}

/// The settings of one that binds and of one that connects to it, with CURVE.
pub(crate) fn curve() -> [SocketConfig; 2] {
    let [client, server] = [(); 2].map(|()| CurveSecretKey::generate());
    let (client_key, server_key) = (client.public_key(), server.public_key());
    let binding = Security::new(client_key.policy()).with_mechanism(CurveServer::new(server));
    let connecting = Security::new(server_key.policy()).with_mechanism(CurveClient::new(client, server_key));
    [binding, connecting].map(secured)
}

/// Waits for an event that `pick` takes.
pub(crate) async fn event<T>(events: &mut SocketEvents, mut pick: impl FnMut(SocketEvent) -> Option<T>) -> T {
    within(async {
        loop {
            let event = events.recv().await.expect("the socket is there");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    })
    .await
}

/// Waits until so many peers have been taken in, counted from the last call.
pub(crate) async fn connected(events: &mut SocketEvents, count: usize) {
    for _ in 0..count {
        event(events, |event| matches!(event, SocketEvent::Connected { .. }).then_some(())).await;
    }
}

/// The port of a tcp address.
pub(crate) fn port(address: &Address) -> u16 {
    address.host_port().unwrap().1
}
