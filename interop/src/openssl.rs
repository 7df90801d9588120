//! The program `openssl`, as a peer of our TLS and as a maker of certificates that nobody should use.

use std::ffi::OsStr;
use std::path::Path;

use tokio::process::Command;

use crate::line_peer::LinePeer;
use crate::skip::skip_unless_required;

/// The program, where it is installed.
#[derive(Clone, Copy, Debug)]
pub struct Openssl(());

impl Openssl {
    /// The program; without it the current test says that it is skipped.
    ///
    /// # Panics
    ///
    /// Without it, when `INTEROP=required` is set.
    pub fn installed() -> Option<Openssl> {
        let version = std::process::Command::new("openssl").arg("version").output();
        if version.is_ok_and(|output| output.status.success()) {
            return Some(Openssl(()));
        }
        skip_unless_required("openssl is not installed");
        None
    }

    /// Runs a command to its end, in `folder`.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn run(self, folder: &Path, arguments: &str) {
        let output = command(arguments.split_whitespace()).current_dir(folder).output().await;
        let output = output.expect("openssl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}:\n{said}");
    }

    /// Starts a command that goes on, in `folder`: `s_client` or `s_server`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(self, folder: &Path, arguments: &str) -> LinePeer {
        let mut command = command(arguments.split_whitespace());
        command.current_dir(folder);
        LinePeer::start(command)
    }
}

fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).kill_on_drop(true);
    command
}
