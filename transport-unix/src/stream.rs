//! The open stream.

use std::io;

use tokio::net::UnixStream;
use transport_core::{Claims, Established, Evidence, PeerCredentials, Proof, Protection, Source};

use crate::processes::Processes;

/// With `processes`, the peer's is held.
pub(crate) fn establish(stream: UnixStream, processes: Option<&Processes>) -> io::Result<Established> {
    let peer = stream.peer_cred()?;
    let credentials = PeerCredentials::new(peer.uid(), peer.gid()).with_pid(peer.pid());
    let mut evidence = Evidence::new(Protection::SameHost).with_proof(Proof::Unix(credentials));
    if let Some(process) = processes.map(|processes| processes.peer_of(&stream)).transpose()?.flatten() {
        evidence = evidence.with_process(process);
    }
    Ok(Established {
        stream: Box::new(stream),
        evidence,
        claims: Claims::new(),
        source: Source::Process { uid: peer.uid(), pid: peer.pid() },
    })
}
