//! Where sockets bind and connect, in our spelling or in ZeroMQ's.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use transport_core::{Address, AddressError};

use crate::engine::EndpointError;

/// A place to bind or connect to: an [`Address`], or its spelling in ZeroMQ.
///
/// | ZeroMQ | here |
/// |---|---|
/// | `tcp://*:5555`, `tcp://*:*` | `tcp://0.0.0.0:5555`, `tcp://0.0.0.0:0` |
/// | `ipc:///run/app.sock`, `ipc://app.sock` | `unix:///run/app.sock`, a path below the current folder |
/// | `ipc://@app` | `unix:@app` |
/// | `ipc://*` | to bind to only: `unix://` and a path in a folder that is made for it, which no other user can enter |
/// | `inproc://app` | `mem://app` |
///
/// Everything else is taken as an address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    At(Result<Address, AddressError>),
    /// Made when a socket is bound there.
    Fresh,
}

impl Endpoint {
    pub(crate) fn into_address(self) -> Result<Address, EndpointError> {
        match self.place {
            Place::At(address) => Ok(address?),
            Place::Fresh => Err(EndpointError::NoPlaceYet),
        }
    }

    /// Where to listen, and the folder that was made for it: it goes when this is dropped.
    pub(crate) fn into_place(self) -> Result<(Address, Option<TempDir>), EndpointError> {
        if let Place::At(address) = self.place {
            return Ok((address?, None));
        }
        let mut folder = tempfile::Builder::new();
        folder.prefix("zmq-").permissions(Permissions::from_mode(0o700));
        let folder = folder.tempdir().map_err(EndpointError::Folder)?;
        Ok((Address::unix(folder.path().join("socket")), Some(folder)))
    }

    fn at(address: Result<Address, AddressError>) -> Endpoint {
        Endpoint { place: Place::At(address) }
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Endpoint {
        if text == "ipc://*" { Endpoint { place: Place::Fresh } } else { Endpoint::at(read(text)) }
    }
}

impl From<&String> for Endpoint {
    fn from(text: &String) -> Endpoint {
        Endpoint::from(text.as_str())
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Endpoint {
        Endpoint::from(text.as_str())
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Endpoint {
        Endpoint::at(Ok(address))
    }
}

impl From<&Address> for Endpoint {
    fn from(address: &Address) -> Endpoint {
        Endpoint::at(Ok(address.clone()))
    }
}

fn read(text: &str) -> Result<Address, AddressError> {
    match text.split_once("://") {
        Some(("ipc", name)) if name.starts_with('@') => format!("unix:{name}").parse(),
        Some(("ipc", path)) if !path.is_empty() => Ok(Address::unix(absolute(Path::new(path)))),
        Some(("inproc", name)) => format!("mem://{name}").parse(),
        Some(("tcp", place)) if place.starts_with("*:") => {
            let port = &place[2..];
            format!("tcp://0.0.0.0:{}", if port == "*" { "0" } else { port }).parse()
        }
        _ => text.parse(),
    }
}

/// Without a current folder the path is left as it is, and binding or connecting says what is wrong.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeromqs_spellings_name_our_addresses() {
        for (theirs, ours) in [
            ("tcp://*:5555", "tcp://0.0.0.0:5555"),
            ("tcp://*:*", "tcp://0.0.0.0:0"),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("ipc:///run/a b.sock", "unix:///run/a%20b.sock"),
            ("ipc://@app", "unix:@app"),
            ("inproc://app", "mem://app"),
            ("tls://example.org:1", "tls://example.org:1"),
            ("zmq+tcp://127.0.0.1:1", "zmq+tcp://127.0.0.1:1"),
        ] {
            assert_eq!(Endpoint::from(theirs).into_address().unwrap(), ours.parse().unwrap(), "{theirs}");
        }
        let relative = Endpoint::from("ipc://app.sock").into_address().unwrap();
        assert_eq!(relative.path().unwrap(), std::env::current_dir().unwrap().join("app.sock"));
        assert!(Endpoint::from("ipc://").into_address().is_err());
    }
}
