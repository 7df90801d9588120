//! Where a peer is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a peer is: for logs, and to see that no one source takes all the room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// An address and port of a network.
    Socket(SocketAddr),
    /// A process of this host.
    Process {
        /// Its user.
        uid: u32,
        /// Its process id, if the kernel told.
        pid: Option<i32>,
    },
    /// This process.
    SameProcess,
    /// Somewhere else.
    Other(String),
}

impl Source {
    /// What counts as one source when room is shared out: ports do not matter, and of an IPv6 address only the 64
    /// bits that a single customer of a network has at least.
    pub(crate) fn group(&self) -> Source {
        match self {
            Source::Socket(address) => {
                let ip = match address.ip().to_canonical() {
                    IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
                    ip @ IpAddr::V4(_) => ip,
                };
                Source::Socket(SocketAddr::new(ip, 0))
            }
            Source::Process { uid, .. } => Source::Process { uid: *uid, pid: None },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Socket(address) => address.fmt(f),
            Source::Process { uid, pid: Some(pid) } => write!(f, "process {pid} of uid {uid}"),
            Source::Process { uid, pid: None } => write!(f, "a process of uid {uid}"),
            Source::SameProcess => f.write_str("this process"),
            Source::Other(text) => crate::identity::Printable(text).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_grouped_by_host_network_or_user() {
        let group = |text: &str| Source::Socket(text.parse().unwrap()).group();
        assert_eq!(group("10.0.0.1:5"), group("10.0.0.1:6"));
        assert_ne!(group("10.0.0.1:5"), group("10.0.0.2:5"));
        assert_eq!(group("10.0.0.1:5"), group("[::ffff:10.0.0.1]:5"));
        assert_eq!(group("[2001:db8::1]:5"), group("[2001:db8::2]:5"));
        assert_ne!(group("[2001:db8:0:1::1]:5"), group("[2001:db8::1]:5"));
        let process = |pid| Source::Process { uid: 1, pid: Some(pid) }.group();
        assert_eq!(process(1), process(2));
    }
}
