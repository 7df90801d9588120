//! Where to meet.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tokio::net::TcpSocket;
use transport::Policy;

/// A transport that ZeroMQ has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// TCP over loopback.
    Tcp,
    /// A Unix socket: `ipc` in ZeroMQ, `unix` here.
    Ipc,
}

/// A place to listen at; a socket file lives in a folder of its own, which goes with this.
#[derive(Debug)]
pub struct Place {
    address: String,
    _folder: Option<TempDir>,
    /// Has the port of [`Wire::unused`], so that nobody else gets it; who binds to just that port can.
    reserved: Option<TcpSocket>,
}

impl Wire {
    /// A place where nobody is yet.
    ///
    /// # Panics
    ///
    /// When no folder can be made.
    pub fn place(self) -> Place {
        match self {
            Wire::Tcp => Place { address: "tcp://127.0.0.1:0".to_owned(), _folder: None, reserved: None },
            Wire::Ipc => {
                let folder = tempfile::tempdir().expect("a temporary folder can be made");
                // Other users shall come as far as the socket file, whose own mode decides.
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(folder.path(), mode).expect("a folder of ours can be changed");
                Place {
                    address: format!("unix://{}", folder.path().join("socket").display()),
                    _folder: Some(folder),
                    reserved: None,
                }
            }
        }
    }

    /// What ZeroMQ calls it.
    pub fn name(self) -> &'static str {
        match self {
            Wire::Tcp => "tcp",
            Wire::Ipc => "ipc",
        }
    }

    /// An endpoint where nobody is, as ZeroMQ writes it: at the place for a socket file, or at a port that is kept free as long
    /// as the place is there.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn unused(self, place: &mut Place) -> String {
        match self {
            Wire::Ipc => place.zmq(),
            Wire::Tcp => {
                let (socket, port) = reserve().expect("there is a free port");
                place.reserved = Some(socket);
                format!("tcp://127.0.0.1:{port}")
            }
        }
    }

    /// Whom to let in: as strict as the wire allows.
    pub fn policy(self) -> Policy {
        match self {
            Wire::Tcp => Policy::danger_anyone(),
            Wire::Ipc => Policy::same_user(),
        }
    }
}

impl Place {
    /// Its address as this library writes it.
    pub fn ours(&self) -> &str {
        &self.address
    }

    /// Its address as ZeroMQ writes it.
    pub fn zmq(&self) -> String {
        to_zmq(&self.address)
    }
}

/// A port, and the socket that has it without listening. Others can bind to it too, as everyone here reuses addresses; but no
/// socket that leaves the choice to the system gets it.
fn reserve() -> std::io::Result<(TcpSocket, u16)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}

/// An address of this library as ZeroMQ writes it.
pub fn to_zmq(address: &str) -> String {
    let (address, _parameters) = address.split_once('?').unwrap_or((address, ""));
    match address.strip_prefix("unix:") {
        Some(name) if name.starts_with('@') => format!("ipc://{name}"),
        Some(rest) => format!("ipc:{rest}"),
        None => address.to_owned(),
    }
}

/// An endpoint of ZeroMQ as this library writes it.
pub fn to_ours(endpoint: &str) -> String {
    match endpoint.strip_prefix("ipc://") {
        Some(name) if name.starts_with('@') => format!("unix:{name}"),
        Some(path) => format!("unix://{path}"),
        None => endpoint.to_owned(),
    }
}

/// Makes two tests of each of these functions, which take a [`Wire`]: one over each.
#[macro_export]
macro_rules! on_both_wires {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            async fn over_tcp() {
                $crate::bounded(super::$name($crate::Wire::Tcp)).await;
            }

            #[tokio::test]
            async fn over_ipc() {
                $crate::bounded(super::$name($crate::Wire::Ipc)).await;
            }
        }
    )*};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_both_ways() {
        for (ours, zmq) in [
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("unix:///run/a", "ipc:///run/a"),
            ("unix:@a", "ipc://@a"),
        ] {
            assert_eq!((to_zmq(ours), to_ours(zmq)), (zmq.to_owned(), ours.to_owned()));
        }
        assert_eq!(to_zmq("unix:///run/a?mode=0666"), "ipc:///run/a");
    }
}
