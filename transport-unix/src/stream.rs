//! The open stream.

use std::io;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;
use transport_core::{
    Claims, Established, Evidence, PeerCredentials, PeerProcess, Proof, Protection, Source,
};

pub(crate) fn establish(stream: UnixStream, hold_process: bool) -> io::Result<Established> {
    let peer = stream.peer_cred()?;
    let credentials = PeerCredentials::new(peer.uid(), peer.gid()).with_pid(peer.pid());
    let mut evidence = Evidence::new(Protection::SameHost).with_proof(Proof::Unix(credentials));
    if hold_process && let Some(process) = process(&stream)? {
        evidence = evidence.with_process(process);
    }
    Ok(Established {
        stream: Box::new(stream),
        evidence,
        claims: Claims::new(),
        source: Source::Process { uid: peer.uid(), pid: peer.pid() },
    })
}

/// The process that SO_PEERCRED speaks of, by SO_PEERPIDFD; `None` where the kernel cannot tell.
fn process(stream: &UnixStream) -> io::Result<Option<PeerProcess>> {
    match getsockopt(stream, sockopt::PeerPidfd) {
        Ok(pidfd) => Ok(Some(PeerProcess::new(pidfd))),
        Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => Err(error.into()),
        // Before Linux 6.5 there is no such option, and before 6.16 none for a process that has ended already.
        Err(error) => {
            tracing::trace!(%error, "the kernel gives no pidfd of the peer");
            Ok(None)
        }
    }
}
