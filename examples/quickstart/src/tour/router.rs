//! One ZeroMQ ROUTER with three kinds of peers at once: each known by what its own transport or mechanism proves.

use serde::Serialize;
use transport::Policy;
use transport::core::Transports;
use transport_zmq::curve::{CurveClient, CurveSecretKey, CurveServer};
use transport_zmq::{DealerSocket, RouterSocket, Security, SocketConfig};

use super::places::{Kind, Places};
use crate::problem::Problem;

/// A peer of the ROUTER, and what was said.
#[derive(Serialize)]
pub(super) struct RoutedPeer {
    pub(super) transport: &'static str,
    /// Who the ROUTER knows it as.
    pub(super) identity: String,
    /// What it sent.
    pub(super) question: String,
    /// What the ROUTER sent back to it, and to nobody else.
    pub(super) answer: String,
}

pub(super) async fn gather(places: &mut Places) -> Result<Vec<RoutedPeer>, Problem> {
    let with = |tls| transport::with_tls(transport::transports(), tls);
    let (here, there) = (with(&places.certificates().server), with(&places.certificates().client));
    let (server_key, client_key) = (CurveSecretKey::generate(), CurveSecretKey::generate());
    let (server_is, client_is) = (server_key.public_key(), client_key.public_key());

    let mut router = RouterSocket::new(&here, SocketConfig::new(Policy::nobody()));
    let curve = Security::new(client_is.policy()).with_mechanism(CurveServer::new(server_key));
    let unix = router.bind_with(places.address(Kind::UnixFile)?, Kind::UnixFile.client()).await?;
    let tls = router.bind_with(places.address(Kind::Tls)?, Kind::Tls.client()).await?;
    let tcp = router.bind_with(places.address(Kind::Tcp)?, curve).await?;

    let login = Security::new(server_is.policy()).with_mechanism(CurveClient::new(client_key, server_is));
    let mut dealers = [
        dealer(&there, "unix, a file", unix, Kind::UnixFile.server().into())?,
        dealer(&there, "tls", tls, Kind::Tls.server().into())?,
        dealer(&there, "tcp, with CURVE", tcp, login)?,
    ];
    for (transport, socket) in &mut dealers {
        socket.send(&format!("hello over {transport}")).await?;
    }
    let mut peers = Vec::new();
    for _ in 0..dealers.len() {
        let (question, peer) = router.recv().await;
        let question = question.to_text().unwrap_or_default().to_owned();
        let identity = peer.identity().to_string();
        router.send_to_peer(&peer, &format!("hello, {identity}")).await?;
        peers.push((question, identity));
    }
    let mut routed = Vec::new();
    for (transport, socket) in &mut dealers {
        let answer = socket.recv().await.to_text().unwrap_or_default().to_owned();
        let asked = format!("hello over {transport}");
        let (question, identity) = peers
            .iter()
            .find(|(question, _)| *question == asked)
            .ok_or("a message did not reach the ROUTER as it was sent")?
            .clone();
        if answer != format!("hello, {identity}") {
            return Err(format!("{identity} got an answer that is not its own: {answer}").into());
        }
        routed.push(RoutedPeer { transport, identity, question, answer });
    }
    Ok(routed)
}

fn dealer(
    transports: &Transports,
    name: &'static str,
    address: transport::Address,
    security: Security,
) -> Result<(&'static str, DealerSocket), Problem> {
    let socket = DealerSocket::new(transports, SocketConfig::new(Policy::nobody()));
    socket.connect_with(address, security)?;
    Ok((name, socket))
}
