//! Peers of another user, as the kernel shows them. The other user is a second process, which takes root to start.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use transport_core::{Connect, ConnectError, HandshakeError, Listen, Policy, ServerEvent, Transports};
use transport_unix::UnixTransport;

const OTHER: u32 = 54_321;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_user_is_seen_as_that_user() {
    let Some(address) = address_if_root("seen") else {
        return;
    };
    let mut server = listen(&address, Policy::uid(OTHER)).start().await.unwrap();
    let mut client = Helper::start("connects", &address);
    let mut connection = bounded(server.accept()).await.unwrap();
    assert_eq!(connection.identity().to_string(), format!("uid:{OTHER}"));
    let credentials = connection.identity().credentials().unwrap();
    assert_eq!((credentials.uid, credentials.gid), (OTHER, OTHER));
    assert_eq!(credentials.pid, i32::try_from(client.process.id()).ok());
    let message = bounded(connection.recv()).await.unwrap().unwrap();
    assert_eq!(message.to_text(), Some("hello from the other user"));
    drop(connection);
    client.says("outcome: connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_user_is_refused_by_a_policy_for_root() {
    let Some(address) = address_if_root("refused") else {
        return;
    };
    let mut server = listen(&address, Policy::uid(0)).start().await.unwrap();
    let mut events = server.events();
    let mut client = Helper::start("connects", &address);
    match bounded(events.recv()).await.unwrap() {
        ServerEvent::Refused { identity, reason, .. } => {
            assert_eq!(identity.unwrap().to_string(), format!("uid:{OTHER}"));
            assert!(matches!(*reason, HandshakeError::Denied(_)), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    client.says("outcome: the peer refused this side: 400");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_refuses_a_server_of_another_user() {
    let Some(address) = address_if_root("server") else {
        return;
    };
    let mut server = Helper::start("listens", &address);
    server.says("outcome: listening");
    let connect = Connect::new(&transports(), &address).server(Policy::same_user());
    let error = bounded(connect.into_future()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(HandshakeError::Denied(_))), "{error:?}");
    let denied = format!("uid:{OTHER} is not allowed by the policy (uid:0)");
    assert_eq!(error.to_string(), denied);
    let connect = Connect::new(&transports(), &address).server(Policy::uid(OTHER));
    bounded(connect.into_future()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_cannot_open_a_socket_file_of_mode_0600() {
    let Some(_) = address_if_root("file") else { return };
    let directory = tempfile::tempdir().unwrap();
    let anyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), anyone).unwrap();
    for (mode, outcome) in [("0600", "outcome: cannot connect"), ("0666", "outcome: connected")] {
        let address = format!("unix://{}/{mode}.sock?mode={mode}", directory.path().display());
        let _server = listen(&address, Policy::danger_anyone()).start().await.unwrap();
        Helper::start("connects", &address).says(outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_the_file_is_for_can_open_it_and_no_other() {
    let Some(_) = address_if_root("group") else { return };
    let directory = tempfile::tempdir().unwrap();
    let anyone = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), anyone).unwrap();
    for (group, outcome) in [(OTHER, "outcome: connected"), (OTHER + 1, "outcome: cannot connect")] {
        let address = format!("unix://{}/{group}.sock?mode=0660&group={group}", directory.path().display());
        let _server = listen(&address, Policy::danger_anyone()).start().await.unwrap();
        Helper::start("connects", &address).says(outcome);
    }
}

/// The other user's part, started by the tests above.
#[tokio::test]
#[ignore = "the other tests start it as another user"]
async fn the_other_user() {
    let Ok(part) = std::env::var("OTHER_USER_PART") else {
        return;
    };
    let address = std::env::var("OTHER_USER_ADDRESS").unwrap();
    if part == "listens" {
        let mut server = listen(&address, Policy::danger_anyone()).start().await.unwrap();
        println!("outcome: listening");
        while let Some(connection) = server.accept().await {
            drop(connection);
        }
    }
    match Connect::new(&transports(), &address).server(Policy::danger_anyone()).await {
        Ok(mut connection) => {
            connection.send("hello from the other user").await.unwrap();
            connection.close().await.unwrap();
            println!("outcome: connected");
        }
        Err(error) => println!("outcome: {error}"),
    }
}

/// This test program once more, as the other user.
struct Helper {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Helper {
    fn start(part: &str, address: &str) -> Helper {
        // The program as an open file: the other user may not be able to reach its path.
        let program = File::open(std::env::current_exe().expect("this program")).expect("this program");
        let mut process = Command::new("/proc/self/fd/0")
            .args(["the_other_user", "--exact", "--ignored", "--nocapture"])
            .env("OTHER_USER_PART", part)
            .env("OTHER_USER_ADDRESS", address)
            .current_dir("/")
            .uid(OTHER)
            .gid(OTHER)
            .stdin(program)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start as another user");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        Helper { process, output }
    }

    /// Reads its output up to the line that has the outcome.
    fn says(&mut self, outcome: &str) {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("its output") > 0 {
            if line.contains("outcome: ") {
                assert!(line.contains(outcome), "{line:?} instead of {outcome:?}");
                return;
            }
            line.clear();
        }
        panic!("it ended without an outcome");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _status = self.process.wait();
    }
}

fn transports() -> Transports {
    Transports::new().with(UnixTransport::new())
}

fn listen(address: &str, policy: Policy) -> Listen {
    Listen::new(&transports(), address).policy(policy)
}

/// An address for one test; says so, past the test harness's capture, when the test cannot be run.
fn address_if_root(test: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        writeln!(std::io::stderr(), "skipped: needs root").expect("standard error");
        return None;
    }
    Some(format!("unix:@transport-unix-{test}-{}", std::process::id()))
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    let net = tokio::time::timeout(Duration::from_secs(60), future);
    net.await.expect("it hangs")
}
