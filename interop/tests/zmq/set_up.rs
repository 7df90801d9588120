//! What the tests share.

use std::collections::BTreeMap;
use std::time::Duration;

use interop::{CurveKeys, Python, Settings};
use transport_zmq::{SocketEvent, SocketEvents};

/// The interpreter; without one the test says so and is to return.
pub(crate) fn python() -> Option<Python> {
    Python::with_packages(env!("CARGO_TARGET_TMPDIR"))
}

/// A user and the password.
pub(crate) const USER: [&str; 2] = ["alice", "secret"];

/// All users there are.
pub(crate) fn users() -> BTreeMap<String, String> {
    let [user, password] = USER.map(str::to_owned);
    BTreeMap::from([(user, password)])
}

/// A server with CURVE, and a client that it lets in.
pub(crate) fn with_curve(servers: CurveKeys, mut clients: CurveKeys) -> (Settings, Settings) {
    clients.server.clone_from(&servers.public);
    let known = vec![clients.public.clone()];
    let (mut server, mut client) = (Settings::new(), Settings::new());
    server.security.curve_server = Some(CurveKeys { known, ..servers });
    client.security.curve_client = Some(clients);
    (server, client)
}

/// Waits for an event that `pick` takes.
pub(crate) async fn event<T>(events: &mut SocketEvents, mut pick: impl FnMut(SocketEvent) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("the socket is there");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    };
    within(found).await
}

/// Nothing here takes this long unless it hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("nothing takes so long")
}
