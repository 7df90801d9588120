//! The process at the other end of a Unix socket, held so that it cannot be mistaken for another.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The process that connected or called `listen()`, held by a pidfd: unlike its pid, this never comes to mean another one.
///
/// A transport puts it into its [`Evidence`](crate::Evidence), and it is kept with the
/// [`Identity`](crate::Identity::process). Cloning is cheap. A process that has been given the socket by another is not
/// the one held here: the kernel tells who opened the connection.
///
/// # Examples
///
/// ```no_run
/// # fn show(connection: transport_core::Connection) -> std::io::Result<()> {
/// if let Some(process) = connection.identity().process() {
///     // Only while this is true does the pid in the credentials mean the peer.
///     println!("still running: {}", process.is_running()?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PeerProcess {
    pidfd: Arc<OwnedFd>,
}

impl PeerProcess {
    /// Holds the process that `pidfd` refers to: for transports, which get it from the kernel, and may share it between
    /// connections of one process.
    pub fn new(pidfd: impl Into<Arc<OwnedFd>>) -> PeerProcess {
        PeerProcess { pidfd: pidfd.into() }
    }

    /// Whether the process has not ended. One that has, and whose parent has not looked yet, counts as ended.
    ///
    /// To act on it by its pid, look at the pid first and ask this afterwards.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn is_running(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&*self.pidfd, PollFlags::IN)];
        let ended = loop {
            match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result? > 0,
            }
        };
        Ok(!ended)
    }
}

impl AsFd for PeerProcess {
    /// The pidfd: for `pidfd_send_signal`, `setns`, or to wait until it is readable, which is when the process ends.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl fmt::Debug for PeerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerProcess").field("is_running", &self.is_running().ok()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    #[test]
    fn a_process_is_running_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let process = PeerProcess::new(pidfd_open(pid, PidfdFlags::empty()).unwrap());
        assert!(process.is_running().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.is_running().unwrap());
        assert!(!process.clone().is_running().unwrap());
    }
}
