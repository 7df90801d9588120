//! Who may open a socket file: its mode, owner and group.

use std::fmt;

use nix::unistd::{Group, User};
use rustix::fs::{Gid, Uid};
use transport_core::{Address, TransportError};

use crate::config::UnixConfig;
use crate::place::SCHEME;

/// What a socket file is given before anyone can connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    /// Another owner than this process.
    pub(crate) owner: Option<Uid>,
    /// Another group than that of this process.
    pub(crate) group: Option<Gid>,
}

impl Access {
    /// What the address says, and where it says nothing, the settings.
    pub(crate) fn of(address: &Address, config: &UnixConfig) -> Result<Access, TransportError> {
        let error = |problem: String| TransportError::address(address, SCHEME, problem);
        let owner = address.parameter("owner").or(config.owner.as_deref());
        let group = address.parameter("group").or(config.group.as_deref());
        Ok(Access {
            mode: mode(address)?.unwrap_or(config.mode),
            owner: owner.map(uid).transpose().map_err(error)?.map(Uid::from_raw),
            group: group.map(gid).transpose().map_err(error)?.map(Gid::from_raw),
        })
    }
}

/// The mode that the address asks for.
pub(crate) fn mode(address: &Address) -> Result<Option<u32>, TransportError> {
    let Some(mode) = address.parameter("mode") else {
        return Ok(None);
    };
    let parsed = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o777 && !mode.starts_with('+'));
    let problem = || format!("the mode {mode:?} is not octal permission bits such as 0660");
    parsed.map(Some).ok_or_else(|| TransportError::address(address, SCHEME, problem()))
}

fn uid(text: &str) -> Result<u32, String> {
    match number(text) {
        Some(number) => number,
        None => found("user", text, User::from_name(text).map(|user| user.map(|user| user.uid.as_raw()))),
    }
}

fn gid(text: &str) -> Result<u32, String> {
    match number(text) {
        Some(number) => number,
        None => {
            found("group", text, Group::from_name(text).map(|group| group.map(|group| group.gid.as_raw())))
        }
    }
}

/// An id that is written as a number. The largest one means "leave it" to the kernel.
fn number(text: &str) -> Option<Result<u32, String>> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| {
        let id = text.parse().ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| format!("{text} is too large for an id"))
    })
}

fn found<E: fmt::Display>(kind: &str, name: &str, id: Result<Option<u32>, E>) -> Result<u32, String> {
    match id {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(format!("there is no {kind} {name:?} on this host")),
        Err(error) => Err(format!("cannot look the {kind} {name:?} up: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(text: &str) -> Result<Access, String> {
        let config = UnixConfig::default().with_mode(0o640).with_group("7");
        Access::of(&text.parse().unwrap(), &config).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_are_octal_permission_bits() {
        assert_eq!(access("unix:///a?mode=0660").unwrap().mode, 0o660);
        assert_eq!(access("unix:///a").unwrap().mode, 0o640);
        for bad in ["unix:///a?mode=8", "unix:///a?mode=1777", "unix:///a?mode=", "unix:///a?mode=%2B7"] {
            assert!(access(bad).unwrap_err().contains("octal"), "{bad}");
        }
    }

    #[test]
    fn owners_and_groups_are_names_or_numbers() {
        let given = access("unix:///a?owner=root&group=12").unwrap();
        assert_eq!((given.owner, given.group), (Some(Uid::ROOT), Some(Gid::from_raw(12))));
        let given = access("unix:///a").unwrap();
        assert_eq!((given.owner, given.group), (None, Some(Gid::from_raw(7))));
        assert_eq!(access("unix:///a?group=root").unwrap().group, Some(Gid::ROOT));
    }

    #[test]
    fn an_owner_or_group_that_there_is_not_is_named() {
        for (text, problem) in [
            ("unix:///a?owner=no-such-one", "there is no user \"no-such-one\" on this host"),
            ("unix:///a?group=no-such-one", "there is no group \"no-such-one\" on this host"),
            ("unix:///a?owner=", "there is no user \"\" on this host"),
            ("unix:///a?owner=-1", "there is no user \"-1\" on this host"),
            ("unix:///a?owner=4294967295", "4294967295 is too large for an id"),
            ("unix:///a?group=4294967296", "4294967296 is too large for an id"),
        ] {
            assert!(access(text).unwrap_err().ends_with(problem), "{text}: {:?}", access(text));
        }
    }
}
