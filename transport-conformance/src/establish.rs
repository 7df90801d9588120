//! Streams and connections for the tests.

use std::future::poll_fn;
use std::sync::Arc;

use transport_core::{
    Address, Connect, Connection, Established, Incoming, Listen, Listener, Policy, Server, Transport,
    TransportError,
};

use crate::harness::Harness;

pub(crate) fn parse(text: &str) -> Address {
    text.parse().expect("the harness gives addresses that can be read")
}

pub(crate) fn transport(harness: &(impl Harness + ?Sized), address: &Address) -> Arc<dyn Transport> {
    let transports = harness.transports();
    let transport = transports.lookup(address.scheme());
    Arc::clone(transport.expect("the harness has a transport for its addresses"))
}

pub(crate) async fn connect(
    harness: &(impl Harness + ?Sized),
    address: &Address,
) -> Result<Established, TransportError> {
    transport(harness, address).connect(address).await
}

pub(crate) async fn listen_at(
    harness: &impl Harness,
    address: &Address,
) -> Result<Box<dyn Listener>, TransportError> {
    transport(harness, address).listen(address).await
}

/// A listener at a fresh address.
pub(crate) async fn listen(harness: &impl Harness) -> Box<dyn Listener> {
    let address = parse(&harness.address());
    listen_at(harness, &address).await.expect("listen at a fresh address")
}

pub(crate) async fn accept(listener: &mut dyn Listener) -> Incoming {
    poll_fn(|cx| listener.poll_accept(cx)).await.expect("accept")
}

/// Does the transport's own handshake, if it has one.
pub(crate) async fn finish(incoming: Incoming) -> Result<Established, TransportError> {
    match incoming {
        Incoming::Established(established) => Ok(established),
        Incoming::Handshake { opening, .. } => opening.await,
    }
}

/// Both ends of a stream through this listener: the connecting one first.
pub(crate) async fn pair_at(
    harness: &impl Harness,
    listener: &mut dyn Listener,
) -> (Established, Established) {
    let address = listener.local_address().clone();
    let accepted = async { finish(accept(listener).await).await };
    let (near, far) = tokio::join!(connect(harness, &address), accepted);
    (near.expect("connect"), far.expect("accept"))
}

/// Both ends of a stream: the connecting one first.
pub(crate) async fn pair(harness: &impl Harness) -> (Established, Established) {
    pair_at(harness, &mut *listen(harness).await).await
}

/// A server at a fresh address which lets everyone in.
pub(crate) async fn serve(harness: &impl Harness) -> Server {
    let listen = Listen::new(&harness.transports(), harness.address());
    listen.policy(Policy::danger_anyone()).start().await.expect("listen at a fresh address")
}

/// A client's settings for this server.
pub(crate) fn client_of(harness: &impl Harness, address: &Address) -> Connect {
    Connect::new(&harness.transports(), address.to_string()).server(Policy::danger_anyone())
}

/// A server, and both ends of a connection to it: the connecting one first.
pub(crate) async fn connected(harness: &impl Harness) -> (Server, Connection, Connection) {
    let mut server = serve(harness).await;
    let client = client_of(harness, &server.local_address().clone());
    let (near, far) = tokio::join!(client, server.accept());
    (server, near.expect("connect"), far.expect("the server goes on"))
}
