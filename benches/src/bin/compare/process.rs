//! The sides of a measurement that need a process of their own: this program, started again in a role.
//!
//! A child is told its job in the environment, and the two talk in lines of JSON over its stdin and stdout.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::job::{Job, Result};
use crate::pin;

/// The bytes of a process that are in memory.
pub(crate) fn memory(id: u32) -> Result<u64> {
    let pages = fs::read_to_string(format!("/proc/{id}/statm"))?;
    let pages: u64 = pages.split(' ').nth(1).ok_or("statm has another form")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// How long the threads of a process have been on a core.
pub(crate) fn cpu_nanoseconds(id: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let times = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += times.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(sum)
}

/// As many open files as this user may have, for this process.
pub(crate) fn allow_many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// What a child does: its name, and the function that runs in it.
pub(crate) type Role = (&'static str, fn(&Job, &mut Parent) -> Result<()>);

/// Tells a process its role, and its job.
const ROLE: &str = "COMPARE_ROLE";
const JOB: &str = "COMPARE_JOB";
/// Which core it is pinned to, if any.
const CORE: &str = "COMPARE_CORE";
/// A child that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process in a role; it ends with this value.
pub(crate) struct Child {
    role: &'static str,
    process: Process,
    input: ChildStdin,
    lines: mpsc::Receiver<io::Result<String>>,
}

impl Child {
    /// Starts this program in a role, on one core or on all.
    pub(crate) fn start((role, _): Role, job: &Job, core: Option<usize>) -> Result<Child> {
        let mut command = Command::new(env::current_exe()?);
        command.env(ROLE, role).env(JOB, serde_json::to_string(job)?);
        if let Some(core) = core {
            command.env(CORE, core.to_string());
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().ok_or("the child has no stdin")?;
        let output = BufReader::new(process.stdout.take().ok_or("the child has no stdout")?);
        let (sender, lines) = mpsc::channel();
        // Ends with the child, or when nobody listens any more.
        thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
        Ok(Child { role, process, input, lines })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Says something to the child.
    pub(crate) fn tell(&mut self, value: &impl Serialize) -> Result<()> {
        say(&mut self.input, value).map_err(|error| format!("{}: {error}", self.role).into())
    }

    /// Waits for what the child says next.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let said: std::result::Result<T, String> = serde_json::from_str(&line?)?;
                said.map_err(|error| format!("{}: {error}", self.role).into())
            }
            Err(RecvTimeoutError::Timeout) => Err(format!("{}: silent", self.role).into()),
            Err(RecvTimeoutError::Disconnected) => Err(format!("{}: it ended", self.role).into()),
        }
    }

    /// Says something, and waits for the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, value: &impl Serialize) -> Result<T> {
        self.tell(value)?;
        self.hear()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The process that started this one.
pub(crate) struct Parent {
    input: io::StdinLock<'static>,
}

impl Parent {
    /// Waits for what the parent says next; an error when it is gone.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Says something to the parent.
    pub(crate) fn tell(&mut self, value: &impl Serialize) -> Result<()> {
        say(&mut io::stdout().lock(), &std::result::Result::<_, ()>::Ok(value))
    }
}

/// Plays the role that this process was started in; `None` if it was started by a person.
pub(crate) fn play(roles: &[Role]) -> Option<Result<()>> {
    let role = env::var(ROLE).ok()?;
    let played = play_role(&role, roles);
    if let Err(error) = &played {
        // The parent hears why; if it is gone, nobody does.
        let said: std::result::Result<(), _> = Err(error.to_string());
        let _parent_gone = say(&mut io::stdout().lock(), &said);
    }
    Some(played)
}

fn play_role(role: &str, roles: &[Role]) -> Result<()> {
    let (_, run) = roles.iter().find(|(name, _)| *name == role).ok_or("there is no such role")?;
    if let Ok(core) = env::var(CORE) {
        pin::this_thread_to(core.parse()?)?;
    }
    let job: Job = serde_json::from_str(&env::var(JOB)?)?;
    run(&job, &mut Parent { input: io::stdin().lock() })
}

fn say(to: &mut impl io::Write, value: &impl Serialize) -> Result<()> {
    writeln!(to, "{}", serde_json::to_string(value)?)?;
    Ok(to.flush()?)
}
