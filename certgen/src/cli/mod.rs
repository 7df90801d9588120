//! The command line: what it takes is in `arguments`, and each command has its own file.

mod arguments;
mod authority;
mod cables;
mod check;
mod csr;
mod documentation;
mod interrupt;
mod leaf;
mod mtls;
mod plain;
mod renew;
mod report;
mod revoke;
mod show;
mod sign;

use std::error::Error as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Cli, Command};
use certgen::Error;

/// What a command comes to: its exit code, or why it failed.
type Outcome = Result<ExitCode, Error>;

pub(crate) fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let is_check = std::env::args_os().nth(1).is_some_and(|command| command == "check");
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
