//! What ends the program early, for a person to read.

use std::error::Error;

/// Any error: nothing here acts on one, a person reads it.
pub(crate) type Problem = Box<dyn Error + Send + Sync>;

/// The error and its causes in one line; a cause that the error has already told is not told again.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
