//! The property list in READY and INITIATE (RFC 37/ZMTP, section "Metadata").
//!
//! ```text
//! properties = *( name-length(1) name value-length(4) value )
//! ```

use bytes::{Buf, Bytes};

use super::Refusal;
use crate::claims::Claims;

/// Appends the list.
///
/// # Panics
///
/// When a name is longer than 255 bytes or a value than 4 GiB.
pub fn encode(claims: &Claims, out: &mut Vec<u8>) {
    for (name, value) in claims.iter() {
        out.push(u8::try_from(name.len()).expect("property names are at most 255 bytes"));
        out.extend_from_slice(name.as_bytes());
        let length = u32::try_from(value.len()).expect("property values are less than 4 GiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
    }
}

/// Reads the list; `token` is named in the error.
///
/// # Errors
///
/// When a name or value is cut off, or a name is not UTF-8.
pub fn decode(mut bytes: Bytes, token: &'static str) -> Result<Claims, Refusal> {
    let malformed = |problem| Refusal::Malformed { token, problem };
    let mut claims = Claims::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes.get_u8());
        if bytes.len() < length + 4 {
            return Err(malformed("a property's name or length is cut off"));
        }
        let name = bytes.split_to(length);
        let name = std::str::from_utf8(&name).map_err(|_| malformed("a property's name is not UTF-8"))?;
        let length = usize::try_from(bytes.get_u32()).unwrap_or(usize::MAX);
        if bytes.len() < length {
            return Err(malformed("a property's value is cut off"));
        }
        claims.push(name, bytes.split_to(length));
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_read_as_it_is_written_and_never_when_cut() {
        let claims = Claims::new().with("Socket-Type", "DEALER").with("Identity", "").with("x", vec![1; 300]);
        let mut bytes = Vec::new();
        encode(&claims, &mut bytes);
        assert_eq!(decode(bytes.clone().into(), "READY").unwrap(), claims);
        let whole = [0, 22, 35, bytes.len()]; // where one property ends and the next begins
        for cut in (0..bytes.len()).filter(|cut| !whole.contains(cut)) {
            assert!(decode(bytes[..cut].to_vec().into(), "READY").is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(bytes.into(), "READY");
        }
    }
}
