//! Settings.

/// Settings of a [`UnixTransport`](crate::UnixTransport).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixConfig {
    /// Permission bits of a socket file: who may connect, before any policy is asked. Default 0600: only its owner.
    pub mode: u32,
    /// Owner of a socket file, a name or a number; only root can give files away. Default: the user of this process.
    pub owner: Option<String>,
    /// Group of a socket file, a name or a number; it may connect when the mode lets it, as 0660 does. Default: the group
    /// of this process.
    pub group: Option<String>,
    /// Whether the peer's process is held by a pidfd, for [`Identity::process`](transport_core::Identity::process). It costs
    /// one more open file for each process that is connected (before Linux 6.9: for each connection). Default true.
    pub hold_process: bool,
}

impl Default for UnixConfig {
    fn default() -> UnixConfig {
        UnixConfig { mode: 0o600, owner: None, group: None, hold_process: true }
    }
}

impl UnixConfig {
    /// Sets [`mode`](UnixConfig::mode); bits beyond 0777 are dropped.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> UnixConfig {
        self.mode = mode & 0o777;
        self
    }

    /// Sets [`owner`](UnixConfig::owner).
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<String>) -> UnixConfig {
        self.owner = Some(owner.into());
        self
    }

    /// Sets [`group`](UnixConfig::group).
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> UnixConfig {
        self.group = Some(group.into());
        self
    }

    /// Sets [`hold_process`](UnixConfig::hold_process).
    #[must_use]
    pub fn with_hold_process(mut self, hold: bool) -> UnixConfig {
        self.hold_process = hold;
        self
    }
}
