//! The program `openssl`, as a peer of our TLS and as a maker of certificates that nobody should use.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::skip::skip_unless_required;

/// The program, where it is installed.
#[derive(Clone, Copy, Debug)]
pub struct Openssl(());

impl Openssl {
    /// The program; without it the current test says that it is skipped.
    ///
    /// # Panics
    ///
    /// Without it, when `INTEROP=required` is set.
    pub fn installed() -> Option<Openssl> {
        let version = std::process::Command::new("openssl").arg("version").output();
        if version.is_ok_and(|output| output.status.success()) {
            return Some(Openssl(()));
        }
        skip_unless_required("openssl is not installed");
        None
    }

    /// Runs a command to its end, in `folder`.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn run(self, folder: &Path, arguments: &str) {
        let output = command(arguments.split_whitespace()).current_dir(folder).output().await;
        let output = output.expect("openssl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}:\n{said}");
    }

    /// Starts a command that goes on, in `folder`: `s_client` or `s_server`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(self, folder: &Path, arguments: &str) -> OpensslPeer {
        let mut command = command(arguments.split_whitespace());
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl starts");
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        OpensslPeer { stdin: Some(stdin), stdout: BufReader::new(stdout).lines(), child, seen: String::new() }
    }
}

/// `openssl s_client` or `s_server`, as it runs.
#[derive(Debug)]
pub struct OpensslPeer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    seen: String,
}

impl OpensslPeer {
    /// Says a line.
    ///
    /// # Panics
    ///
    /// When it does not listen.
    pub async fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has not been told the end");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("openssl listens");
        stdin.flush().await.expect("openssl listens");
    }

    /// Waits for a line with this text, and returns it.
    ///
    /// # Panics
    ///
    /// When it ends before.
    pub async fn hear(&mut self, text: &str) -> String {
        loop {
            let line = tokio::time::timeout(LONGEST, self.stdout.next_line()).await;
            match line.unwrap_or_else(|_| panic!("no line with {text:?} after:\n{}", self.seen)) {
                Ok(Some(line)) if line.contains(text) => return line,
                Ok(Some(line)) => self.seen = format!("{}{line}\n", self.seen),
                other => {
                    let errors = self.errors().await;
                    panic!(
                        "{other:?} instead of a line with {text:?}; before:
{}
{errors}",
                        self.seen
                    );
                }
            }
        }
    }

    /// Tells it the end of its input, waits for its own, and returns all that it has said and was not heard yet.
    pub async fn end(mut self) -> String {
        drop(self.stdin.take());
        self.said().await
    }

    /// Waits for its end with its input open, and returns all that it has said and was not heard yet.
    pub async fn said(&mut self) -> String {
        let mut said = std::mem::take(&mut self.seen);
        while let Ok(Ok(Some(line))) = tokio::time::timeout(LONGEST, self.stdout.next_line()).await {
            said.push_str(&line);
            said.push('\n');
        }
        said + &self.errors().await
    }

    async fn errors(&mut self) -> String {
        let mut errors = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _late = tokio::time::timeout(LONGEST, stderr.read_to_end(&mut errors)).await;
        }
        String::from_utf8_lossy(&errors).into_owned()
    }
}

fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).kill_on_drop(true);
    command
}

const LONGEST: Duration = Duration::from_secs(20);
