//! A Python interpreter that has what `requirements.txt` lists.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::skip::skip_unless_required;

/// A Python interpreter in a virtual environment with the packages of `requirements.txt`.
///
/// The environment is made by the first test that needs it, once for all test programs, and made again when
/// `requirements.txt` changes or its interpreter no longer works.
#[derive(Clone, Debug)]
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// The interpreter whose environment is below `folder`; tests give `env!("CARGO_TARGET_TMPDIR")`.
    ///
    /// `None` where there is none and none can be made; that has been said then, see [`skip`](crate::skip).
    ///
    /// # Panics
    ///
    /// When there is none and `INTEROP=required` is set.
    pub fn with_packages(folder: &str) -> Option<Python> {
        static MADE: OnceLock<Result<Python, String>> = OnceLock::new();
        let made = MADE.get_or_init(|| environment(Path::new(folder)));
        SINCE.get_or_init(Instant::now);
        match made {
            Ok(python) => Some(python.clone()),
            Err(why) => {
                skip_unless_required(why);
                None
            }
        }
    }

    /// A command that runs a script of `peers/`.
    pub(crate) fn script(&self, name: &str, uid: Option<u32>) -> Command {
        let mut command = match uid {
            None => Command::new(&self.interpreter),
            Some(uid) => {
                let mut command = Command::new("setpriv");
                let id = uid.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
                command.arg(&self.interpreter);
                command
            }
        };
        // -B: the source folder is not the place for compiled modules.
        command.args(["-B", "-u"]).arg(Path::new(PEERS).join(name));
        command
    }
}

/// Since when this program has its environment, or knows that there is none.
static SINCE: OnceLock<Instant> = OnceLock::new();

pub(crate) fn environment_since() -> Option<tokio::time::Instant> {
    SINCE.get().copied().map(tokio::time::Instant::from_std)
}

fn environment(folder: &Path) -> Result<Python, String> {
    let io = |what: &str, error: std::io::Error| format!("cannot {what} in {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(|error| io("make a folder", error))?;
    // Test programs run beside each other: the first one makes the environment, the others wait for it here.
    let lock =
        File::create(folder.join("interop-venv.lock")).map_err(|error| io("make a lock file", error))?;
    lock.lock().map_err(|error| io("lock", error))?;

    let venv = folder.join("interop-venv");
    let stamp = venv.join("requirements.txt");
    let python = Python { interpreter: venv.join("bin").join("python") };
    let log = folder.join("interop-venv.log");
    let is_made = fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == REQUIREMENTS);
    if is_made && run(Command::new(&python.interpreter).args(["-c", "import zmq"]), &log).is_ok() {
        return Ok(python);
    }

    if venv.exists() {
        fs::remove_dir_all(&venv).map_err(|error| io("remove the old environment", error))?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv), &log)?;
    let mut pip = Command::new(&python.interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
    pip.args(["--retries", "4", "--timeout", "15", "--requirement"]).arg(REQUIREMENTS_PATH);
    run(&mut pip, &log)?;
    // Last: an environment without it is one that was not finished.
    fs::write(&stamp, REQUIREMENTS).map_err(|error| io("write", error))?;
    Ok(python)
}

/// Runs a command to its end, or says what is wrong with it.
fn run(command: &mut Command, log: &Path) -> Result<(), String> {
    let name = format!("{command:?}").replace('"', "");
    let output = File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = output.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    match wait(command) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => {
            let said = fs::read_to_string(log).unwrap_or_default();
            let last = said.trim().lines().next_back().unwrap_or("nothing");
            Err(format!("`{name}` failed with {status}, and said: {last}"))
        }
        Ok(None) => Err(format!("`{name}` took longer than {SET_UP_TIME:?}")),
        Err(error) => Err(format!("`{name}` cannot be run: {error}")),
    }
}

/// `None` when it took too long and was ended.
fn wait(command: &mut Command) -> std::io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let deadline = Instant::now() + SET_UP_TIME;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

const SET_UP_TIME: Duration = Duration::from_secs(180);
const REQUIREMENTS: &str = include_str!("../requirements.txt");
const REQUIREMENTS_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/requirements.txt");
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
