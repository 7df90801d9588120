//! The table that finds a transport by its scheme.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Transport;

/// The transports that a program uses, found by scheme.
///
/// Built by the caller, never global; the facade crate `transport` builds one of all transports that it was compiled
/// with.
///
/// # Examples
///
/// ```
/// use transport_core::{Transports, mem::MemTransport, tcp::TcpTransport};
/// let transports = Transports::new().with(TcpTransport::new()).with(MemTransport::new());
/// assert!(transports.lookup("tcp").is_ok());
/// assert_eq!(
///     transports.lookup("tpc").err().unwrap().to_string(),
///     "there is no transport for the scheme \"tpc\"; known are mem, tcp"
/// );
/// ```
#[derive(Clone, Default)]
pub struct Transports {
    by_scheme: BTreeMap<&'static str, Arc<dyn Transport>>,
    hints: BTreeMap<&'static str, &'static str>,
}

impl Transports {
    /// An empty table.
    pub fn new() -> Transports {
        Transports::default()
    }

    /// Adds a transport under its scheme; a later one replaces an earlier one.
    #[must_use]
    pub fn with(mut self, transport: impl Transport + 'static) -> Transports {
        self.by_scheme.insert(transport.scheme(), Arc::new(transport));
        self
    }

    /// Says what to do about a scheme that this program was built without.
    #[must_use]
    pub fn with_hint(mut self, scheme: &'static str, hint: &'static str) -> Transports {
        self.hints.insert(scheme, hint);
        self
    }

    /// The transport for a scheme.
    ///
    /// # Errors
    ///
    /// [`UnknownScheme`] says which ones there are, and what to do if the scheme is known elsewhere.
    pub fn lookup(&self, scheme: &str) -> Result<&Arc<dyn Transport>, UnknownScheme> {
        self.by_scheme.get(scheme).ok_or_else(|| UnknownScheme {
            scheme: scheme.to_owned(),
            known: self.by_scheme.keys().copied().collect::<Vec<_>>().join(", "),
            hint: self.hints.get(scheme).copied(),
        })
    }

    /// The schemes that can be used.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.by_scheme.keys().copied()
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_scheme.keys()).finish()
    }
}

/// There is no transport for the scheme of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScheme {
    scheme: String,
    known: String,
    hint: Option<&'static str>,
}

impl std::error::Error for UnknownScheme {}

impl fmt::Display for UnknownScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hint {
            Some(hint) => write!(f, "the scheme {:?} is not in this build: {hint}", self.scheme),
            None => {
                write!(f, "there is no transport for the scheme {:?}; known are {}", self.scheme, self.known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_is_not_built_in_names_its_feature() {
        let transports =
            Transports::new().with_hint("tls", "enable the feature `tls` of the crate `transport`");
        let error = transports.lookup("tls").err().unwrap().to_string();
        assert_eq!(
            error,
            "the scheme \"tls\" is not in this build: enable the feature `tls` of the crate `transport`"
        );
    }
}
