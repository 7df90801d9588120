//! Words that look like a misspelled command.
//!
//! To `certgen` a word that is no command is the name of a file to make, as to make-dummy-cert: `certgen chek tls` would leave two
//! files with private keys, and no word of what went wrong.

use std::ffi::OsStr;

use clap::CommandFactory as _;
use clap::error::{Error, ErrorKind};

use super::arguments::Cli;

/// What a word was meant to be: a command, or an option that other programs have as a command. `None` for a command, and for
/// what is the name of a file: with a dot or a slash in it, or like no command.
pub(crate) fn meant(word: &OsStr) -> Option<String> {
    let word = word.to_str().filter(|word| !word.contains(['.', '/']))?;
    let cli = Cli::command();
    if cli.find_subcommand(word).is_some() {
        return None;
    }
    let commands = cli.get_subcommands().map(|command| command.get_name().to_owned());
    let options = ["--help", "--version"].map(str::to_owned);
    // The measure, and the threshold, that clap has for its own suggestions.
    let alike = |name: &String| strsim::jaro(word, name.trim_start_matches('-'));
    let candidates =
        commands.chain(options).map(|name| (alike(&name), name)).filter(|(alike, _)| *alike > 0.7);
    candidates.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

/// The error about such a word.
pub(crate) fn error(word: &OsStr, meant: &str) -> Error {
    let word = word.display();
    let message = format!(
        "there is no command `{word}`: did you mean `certgen {meant}`? (for a file of that name: certgen ./{word})"
    );
    Cli::command().error(ErrorKind::InvalidSubcommand, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant_by(word: &str) -> Option<String> {
        meant(OsStr::new(word))
    }

    #[test]
    fn a_slip_of_the_fingers_is_told_from_a_file_name() {
        for (word, command) in [
            ("chek", "check"),
            ("mlts", "mtls"),
            ("tls", "mtls"),
            ("reovke", "revoke"),
            ("serve", "revoke"),
            ("renw", "renew"),
            ("shwo", "show"),
            ("sing", "sign"),
            ("cabels", "cables"),
            ("help", "--help"),
            ("versoin", "--version"),
        ] {
            assert_eq!(meant_by(word).as_deref(), Some(command), "{word}");
        }
        for word in [
            "server", "client", "key", "web", "default", "host1", "proxy", "chek.pem", "./chek", "tls/mlts",
            "check", "",
        ] {
            assert_eq!(meant_by(word), None, "{word}");
        }
    }
}
