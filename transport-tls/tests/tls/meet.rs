//! A client and a server that try to meet.

use std::error::Error;
use std::time::Duration;

use transport_core::{Connect, Connection, Listen, Policy, Server, ServerEvent, ServerEvents, Transports};
use transport_tls::TlsTransport;

/// Nothing here takes this long unless it hangs.
pub(crate) const NET: Duration = Duration::from_secs(20);

pub(crate) async fn bounded<F: IntoFuture>(wait: F) -> F::Output {
    tokio::time::timeout(NET, wait).await.expect("it hangs")
}

/// A server at a loopback port that lets in whom TLS lets in.
pub(crate) async fn serve(tls: &TlsTransport) -> (Server, ServerEvents) {
    serve_for(tls, Policy::danger_anyone()).await
}

pub(crate) async fn serve_for(tls: &TlsTransport, policy: Policy) -> (Server, ServerEvents) {
    let transports = Transports::new();
    let listen = Listen::new(&transports, "tls://127.0.0.1:0").transport(tls.clone()).policy(policy);
    let mut server = listen.start().await.unwrap();
    let events = server.events();
    (server, events)
}

/// A client's settings for a server that shall have the certificate of `name`.
pub(crate) fn client(tls: &TlsTransport, server: &Server, name: &str) -> Connect {
    let address = server.local_address().with_parameter("name", name);
    let transports = Transports::new();
    Connect::new(&transports, &address).transport(tls.clone()).server(Policy::danger_anyone())
}

/// Both ends of a connection, the connecting one first.
pub(crate) async fn meet(tls: &TlsTransport, server: &mut Server, name: &str) -> (Connection, Connection) {
    let (near, far) = bounded(async { tokio::join!(client(tls, server, name), server.accept()) }).await;
    (near.unwrap(), far.unwrap())
}

/// Why a client and a server do not meet: what the client is told and what the server's log says.
pub(crate) async fn part(
    tls: &TlsTransport,
    server: &Server,
    events: &mut ServerEvents,
    name: &str,
) -> (String, String) {
    let near = bounded(client(tls, server, name)).await;
    let near = near.map(|_| ()).expect_err("they must not meet");
    (chain(&near), bounded(refusal(events)).await)
}

/// The next refusal in the server's log.
pub(crate) async fn refusal(events: &mut ServerEvents) -> String {
    loop {
        if let ServerEvent::Refused { reason, .. } = events.recv().await.expect("the server goes on") {
            return chain(&*reason);
        }
    }
}

/// An error with all of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
