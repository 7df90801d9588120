//! Whether a stream guards what a mechanism leaves open.

use crate::evidence::Protection;
use crate::mechanism::MechanismFactory;

/// A mechanism must not be used over this stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; use tls or unix, a mechanism that seals, or spell danger_plaintext()")]
pub struct UnprotectedError {
    problem: String,
}

/// Checks that a mechanism is strong enough for the stream, or the caller has said that it need not be.
pub(crate) fn check_protection(
    mechanism: &dyn MechanismFactory,
    protection: Protection,
    danger_plaintext: bool,
) -> Result<(), UnprotectedError> {
    let properties = mechanism.properties();
    let name = mechanism.name();
    let problem = match protection {
        _ if danger_plaintext => return Ok(()),
        Protection::None if !properties.seals => {
            format!(
                "anyone on the way could read and change what is sent after {name} over an unprotected stream"
            )
        }
        Protection::None | Protection::Loopback if properties.reveals_secret => {
            format!("{name} would send its password readable to whoever listens at the port")
        }
        _ => return Ok(()),
    };
    Err(UnprotectedError { problem })
}
