//! Settings.

/// Settings of a [`UnixTransport`](crate::UnixTransport).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixConfig {
    /// Permission bits of a socket file: who may connect, before any policy is asked. Default 0600: only its owner.
    pub mode: u32,
    /// Whether the peer's process is held by a pidfd, for [`Identity::process`](transport_core::Identity::process). It costs
    /// one more open file for each connection. Default true.
    pub hold_process: bool,
}

impl Default for UnixConfig {
    fn default() -> UnixConfig {
        UnixConfig { mode: 0o600, hold_process: true }
    }
}

impl UnixConfig {
    /// Sets [`mode`](UnixConfig::mode); bits beyond 0777 are dropped.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> UnixConfig {
        self.mode = mode & 0o777;
        self
    }

    /// Sets [`hold_process`](UnixConfig::hold_process).
    #[must_use]
    pub fn with_hold_process(mut self, hold: bool) -> UnixConfig {
        self.hold_process = hold;
        self
    }
}
