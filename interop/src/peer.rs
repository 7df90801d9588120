//! A Python script as the other side.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::python::Python;

/// A script of `peers/` as a child process, which answers each line of JSON with one line of JSON.
///
/// It is killed when this is dropped. Whatever goes wrong with it fails the test: the methods panic.
#[derive(Debug)]
pub struct Peer {
    script: String,
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    complaints: File,
}

impl Peer {
    /// Starts the script `peers/<script>`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(python: &Python, script: &str) -> Peer {
        let spawned = Peer::spawn(script, python.script(script, None));
        spawned.unwrap_or_else(|error| panic!("{script} cannot be started: {error}"))
    }

    /// Starts a program that talks in the same way.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start_program(program: &Path) -> Peer {
        let name = program.display().to_string();
        let spawned = Peer::spawn(&name, std::process::Command::new(program));
        spawned.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"))
    }

    /// Starts it as another user, which takes root; `None` without the program `setpriv`.
    ///
    /// It may end at once, since that user may not be able to read it: see [`is_ready`](Peer::is_ready).
    ///
    /// # Panics
    ///
    /// When no temporary file can be made.
    pub fn start_as(uid: u32, python: &Python, script: &str) -> Option<Peer> {
        Peer::spawn(script, python.script(script, Some(uid))).ok()
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the peer runs")
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Panics
    ///
    /// When the script says that there was an error, has ended, or does not answer in time.
    pub async fn ask(&mut self, request: Value) -> Value {
        self.tell(request).await;
        self.answer().await
    }

    /// Sends a request; [`answer`](Peer::answer) waits for the answer.
    ///
    /// # Panics
    ///
    /// When the script has ended.
    pub async fn tell(&mut self, request: Value) {
        let line = format!("{request}\n");
        let told = self.requests.write_all(line.as_bytes()).await;
        if let Err(error) = told.and(self.requests.flush().await) {
            self.fail(&format!("took no request: {error}"));
        }
    }

    /// Waits for the answer to the oldest request not yet answered.
    ///
    /// # Panics
    ///
    /// As [`ask`](Peer::ask).
    pub async fn answer(&mut self) -> Value {
        let line = match self.try_answer().await {
            Ok(Some(line)) => line,
            Ok(None) => self.fail("ended"),
            Err(why) => self.fail(&why),
        };
        let answer = serde_json::from_str::<Value>(&line);
        match answer {
            Ok(answer) if answer.get("error").is_none() => answer,
            _ => self.fail(&format!("said {line}")),
        }
    }

    /// Waits for the script to be ready for requests; `false` when it ended instead.
    ///
    /// Only for who starts it as a user that may not be able to read it: a request waits for the script anyway.
    ///
    /// # Panics
    ///
    /// When neither happens in time.
    pub async fn is_ready(&mut self) -> bool {
        let request = b"{\"do\":\"nothing\"}\n";
        if self.requests.write_all(request).await.is_err() {
            return false;
        }
        match self.try_answer().await {
            Ok(answer) => answer.is_some(),
            Err(why) => self.fail(&why),
        }
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    fn spawn(script: &str, command: std::process::Command) -> std::io::Result<Peer> {
        // A file rather than a pipe: nobody needs to read it for the script to go on.
        let complaints = tempfile::tempfile().expect("a temporary file can be made");
        let shared = complaints.try_clone().expect("a file can be shared");
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(shared)
            .kill_on_drop(true)
            .spawn()?;
        let requests = child.stdin.take().expect("it was asked for");
        let answers = child.stdout.take().expect("it was asked for");
        Ok(Peer {
            script: script.to_owned(),
            child,
            requests,
            answers: BufReader::new(answers).lines(),
            complaints,
        })
    }

    async fn try_answer(&mut self) -> Result<Option<String>, String> {
        match tokio::time::timeout(ANSWER_TIME, self.answers.next_line()).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(format!("cannot be read: {error}")),
            Err(_) => Err(format!("did not answer within {ANSWER_TIME:?}")),
        }
    }

    fn fail(&mut self, what: &str) -> ! {
        let mut said = String::new();
        let read = self.complaints.rewind().and_then(|()| self.complaints.read_to_string(&mut said));
        if let Err(error) = read {
            said = format!("(cannot be read: {error})");
        }
        panic!("the peer {} {what}\nits standard error: {said}", self.script);
    }
}

/// More than the scripts' own deadline, so that they can say what they waited for.
const ANSWER_TIME: Duration = Duration::from_secs(60);
