//! The open stream.

use std::io;

use tokio::net::UnixStream;
use transport_core::{Claims, Established, Evidence, PeerCredentials, Proof, Protection, Source};

pub(crate) fn establish(stream: UnixStream) -> io::Result<Established> {
    let peer = stream.peer_cred()?;
    let credentials = PeerCredentials::new(peer.uid(), peer.gid()).with_pid(peer.pid());
    Ok(Established {
        stream: Box::new(stream),
        evidence: Evidence::new(Protection::SameHost).with_proof(Proof::Unix(credentials)),
        claims: Claims::new(),
        source: Source::Process { uid: peer.uid(), pid: peer.pid() },
    })
}
