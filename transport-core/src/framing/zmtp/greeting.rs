//! The greeting: 64 bytes in which both sides name version and mechanism (RFC 37/ZMTP, section "The Greeting").

use crate::framing::{FramingError, Role};
use crate::write_buffer::WriteBuffer;

pub(super) const LENGTH: usize = 64;

/// What a server sends before it knows which mechanism the peer wants: signature and version.
const BEFORE_MECHANISM: usize = 12;
const MECHANISM: std::ops::Range<usize> = 12..32;
const AS_SERVER: usize = 32;

/// What a peer's greeting says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// 0 for ZMTP 3.0 peers; 1 for all later ones.
    pub(super) minor: u8,
    pub(super) mechanism: String,
}

/// Writes the first 12 bytes, which do not depend on the mechanism.
pub(super) fn put_version(out: &mut WriteBuffer) {
    out.put_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]);
}

/// Writes the remaining 52 bytes.
pub(super) fn put_mechanism(mechanism: &str, role: Role, out: &mut WriteBuffer) {
    let mut rest = [0; LENGTH - BEFORE_MECHANISM];
    let name = mechanism.as_bytes();
    let length = name.len().min(MECHANISM.len());
    rest[..length].copy_from_slice(&name[..length]);
    // NULL has no roles. libzmq sends 0 always and looks at nothing.
    rest[AS_SERVER - BEFORE_MECHANISM] = u8::from(role == Role::Server && mechanism != "NULL");
    out.put_slice(&rest);
}

/// Reads the greeting at the front of `bytes`; `None` when it is not complete but right so far.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Greeting>, FramingError> {
    let error = |found: String| FramingError::Protocol { expected: "ZMTP 3", found };
    if let Some(&first) = bytes.first().filter(|first| **first != 0xff) {
        let hint = if first.is_ascii_graphic() { ", perhaps text such as HTTP" } else { "" };
        return Err(error(format!("its first byte is {first:02x}, not ff{hint}")));
    }
    // Only the lowest bit counts, as in libzmq.
    if bytes.get(9).is_some_and(|byte| byte & 1 == 0) {
        return Err(error("it sent a ZMTP 1.0 greeting (libzmq 2)".to_owned()));
    }
    let major = match bytes.get(10) {
        Some(&major) if major < 3 => {
            return Err(error(format!(
                "it announced ZMTP {}.0 (libzmq 3 or older)",
                major.max(1) + u8::from(major == 1)
            )));
        }
        Some(&major) => major,
        None => return Ok(None),
    };
    let Some(greeting) = bytes.get(..LENGTH) else {
        return Ok(None);
    };
    let minor = if major > 3 { 1 } else { greeting[11].min(1) };
    let mechanism = &greeting[MECHANISM];
    let length = mechanism.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mechanism = mechanism[..length].escape_ascii().to_string();
    Ok(Some(Greeting { minor, mechanism }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(mechanism: &str) -> Vec<u8> {
        let mut out = WriteBuffer::new();
        put_version(&mut out);
        put_mechanism(mechanism, Role::Server, &mut out);
        out.to_vec()
    }

    #[test]
    fn a_greeting_is_read_as_it_is_written_and_cut_at_every_byte() {
        let bytes = greeting("PLAIN");
        assert_eq!((bytes.len(), bytes[AS_SERVER]), (LENGTH, 1));
        assert_eq!(greeting("NULL")[AS_SERVER], 0);
        for cut in 0..LENGTH {
            assert_eq!(read(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(read(&bytes), Ok(Some(Greeting { minor: 1, mechanism: "PLAIN".into() })));
    }

    #[test]
    fn versions_are_told_apart_as_soon_as_they_can_be() {
        assert!(read(b"GET / HTTP/1.1").unwrap_err().to_string().contains("HTTP"));
        assert!(read(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7e]).unwrap_err().to_string().contains("1.0"));
        assert!(read(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1]).unwrap_err().to_string().contains("2.0"));
        let mut bytes = greeting("NULL");
        for (major, minor, expected) in [(3, 0, 0), (3, 1, 1), (3, 255, 1), (4, 0, 1), (4, 9, 1)] {
            bytes[10..12].copy_from_slice(&[major, minor]);
            assert_eq!(read(&bytes).unwrap().unwrap().minor, expected);
        }
    }

    #[test]
    fn a_mechanism_with_bytes_in_its_padding_is_not_the_mechanism() {
        let mut bytes = greeting("NULL");
        bytes[20] = b'x';
        assert_eq!(read(&bytes).unwrap().unwrap().mechanism, "NULL\\x00\\x00\\x00\\x00x");
    }
}
