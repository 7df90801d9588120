//! Settings.

/// Settings of a [`UnixTransport`](crate::UnixTransport).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixConfig {
    /// Permission bits of a socket file: who may connect, before any policy is asked. Default 0600: only its owner.
    pub mode: u32,
}

impl Default for UnixConfig {
    fn default() -> UnixConfig {
        UnixConfig { mode: 0o600 }
    }
}

impl UnixConfig {
    /// Sets [`mode`](UnixConfig::mode); bits beyond 0777 are dropped.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> UnixConfig {
        self.mode = mode & 0o777;
        self
    }
}
