//! Where a Unix socket is: what an address says, checked.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use transport_core::{Address, Location, TransportError};

pub(crate) const SCHEME: &str = "unix";

/// The place of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    /// Without the leading zero byte.
    Abstract(String),
}

/// `sockaddr_un` has 108 bytes for the path; the last one is for the final zero, or the first for an abstract name.
const LONGEST: usize = 107;

/// What an address can say about a socket file.
const FILE_PARAMETERS: [&str; 3] = ["mode", "owner", "group"];

impl Place {
    pub(crate) fn of(address: &Address) -> Result<Place, TransportError> {
        let error = |problem: String| TransportError::address(address, SCHEME, problem);
        let (place, length) = match address.location() {
            Location::Path(path) => (Place::File(path.clone()), path.as_os_str().as_bytes().len()),
            Location::Abstract(name) => (Place::Abstract(name.clone()), name.len()),
            _ => return Err(error("write unix:///absolute/path or unix:@name".to_owned())),
        };
        if length > LONGEST {
            return Err(error(format!("its path has {length} bytes, a socket's may have {LONGEST}")));
        }
        for (key, _) in address.parameters() {
            if !FILE_PARAMETERS.contains(&key) {
                return Err(error(format!(
                    "it has no parameter {key:?}; there are {}",
                    FILE_PARAMETERS.join(", ")
                )));
            }
            if matches!(place, Place::Abstract(_)) {
                return Err(error(format!("an abstract name has no {key}: it would keep nobody out")));
            }
        }
        Ok(place)
    }

    /// As tokio and the kernel take it: an abstract name behind a zero byte.
    pub(crate) fn to_path(&self) -> PathBuf {
        match self {
            Place::File(path) => path.clone(),
            Place::Abstract(name) => PathBuf::from(OsString::from_vec([b"\0", name.as_bytes()].concat())),
        }
    }

    /// The socket file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Place::File(path) => Some(path),
            Place::Abstract(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, String> {
        Place::of(&text.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn files_and_abstract_names_are_told_apart() {
        assert_eq!(place("unix:///run/a"), Ok(Place::File("/run/a".into())));
        assert_eq!(place("unix:@a"), Ok(Place::Abstract("a".into())));
        assert_eq!(Place::Abstract("a".into()).to_path().as_os_str().as_bytes(), b"\0a");
        assert!(place("unix://run/a").unwrap_err().contains("absolute"));
        assert!(place("unix:///run/a?x=1").unwrap_err().contains("\"x\""));
    }

    #[test]
    fn a_path_that_is_too_long_says_so() {
        assert!(place(&format!("unix:///{}", "a".repeat(106))).is_ok());
        assert!(place(&format!("unix:///{}", "a".repeat(107))).unwrap_err().contains("108 bytes"));
        assert!(place(&format!("unix:@{}", "a".repeat(107))).is_ok());
        assert!(place(&format!("unix:@{}", "a".repeat(108))).is_err());
    }
}
