//! What a peer merely says of itself.

use std::fmt;

/// Properties that a peer says of itself: nothing here is proven, and no policy looks at it.
///
/// In ZMTP these are the properties of the peer's READY or INITIATE command (`Socket-Type`, `Identity`, `X-...`),
/// and with a transport's additions such as the name that a TLS client asked for. Names are compared without case
/// (RFC 37/ZMTP); of equal names the last one counts, as in libzmq.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Each property as name length, value length (4 bytes each), name and value: every open connection keeps its
    /// peer's, and one block of memory is less than a dozen. Invariant: nothing is cut off, and names are UTF-8.
    properties: Vec<u8>,
}

impl Claims {
    /// No claims.
    pub fn new() -> Claims {
        Claims::default()
    }

    /// Adds a property.
    ///
    /// # Panics
    ///
    /// When the name or the value has 4 GiB or more.
    pub fn push(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        for length in [name.len(), value.len()] {
            let length = u32::try_from(length).expect("names and values have less than 4 GiB");
            self.properties.extend_from_slice(&length.to_ne_bytes());
        }
        self.properties.extend_from_slice(name.as_bytes());
        self.properties.extend_from_slice(value);
    }

    /// Adds a property.
    ///
    /// # Panics
    ///
    /// As [`push`](Claims::push).
    #[must_use]
    pub fn with(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Claims {
        self.push(name, value);
        self
    }

    /// The value of the property with this name, whatever its case.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).last().map(|(_, value)| value)
    }

    /// The value as text, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All properties in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.properties[..];
        std::iter::from_fn(move || {
            let name_length = take_length(&mut rest)?;
            let value_length = take_length(&mut rest)?;
            let (name, value) = rest.split_at_checked(name_length)?;
            let (value, after) = value.split_at_checked(value_length)?;
            rest = after;
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }

    pub(crate) fn extend(&mut self, other: Claims) {
        self.properties.extend(other.properties);
    }

    /// Gives memory back that is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.properties.shrink_to_fit();
    }
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    usize::try_from(u32::from_ne_bytes(*length)).ok()
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties = self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(properties).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_of_equal_ones_the_last_counts() {
        let mut claims = Claims::new().with("Identity", "a").with("x", vec![0xff, 0]).with("", "");
        claims.extend(Claims::new().with("IDENTITY", "b"));
        assert_eq!(claims.text("identity"), Some("b"));
        assert_eq!((claims.value("X"), claims.text("X")), (Some(&[0xff, 0][..]), None));
        assert_eq!((claims.value(""), claims.value("y")), (Some(&[][..]), None));
        assert_eq!(
            claims.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["Identity", "x", "", "IDENTITY"]
        );
        assert_eq!(format!("{claims:?}"), r#"{"Identity": "a", "x": "\\xff\\x00", "": "", "IDENTITY": "b"}"#);
        assert!(Claims::new().is_empty() && !claims.is_empty());
    }
}
