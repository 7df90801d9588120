//! The tour of the project, and an echo server and its client to try it with: see README.md.
#![forbid(unsafe_code)]

mod certificates;
mod cli;
mod echo;
mod event_log;
mod passwd;
mod passwords;
mod problem;
mod proofs;
mod send;
mod serve;
mod signals;
mod tour;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use problem::{Problem, chain};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => tour::run(cli.json).await,
        Some(Command::Serve(options)) => serve::run(options).await,
        Some(Command::Send(options)) => send::run(options).await,
        Some(Command::Passwd(options)) => passwd::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // As with `quickstart | head`: whoever read the output has seen enough.
        Err(problem) if is_output_closed(&problem) => ExitCode::SUCCESS,
        Err(problem) => {
            // If stderr is gone too, the exit code is all that can be told.
            let _ = writeln!(io::stderr(), "quickstart: {}", chain(&*problem));
            ExitCode::FAILURE
        }
    }
}

/// Only writing to stdout fails with a bare `io::Error` of this kind; those of connections come wrapped.
fn is_output_closed(problem: &Problem) -> bool {
    problem.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
