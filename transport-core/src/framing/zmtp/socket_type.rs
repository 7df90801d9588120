//! The socket types of ZeroMQ and which of them talk to each other.

use std::fmt;
use std::str::FromStr;

/// What a ZMTP peer says that its socket does (RFC 37/ZMTP, section "The Socket-Type Property").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are ZeroMQ's own
pub enum SocketType {
    Req,
    Rep,
    Dealer,
    Router,
    Pub,
    XPub,
    Sub,
    XSub,
    Push,
    Pull,
    Pair,
}

impl SocketType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(socket_type, _)| *socket_type == self).map_or("", |(_, name)| name)
    }

    /// Whether the two may talk to each other; symmetric.
    pub fn is_compatible(self, peer: SocketType) -> bool {
        use SocketType::*;
        match self {
            Req => matches!(peer, Rep | Router),
            Rep => matches!(peer, Req | Dealer),
            Dealer => matches!(peer, Rep | Dealer | Router),
            Router => matches!(peer, Req | Dealer | Router),
            Pub | XPub => matches!(peer, Sub | XSub),
            Sub | XSub => matches!(peer, Pub | XPub),
            Push => peer == Pull,
            Pull => peer == Push,
            Pair => peer == Pair,
        }
    }

    /// Whether sockets of this type send the `Identity` property, even an empty one.
    pub(super) fn sends_identity(self) -> bool {
        matches!(self, SocketType::Req | SocketType::Dealer | SocketType::Router)
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SocketType {
    type Err = ();

    /// Reads a name exactly as it is on the wire.
    fn from_str(name: &str) -> Result<SocketType, ()> {
        NAMES.iter().find(|(_, n)| *n == name).map(|(socket_type, _)| *socket_type).ok_or(())
    }
}

const NAMES: [(SocketType, &str); 11] = [
    (SocketType::Req, "REQ"),
    (SocketType::Rep, "REP"),
    (SocketType::Dealer, "DEALER"),
    (SocketType::Router, "ROUTER"),
    (SocketType::Pub, "PUB"),
    (SocketType::XPub, "XPUB"),
    (SocketType::Sub, "SUB"),
    (SocketType::XSub, "XSUB"),
    (SocketType::Push, "PUSH"),
    (SocketType::Pull, "PULL"),
    (SocketType::Pair, "PAIR"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compatibility_is_symmetric() {
        for (a, _) in NAMES {
            for (b, _) in NAMES {
                assert_eq!(a.is_compatible(b), b.is_compatible(a), "{a} {b}");
            }
        }
        assert!(!SocketType::Req.is_compatible(SocketType::Dealer));
        assert!(!SocketType::Rep.is_compatible(SocketType::Router));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (socket_type, name) in NAMES {
            assert_eq!((socket_type.as_str(), name.parse()), (name, Ok(socket_type)));
        }
        assert_eq!("dealer".parse::<SocketType>(), Err(()));
    }
}
