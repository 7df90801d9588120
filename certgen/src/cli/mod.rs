//! The command line: what it takes is in `arguments`, and each command has its own file.

mod arguments;
mod authority;
mod interrupt;
mod leaf;
mod mtls;
mod plain;
mod report;
mod show;

use std::error::Error as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Cli, Command};
use certgen::Error;

/// What a command comes to: its exit code, or why it failed.
type Outcome = Result<ExitCode, Error>;

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => plain::run(&cli.plain),
        Some(Command::Mtls(options)) => mtls::run(&options),
        Some(Command::Ca(options)) => authority::run(&options),
        Some(Command::Leaf(options)) => leaf::run(&options),
        Some(Command::Show(options)) => show::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        // If stderr is gone too, the exit code is all that can be told.
        let _ = writeln!(io::stderr(), "certgen: {}", chain(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
