//! Certificates in files, and programs that are given them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use certgen::{Algorithm, AuthorityConfig, CertificateAuthority, Credentials, LeafConfig, Profile};

/// The algorithms for TLS.
pub(crate) const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::P256,
    Algorithm::P384,
    Algorithm::Ed25519,
    Algorithm::Rsa2048,
    Algorithm::Rsa3072,
    Algorithm::Rsa4096,
];

/// Those whose keys are made in no time; larger RSA keys take seconds without optimization.
pub(crate) const FAST: [Algorithm; 4] =
    [Algorithm::P256, Algorithm::P384, Algorithm::Ed25519, Algorithm::Rsa2048];

/// An authority, a server and a client that it signed.
pub(crate) struct Mutual {
    pub(crate) authority: CertificateAuthority,
    pub(crate) server: Credentials,
    pub(crate) client: Credentials,
}

impl Mutual {
    pub(crate) fn new(algorithm: Algorithm) -> Mutual {
        let config = AuthorityConfig::default().with_algorithm(algorithm);
        let authority = CertificateAuthority::new(&config).unwrap();
        let issue = |name, profile| {
            let config = LeafConfig::new([name]).unwrap().with_profile(profile).with_algorithm(algorithm);
            authority.issue(&config).unwrap()
        };
        let (server, client) = (issue("localhost", Profile::Server), issue("alice", Profile::Client));
        Mutual { authority, server, client }
    }

    /// In the files `ca.pem`, `server.pem` and `client.pem`.
    pub(crate) fn write(&self, folder: &Folder) {
        folder.write("ca.pem", &self.authority.certificate().pem());
        folder.write("server.pem", &self.server.combined_pem());
        folder.write("client.pem", &self.client.combined_pem());
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs a program here to its end, and answers what it said on both outputs; it has to go well.
    pub(crate) fn run(&self, command: &str) -> String {
        let (went_well, said) = self.try_run(command);
        assert!(went_well, "{command}: {said}");
        said
    }

    /// Runs a program here to its end: whether it went well, and what it said.
    pub(crate) fn try_run(&self, command: &str) -> (bool, String) {
        let output = self.command(command).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// A command, cut at its spaces, in this folder.
    pub(crate) fn command(&self, command: &str) -> Command {
        // A limit on its time, so that a test ends: far more than it takes on a busy machine.
        let mut made = Command::new("timeout");
        made.arg("120").args(command.split(' ')).current_dir(self.0.path());
        made
    }
}

/// A program that runs until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it and waits for a line that has `mark`, which is answered.
    pub(crate) fn start(mut command: Command, mark: &'static str) -> (Running, String) {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap();
        let (found, line) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let found = found.clone();
            // Reads on to the end, so that the program never waits for room.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if line.contains(mark) {
                        let _ = found.send(line);
                    }
                }
            });
        }
        let line = line.recv_timeout(Duration::from_secs(60)).expect("the program says that it is ready");
        (Running(child), line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `timeout` passes it on; a KILL would leave its child behind.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}
