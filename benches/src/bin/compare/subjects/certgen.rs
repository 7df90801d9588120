//! Making a self-signed P-256 certificate: the `certgen` command, and the `openssl` command that does the same.
//!
//! A message is a certificate here, and a round trip a run of the command, from the start of its process to its end. `certgen`
//! waits until its file has reached the disk and `openssl` does not: in a folder in memory they do the same work, and on the disk
//! the difference is in the number.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::job::{Job, Outcome, Result};

/// `certgen FILE`, in memory.
pub(crate) fn ours(job: &Job) -> Result<Outcome> {
    run(job, &memory(), certgen()?)
}

/// `certgen FILE`, on the disk.
pub(crate) fn ours_on_disk(job: &Job) -> Result<Outcome> {
    run(job, &std::env::temp_dir(), certgen()?)
}

/// `openssl req -x509`, in memory.
pub(crate) fn openssl(job: &Job) -> Result<Outcome> {
    run(job, &memory(), openssl_command())
}

/// `openssl req -x509`, on the disk.
pub(crate) fn openssl_on_disk(job: &Job) -> Result<Outcome> {
    run(job, &std::env::temp_dir(), openssl_command())
}

/// Key and certificate in one file.
fn certgen() -> Result<Command> {
    let mut command = Command::new(beside_this_program()?);
    command.args(["--quiet", MADE]);
    Ok(command)
}

/// Key and certificate in two files.
fn openssl_command() -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"]);
    command.args(["-days", "397", "-keyout", "key.pem", "-out", MADE]);
    command
}

/// Runs a command so many times, each in a new folder below this one, and checks that it made its file.
fn run(job: &Job, parent: &Path, mut command: Command) -> Result<Outcome> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut trips = Vec::new();
    for _ in 0..job.count {
        let folder = tempfile::tempdir_in(parent)?;
        command.current_dir(folder.path());
        let start = Instant::now();
        let status = command.status().map_err(|error| format!("{command:?} cannot be run: {error}"))?;
        trips.push(start.elapsed());
        if !status.success() || !folder.path().join(MADE).is_file() {
            return Err(format!("{command:?} made nothing: {status}").into());
        }
    }
    Ok(Outcome::Trips(trips))
}

/// Where files are in memory; without such a place, on the disk.
fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn beside_this_program() -> Result<PathBuf> {
    let certgen = std::env::current_exe()?.with_file_name("certgen");
    if certgen.is_file() {
        return Ok(certgen);
    }
    Err(format!("there is no {}: build it first, `cargo build --release -p certgen`", certgen.display())
        .into())
}

const MADE: &str = "server.pem";
