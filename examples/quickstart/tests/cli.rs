//! The program as a user runs it.
#![allow(clippy::unwrap_used)] // the helpers are tests too

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use certgen::{AuthorityConfig, CertificateAuthority, LeafConfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes, even on a busy machine: whatever takes longer hangs.
const LONGEST: Duration = Duration::from_secs(60);

// --- the tour

#[test]
fn the_tour_ends_well_and_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let output = finish(quickstart().env("TMPDIR", directory.path()));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "the kernel (SO_PEERCRED)",
        "user:alice  proven by PLAIN",
        "dns:client.example proven by a certificate (TLS)",
        "no trusted authority has",
        "anonymous",
        "wrong password or unknown user",
        "the peer refused this side",
        "messages per second",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    // The lines that name the program are as long as its path.
    let program = env!("CARGO_BIN_EXE_quickstart");
    let too_long = text.lines().find(|line| line.chars().count() > 80 && !line.contains(program));
    assert_eq!(too_long, None);
    assert!(is_empty(directory.path()));
}

#[test]
fn the_tour_as_json_can_be_read() {
    let output = finish(quickstart().arg("--json"));
    let tour: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(tour["peers"].as_array().unwrap().len(), 6);
    assert_eq!(tour["peers"][2]["server_sees"]["identity"], "user:alice");
    let identities = tour["router"].as_array().unwrap().iter().map(|peer| peer["identity"].as_str().unwrap());
    let kinds: Vec<&str> = identities.map(|identity| identity.split(':').next().unwrap()).collect();
    assert_eq!(kinds, ["uid", "dns", "curve"], "one ROUTER knows all three");
    assert_eq!(tour["refusals"].as_array().unwrap().len(), 6);
    for timing in tour["timings"].as_array().unwrap() {
        assert!(timing["round_trip_p50_us"].as_f64().unwrap() > 0.0);
        assert!(timing["messages_per_second"].as_u64().unwrap() > 0);
    }
}

#[test]
fn an_interrupted_tour_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let mut tour = Running::start(quickstart().env("TMPDIR", directory.path()));
    // It has made its directory before it tells of anybody.
    while !tour.line().contains("unix://") {}
    tour.signal(Signal::TERM);
    let (code, stderr) = tour.end();
    assert_eq!((code, stderr.as_str()), (Some(1), "quickstart: interrupted\n"));
    assert!(is_empty(directory.path()));
}

#[test]
fn a_tour_without_room_for_its_files_says_so() {
    let output = finish(quickstart().env("TMPDIR", "/nonexistent"));
    assert_fails(&output, 1, "cannot make a directory");
}

// --- serve and send

#[test]
fn messages_come_back_over_tcp() {
    let mut server = Server::start(&["tcp://127.0.0.1:0", "--allow", "anyone"]);
    let output = send(&server.address, &["--server", "anyone", "hello", "grün"]);
    assert_eq!(answers(&output), ["hello", "grün"]);

    let accepted = server.event("accepted");
    assert_eq!(accepted["identity"], "anonymous");
    assert!(accepted["source"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(accepted["time"].as_f64().unwrap() > 1.7e9);
    let closed = server.event("closed");
    assert_eq!(
        (&closed["connection"], &closed["identity"]),
        (&accepted["connection"], &accepted["identity"])
    );
    assert_eq!(closed["reason"], "the peer closed the connection");
    assert_eq!((&closed["messages_in"], &closed["messages_out"]), (&2.into(), &2.into()));
    assert_eq!(closed["bytes_in"], closed["bytes_out"]);
}

#[test]
fn messages_come_back_over_unix_and_the_user_is_known() {
    let directory = TempDir::new().unwrap();
    let address = format!("unix://{}/echo.sock", directory.path().display());
    let rule = format!("uid:{}", rustix::process::geteuid().as_raw());
    let mut server = Server::start(&[&address, "--allow", "uid:12345", "--allow", &rule]);
    assert_eq!(server.address, address);
    let output = send(&address, &["--multipart", "buy", "3 apples", ""]);
    assert_eq!(answers(&output), ["buy\t3 apples\t"]);
    let output = send(&address, &["--req", "a", "b"]);
    assert_eq!(answers(&output), ["a", "b"]);

    let accepted = server.event("accepted");
    assert_eq!(accepted["identity"], *rule);
    assert_eq!(accepted["proofs"][0]["by"], "the kernel (SO_PEERCRED)");

    server.running.signal(Signal::TERM);
    assert_eq!(server.running.end(), (Some(0), String::new()));
    assert!(is_empty(directory.path()), "the socket file is still there");
}

#[test]
fn a_password_makes_a_user_and_a_wrong_one_does_not() {
    let directory = TempDir::new().unwrap();
    let users = password_file(&directory, "users", "# the team\nalice:open sesame\nbob:x\n", 0o600);
    let guess = password_file(&directory, "guess", "alice:guessed", 0o600);
    let address = format!("unix://{}/echo.sock", directory.path().display());
    let mut server = Server::start(&[&address, "--plain-file", &users, "--allow", "user:alice"]);

    assert_eq!(answers(&send(&address, &["--plain-file", &users, "hello"])), ["hello"]);
    assert_eq!(server.event("accepted")["identity"], "user:alice");

    let output = send(&address, &["--plain-file", &guess, "hello"]);
    assert_fails(&output, 1, "wrong password");
    let reason = server.event("refused")["reason"].to_string();
    assert!(reason.contains("wrong password or unknown user"), "{reason}");

    assert_fails(&send(&address, &["hello"]), 1, "");
    let reason = server.event("refused")["reason"].to_string();
    assert!(reason.contains("the peer wants the mechanism NULL"), "{reason}");
}

#[test]
fn a_user_that_passwd_made_logs_in_without_sending_the_password() {
    let directory = TempDir::new().unwrap();
    let passwords = directory.path().join("passwords").display().to_string();
    let passwd = |arguments: &[&str], password: &str| {
        let mut child =
            quickstart().args(["passwd", &passwords]).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        child.wait().unwrap().success()
    };
    assert!(passwd(&["alice", "--iterations", "4096"], "open sesame"));
    assert_eq!(fs::metadata(&passwords).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&passwords).unwrap().contains("open sesame"));
    assert!(passwd(&["bob", "--iterations", "4096"], "x"));
    assert!(!passwd(&["bob", "--iterations", "1"], "x"));

    let address = abstract_name("scram");
    let mut server = Server::start(&[&address, "--allow", "user:alice", "--password-file", &passwords]);
    let right = password_file(&directory, "right", "alice:open sesame\n", 0o600);
    let wrong = password_file(&directory, "wrong", "alice:guessed\n", 0o600);
    // SCRAM proves the server too: it knows alice's password.
    let output = send(&address, &["hello", "--scram-file", &right, "--server", "user:alice"]);
    assert_eq!(answers(&output), ["hello"]);
    assert_eq!(server.event("accepted")["identity"], "user:alice");
    assert_fails(&send(&address, &["hello", "--scram-file", &wrong, "--server", "user:alice"]), 1, "refused");
    // The running server reads the file again.
    assert!(passwd(&["alice", "--delete"], ""));
    assert_fails(&send(&address, &["hello", "--scram-file", &right, "--server", "user:alice"]), 1, "refused");
}

#[test]
fn certificates_tell_who_is_who_over_tls() {
    let directory = TempDir::new().unwrap();
    let authority = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let stranger = CertificateAuthority::new(&AuthorityConfig::default()).unwrap();
    let pem = |issuer: &CertificateAuthority, file: &str, name: &str| {
        let own = issuer.issue(&LeafConfig::new([name]).unwrap()).unwrap();
        password_file(&directory, file, &own.combined_pem(), 0o600)
    };
    let ca = password_file(&directory, "ca.pem", &authority.certificate().pem(), 0o644);
    let (server_pem, alice) =
        (pem(&authority, "server.pem", "localhost"), pem(&authority, "alice.pem", "alice"));
    let mallory = pem(&stranger, "mallory.pem", "alice");
    let options = ["tls://127.0.0.1:0", "--cert", &server_pem, "--ca", &ca, "--allow", "dns:alice"];
    let mut server = Server::start(&options);
    let address = format!("{}?name=localhost", server.address);
    let output = send(&address, &["--cert", &alice, "--ca", &ca, "hello"]);
    assert_eq!(answers(&output), ["hello"]);
    assert_eq!(server.event("accepted")["identity"], "dns:alice");

    let output = send(&address, &["--cert", &mallory, "--ca", &ca, "hello"]);
    assert_fails(&output, 1, "it does not accept this side's certificate");
    let reason = server.event("refused")["reason"].to_string();
    assert!(reason.contains("no trusted authority has issued the certificate"), "{reason}");
    let output = send(&server.address, &["--cert", &alice, "--ca", &ca, "hello"]);
    assert_fails(&output, 1, "the certificate is for localhost, not for 127.0.0.1");
    assert_fails(&send(&address, &["hello"]), 1, "nothing says whom to trust");
}

#[test]
fn the_three_commands_of_the_readme_make_mutual_tls() {
    let directory = TempDir::new().unwrap();
    let pki = directory.path().join("pki").display().to_string();
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let readme = fs::read_to_string(format!("{workspace}/README.md")).unwrap();
    let commands = readme.split("Mutual TLS in three commands").nth(1).unwrap().lines().map(str::trim);
    let commands: Vec<_> = commands.filter_map(|line| line.strip_prefix("cargo run --release -p ")).collect();
    let [make, serve, send] = commands[..3] else { unreachable!() };
    // As a shell takes them; the folder and the port are the test's own.
    let arguments = |command: &str, address: &str| -> Vec<String> {
        let words = command.split_once(" -- ").unwrap().1.split(' ').map(|word| word.trim_matches('\''));
        words.map(|word| word.replace("pki", &pki).replace("tls://127.0.0.1:5555", address)).collect()
    };
    assert!(
        make.starts_with("certgen ") && serve.starts_with("quickstart ") && send.starts_with("quickstart ")
    );
    let certgen = Path::new(env!("CARGO_BIN_EXE_quickstart")).with_file_name("certgen");
    if !certgen.exists() {
        // Its own tests build it; these alone do not.
        let mut build = Command::new(env!("CARGO"));
        let release = if cfg!(debug_assertions) { &[][..] } else { &["--release"] };
        build.args(["build", "-q", "-p", "certgen"]).args(release).current_dir(workspace);
        assert!(build.status().unwrap().success());
    }
    let mut certgen = Command::new(certgen);
    certgen.args(arguments(make, "")).stdin(Stdio::null());
    assert!(answers(&finish(&mut certgen))[0].starts_with(&format!("{pki}/ca.pem: ")));

    let serve = arguments(serve, "tls://127.0.0.1:0");
    let serve: Vec<_> = serve.iter().map(String::as_str).collect();
    let mut server = Server::start(&serve[1..]);
    let output = finish(quickstart().args(arguments(send, &server.address)));
    assert_eq!(answers(&output), ["hello"]);
    assert_eq!(server.event("accepted")["identity"], "dns:alice");
}

#[test]
fn without_allow_everyone_is_refused_and_the_log_says_why() {
    let mut server = Server::start(&["tcp://127.0.0.1:0"]);
    let output = send(&server.address, &["--server", "anyone", "hello"]);
    assert_fails(&output, 1, "the server refused this client");
    let refused = server.event("refused");
    assert_eq!(refused["reason"], "anonymous is not allowed by the policy (nobody)");
    assert_eq!(refused["identity"], "anonymous");

    server.running.signal(Signal::INT);
    let (code, stderr) = server.running.end();
    assert_eq!(code, Some(0));
    assert!(stderr.contains("without --allow every peer is refused"), "{stderr}");
}

#[test]
fn a_server_of_somebody_else_gets_no_message() {
    let server = Server::start(&[&abstract_name("other"), "--allow", "anyone"]);
    let output = send(&server.address, &["--server", "uid:12345", "secret"]);
    assert_fails(&output, 1, "the server is not whom --server allows");
}

#[test]
fn a_broken_peer_does_not_end_the_server() {
    let mut server = Server::start(&["tcp://127.0.0.1:0", "--allow", "anyone"]);
    let place = server.address.trim_start_matches("tcp://").to_owned();
    let mut broken = TcpStream::connect(&place).unwrap();
    broken.write_all(b"GET / HTTP/1.1\r\nHost: somebody-who-is-lost\r\n\r\n").unwrap();
    assert!(server.event("refused")["reason"].is_string());
    let output = send(&server.address, &["--server", "anyone", "hello"]);
    assert_eq!(answers(&output), ["hello"]);
}

#[test]
fn the_server_ends_with_its_last_line_also_while_a_peer_stays() {
    let mut server = Server::start(&["tcp://127.0.0.1:0", "--allow", "anyone"]);
    let _idle = TcpStream::connect(server.address.trim_start_matches("tcp://")).unwrap();
    server.running.signal(Signal::TERM);
    assert_eq!(server.event("stopped")["cut"], 0);
    assert_eq!(server.running.end(), (Some(0), String::new()));
}

#[test]
fn the_server_ends_quietly_when_nobody_reads_its_log() {
    let mut server = Server::start(&["tcp://127.0.0.1:0", "--allow", "anyone"]);
    server.running.stop_reading();
    // Each one is an event, and one of them finds the log closed.
    let deadline = Instant::now() + LONGEST;
    while !server.running.has_ended() {
        assert!(Instant::now() < deadline, "it goes on");
        let _ = TcpStream::connect(server.address.trim_start_matches("tcp://"));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.running.end(), (Some(0), String::new()));
}

// --- mistakes

#[test]
fn mistakes_on_the_command_line_say_what_to_write() {
    for (arguments, message) in [
        (&["serve", "localhost:80"][..], "does not start with a scheme"),
        (&["serve", "ipc:///run/a"], "unix:///path"),
        (&["serve", "mem://a"], "tcp:// or unix:"),
        (&["serve", "tcp://127.0.0.1:0", "--allow", "root"], "\"root\" is not a rule"),
        (&["send", "tcp://127.0.0.1:1"], "<TEXT>"),
        (&["send", "unix:@a", "x", "--server", "uid:me"], "the id must be a number"),
        (&["send", "unix:@a", "x", "--timeout", "soon"], "such as 5 or 0.5"),
    ] {
        assert_fails(&finish(quickstart().args(arguments)), 2, message);
    }
    for (arguments, message) in [
        (&["serve", "tcp://nowhere"][..], "write tcp://host:port"),
        (&["send", "tcp://127.0.0.1:1", "x"], "write --server anyone"),
    ] {
        assert_fails(&finish(quickstart().args(arguments)), 1, message);
    }
}

#[test]
fn a_password_file_that_others_can_read_is_not_used() {
    let directory = TempDir::new().unwrap();
    let open = password_file(&directory, "open users", "alice:secret", 0o644);
    let output = finish(quickstart().args(["serve", "unix:@quickstart-unused", "--plain-file", &open]));
    assert_fails(&output, 1, &format!("run: chmod 600 '{open}'"));
    let output = send("unix:@quickstart-unused", &["--plain-file", &open, "x"]);
    assert_fails(&output, 1, "mode 0644");

    let missing = directory.path().join("missing").display().to_string();
    let output = send("unix:@quickstart-unused", &["--plain-file", &missing, "x"]);
    assert_fails(&output, 1, "cannot open ");
    let bad = password_file(&directory, "bad", "secret", 0o600);
    let output = send("unix:@quickstart-unused", &["--plain-file", &bad, "x"]);
    assert_fails(&output, 1, "line 1 of the password file");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
}

#[test]
fn a_password_does_not_go_over_tcp_unless_it_is_spelled_out() {
    let directory = TempDir::new().unwrap();
    let users = password_file(&directory, "users", "alice:secret", 0o600);
    let arguments = ["tcp://127.0.0.1:0", "--plain-file", &users, "--allow", "user:alice"];
    let output = finish(quickstart().arg("serve").args(arguments));
    assert_fails(&output, 1, "--danger-plaintext");

    let server = Server::start(&[&arguments[..], &["--danger-plaintext"]].concat());
    let arguments = ["--server", "anyone", "--plain-file", &users, "hello"];
    assert_fails(&send(&server.address, &arguments), 1, "--danger-plaintext");
    let output = send(&server.address, &[&arguments[..], &["--danger-plaintext"]].concat());
    assert_eq!(answers(&output), ["hello"]);
}

#[test]
fn sending_to_nobody_fails() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = send(&format!("tcp://{free}"), &["--server", "anyone", "hello"]);
    assert_fails(&output, 1, "cannot connect to");
    assert_fails(&send(&abstract_name("nobody"), &["hello"]), 1, "cannot connect to");
}

#[test]
fn sending_to_somebody_who_is_silent_fails_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", silent.local_addr().unwrap());
    let start = Instant::now();
    let output = send(&address, &["--server", "anyone", "--timeout", "0.2", "hello"]);
    assert_fails(&output, 1, "within 200ms");
    assert!(start.elapsed() < LONGEST / 4, "{:?}", start.elapsed());
}

#[test]
fn sending_with_retry_waits_for_a_server_that_is_away() {
    let address = abstract_name("away");
    let mut sending = Running::start(quickstart().args(["send", &address, "--retry", "hello", "again"]));
    let mut told = BufReader::new(sending.child.stderr.take().unwrap()).lines();
    while !told.next().unwrap().unwrap().starts_with("next attempt in") {}
    let _server = Server::start(&[&address, "--allow", "anyone"]);
    assert_eq!((sending.line(), sending.line()), ("hello".to_owned(), "again".to_owned()));
    assert!(told.any(|line| line.unwrap().starts_with("connected to")));
    assert!(sending.wait().success());
}

// --- helpers

fn quickstart() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.stdin(Stdio::null());
    command
}

fn send(address: &str, arguments: &[&str]) -> Output {
    finish(quickstart().arg("send").arg(address).args(arguments))
}

/// Runs a command that ends by itself.
fn finish(command: &mut Command) -> Output {
    let mut running = Running::start(command);
    let mut stdout = Vec::new();
    while let Ok(line) = running.lines.recv_timeout(LONGEST) {
        stdout.extend(line.into_bytes());
        stdout.push(b'\n');
    }
    let status = running.wait();
    Output { status, stdout, stderr: running.stderr().into_bytes() }
}

fn answers(output: &Output) -> Vec<&str> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap().lines().collect()
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    // Where a line is broken depends on the length of paths.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&stderr).contains(&words(message)), "{message:?} is not in: {stderr}");
    assert!(output.stdout.is_empty());
}

fn password_file(directory: &TempDir, name: &str, text: &str, mode: u32) -> String {
    let path: PathBuf = directory.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}

fn abstract_name(name: &str) -> String {
    format!("unix:@quickstart-test-{}-{name}", std::process::id())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// A program under way; it does not outlive its test.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(0);
        // Ends, and closes the pipe, when the program has ended or nobody wants to read on.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Running { child, lines }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        match self.lines.recv_timeout(LONGEST) {
            Ok(line) => line,
            Err(error) => panic!("no line: {error}; {}", self.stderr_if_ended()),
        }
    }

    fn stop_reading(&mut self) {
        self.lines = mpsc::sync_channel(0).1;
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + LONGEST;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.wait().unwrap()
    }

    /// The exit code and what it wrote to stderr.
    fn end(&mut self) -> (Option<i32>, String) {
        while self.lines.recv_timeout(LONGEST).is_ok() {}
        (self.wait().code(), self.stderr())
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn stderr_if_ended(&mut self) -> String {
        if self.has_ended() { self.stderr() } else { "it goes on".to_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `quickstart serve`, listening.
struct Server {
    running: Running,
    address: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let mut running = Running::start(quickstart().arg("serve").args(arguments));
        let first: Value = serde_json::from_str(&running.line()).unwrap();
        assert_eq!(first["event"], "listening");
        let address = first["address"].as_str().unwrap().to_owned();
        Server { running, address }
    }

    /// The next event of this kind.
    #[track_caller]
    fn event(&mut self, kind: &str) -> Value {
        loop {
            let event: Value = serde_json::from_str(&self.running.line()).unwrap();
            if event["event"] == kind {
                return event;
            }
        }
    }
}
