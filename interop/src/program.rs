//! Programs that other people wrote and that are installed or not.

use std::process::{Command, Stdio};

use crate::skip::skip_unless_required;

/// Whether a program is installed; where it is not, that has been said, see [`skip`](crate::skip).
///
/// # Panics
///
/// When it is not and `INTEROP=required` is set.
pub fn has_program(name: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", name])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        skip_unless_required(&format!("there is no program {name}"));
    }
    found
}
