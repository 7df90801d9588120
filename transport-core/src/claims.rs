//! What a peer merely says of itself.

use bytes::Bytes;

/// Properties that a peer says of itself: nothing here is proven, and no policy looks at it.
///
/// In ZMTP these are the properties of the peer's READY or INITIATE command (`Socket-Type`, `Identity`, `X-...`),
/// and with a transport's additions such as the name that a TLS client asked for. Names are compared without case
/// (RFC 37/ZMTP); of equal names the last one counts, as in libzmq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    properties: Vec<(String, Bytes)>,
}

impl Claims {
    /// No claims.
    pub fn new() -> Claims {
        Claims::default()
    }

    /// Adds a property.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.properties.push((name.into(), value.into()));
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Claims {
        self.push(name, value);
        self
    }

    /// The value of the property with this name, whatever its case.
    pub fn value(&self, name: &str) -> Option<&Bytes> {
        self.properties.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value as text, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All properties in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.properties.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }

    pub(crate) fn extend(&mut self, other: Claims) {
        self.properties.extend(other.properties);
    }
}
