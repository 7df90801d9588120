//! The command line: what it takes is in `arguments`, and each command has its own file.

mod arguments;
mod authority;
mod cables;
mod check;
mod csr;
mod documentation;
mod interrupt;
mod leaf;
mod misspelled;
mod mtls;
mod plain;
mod renew;
mod report;
mod revoke;
mod show;
mod sign;

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use arguments::{Cli, Command};
use certgen::Error;

/// What a command comes to: its exit code, or why it failed.
type Outcome = Result<ExitCode, Error>;

pub(crate) fn main() -> ExitCode {
    let cli = parse().unwrap_or_else(|error| {
        let is_check = std::env::args_os().nth(1).is_some_and(|command| {
            command == "check" || misspelled::meant(&command).is_some_and(|meant| meant == "check")
        });
        // To monitoring, 2 means critical, not a wrong command line.
        let _ = error.print();
        std::process::exit(if is_check && error.use_stderr() { check::UNKNOWN } else { error.exit_code() })
    });
    let outcome = match cli.command {
        None => plain::run(&cli.plain),
        Some(Command::Mtls(options)) => mtls::run(&options),
        Some(Command::Ca(options)) => authority::run(&options),
        Some(Command::Leaf(options)) => leaf::run(&options),
        Some(Command::Csr(options)) => csr::run(&options),
        Some(Command::Sign(options)) => sign::run(&options),
        Some(Command::Renew(options)) => renew::run(&options),
        Some(Command::Revoke(options)) => revoke::run(&options),
        Some(Command::Crl(options)) => revoke::refresh(&options),
        Some(Command::Show(options)) => show::run(&options),
        Some(Command::Check(options)) => check::run(&options),
        Some(Command::Cables(options)) => cables::run(&options),
        Some(Command::Man(options)) => documentation::man(&options),
        Some(Command::Completions(options)) => Ok(documentation::completions(&options)),
    };
    outcome.unwrap_or_else(|error| {
        // If stderr is gone too, the exit code is all that can be told.
        let _ = writeln!(io::stderr(), "certgen: {}", chain(&error));
        ExitCode::FAILURE
    })
}

/// Reads the command line; a word that looks like a misspelled command is no file name.
fn parse() -> Result<Cli, clap::Error> {
    let parsed = Cli::try_parse();
    let words: Vec<OsString> = match &parsed {
        Ok(cli) => cli.plain.files.iter().map(|file| file.clone().into_os_string()).collect(),
        // The options of the command that was meant are unknown then.
        Err(error) if error.kind() == ErrorKind::UnknownArgument => {
            std::env::args_os().skip(1).take(1).collect()
        }
        Err(_) => Vec::new(),
    };
    let misspelled = words.iter().find_map(|word| Some((word, misspelled::meant(word)?)));
    misspelled.map_or(parsed, |(word, meant)| Err(misspelled::error(word, &meant)))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
