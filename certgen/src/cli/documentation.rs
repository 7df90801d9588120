//! `certgen man` and `certgen completions`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use certgen::Error;
use clap::CommandFactory as _;

use super::Outcome;
use super::arguments::{Cli, CompletionsOptions, ManOptions};

pub(crate) fn man(options: &ManOptions) -> Outcome {
    let folder = options.folder.as_deref();
    let written = match folder {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder),
        None => page(),
    };
    let path = folder.unwrap_or(Path::new("the man page")).to_owned();
    written.map_err(|source| Error::Io { action: "write", path, source })?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    // As with `certgen man | head`: whoever read it has seen enough.
    let _ = io::stdout().write_all(&page);
    Ok(())
}

pub(crate) fn completions(options: &CompletionsOptions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "certgen", &mut script);
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}
