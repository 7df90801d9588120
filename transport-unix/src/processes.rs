//! The processes at the other ends, each held once however many connections it has.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;
use transport_core::PeerProcess;

/// Pidfds by their inode, which the kernel gives to no other process (pidfs, Linux 6.9).
#[derive(Debug, Default)]
pub(crate) struct Processes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_inode: HashMap<u64, Weak<OwnedFd>>,
    /// From this many entries on those are removed that nobody holds.
    tidy_at: usize,
}

impl Processes {
    /// The process that SO_PEERCRED speaks of, by SO_PEERPIDFD; `None` where the kernel cannot tell.
    pub(crate) fn peer_of(&self, stream: &UnixStream) -> io::Result<Option<PeerProcess>> {
        match getsockopt(stream, sockopt::PeerPidfd) {
            Ok(pidfd) => self.hold(pidfd).map(Some),
            Err(error @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => Err(error.into()),
            // Before Linux 6.5 there is no such option, and later ones may not have it for a process that has ended.
            Err(error) => {
                tracing::trace!(%error, "the kernel gives no pidfd of the peer");
                Ok(None)
            }
        }
    }

    fn hold(&self, pidfd: OwnedFd) -> io::Result<PeerProcess> {
        // Before there was pidfs all pidfds had one inode.
        const PID_FS_MAGIC: u64 = 0x5049_4446;
        if u64::try_from(rustix::fs::fstatfs(&pidfd)?.f_type) != Ok(PID_FS_MAGIC) {
            return Ok(PeerProcess::new(pidfd));
        }
        let inode = rustix::fs::fstat(&pidfd)?.st_ino;
        // Held for operations of the map only.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.by_inode.get(&inode).and_then(Weak::upgrade) {
            return Ok(PeerProcess::new(held));
        }
        if known.by_inode.len() >= known.tidy_at {
            known.by_inode.retain(|_, held| held.strong_count() > 0);
            known.tidy_at = (2 * known.by_inode.len()).max(64);
        }
        let held = Arc::new(pidfd);
        known.by_inode.insert(inode, Arc::downgrade(&held));
        Ok(PeerProcess::new(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd as _, AsRawFd as _};

    #[tokio::test]
    async fn a_process_with_many_connections_is_held_once() {
        let processes = Processes::default();
        let (near, far) = UnixStream::pair().unwrap();
        let (Some(one), Some(other)) = (processes.peer_of(&near).unwrap(), processes.peer_of(&far).unwrap())
        else {
            return eprintln!("skipped: the kernel gives no pidfd of a peer");
        };
        let has_pidfs = processes.0.lock().unwrap().by_inode.len() == 1;
        let is_one = one.as_fd().as_raw_fd() == other.as_fd().as_raw_fd();
        assert_eq!(is_one, has_pidfs);
        drop((one, other));
        assert!(processes.peer_of(&near).unwrap().unwrap().is_running().unwrap());
    }

    #[test]
    fn processes_that_nobody_holds_are_forgotten() {
        let processes = Processes::default();
        for _ in 0..100 {
            let mut child = std::process::Command::new("true").spawn().unwrap();
            let pid = rustix::process::Pid::from_child(&child);
            let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
            drop(processes.hold(pidfd).unwrap());
            child.wait().unwrap();
        }
        assert!(processes.0.lock().unwrap().by_inode.len() <= 64);
    }
}
