//! A program whose input and output are lines.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A program as it runs, such as `openssl s_client`, which is talked with in lines. It is killed when this is dropped.
#[derive(Debug)]
pub struct LinePeer {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    seen: String,
}

impl LinePeer {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(mut command: Command) -> LinePeer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        LinePeer { stdin: Some(stdin), stdout: BufReader::new(stdout).lines(), child, seen: String::new() }
    }

    /// Says a line.
    ///
    /// # Panics
    ///
    /// When it does not listen.
    pub async fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has not been told the end");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
        stdin.flush().await.expect("it listens");
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

const LONGEST: Duration = Duration::from_secs(60);
