//! The process at the other end: held, so that it is not mistaken for another one with its pid.

mod common;

use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use common::{Process, bounded, connected};
use transport_core::{Connect, Identity, Listen, Policy, Server, Transports};
use transport_unix::{UnixConfig, UnixTransport};

#[tokio::test]
async fn both_sides_hold_the_process_at_the_other_end() {
    let (near, far) = connected("process-both", 0, 0).await;
    for connection in [&near, &far] {
        let Some(process) = process_or_skip(connection.identity()) else { return };
        assert!(process.is_running().unwrap());
        assert_eq!(pid_in(process.as_fd()), i32::try_from(std::process::id()).unwrap());
    }
    // It is no part of who the peer is.
    assert_eq!(near.identity(), far.identity());
}

#[tokio::test]
async fn a_process_that_need_not_be_held_is_not() {
    let config = UnixConfig::default().with_hold_process(false);
    let transports = Transports::new().with(UnixTransport::with_config(config));
    let address = format!("unix:@transport-unix-not-held-{}", std::process::id());
    let mut server = Listen::new(&transports, &address).policy(Policy::same_user()).start().await.unwrap();
    let client = Connect::new(&transports, &address).server(Policy::same_user());
    let (near, far) = tokio::join!(client, server.accept());
    assert!(near.unwrap().identity().process().is_none() && far.unwrap().identity().process().is_none());
}

#[tokio::test]
async fn a_process_that_has_ended_is_known_to_have() {
    let mut server = serve("ended").await;
    let mut peer = peer("ended");
    let connection = bounded(server.accept()).await.unwrap();
    let Some(process) = process_or_skip(connection.identity()).cloned() else { return };
    assert!(process.is_running().unwrap());
    drop(peer.stdin());
    assert_eq!(peer.says("outcome: "), "gone");
    drop(peer);
    assert!(!process.is_running().unwrap());
    // Also by the identity of the connection, which is still there.
    assert!(!connection.identity().process().unwrap().is_running().unwrap());
}

#[test]
fn a_pid_that_is_used_again_is_not_taken_for_the_peer() {
    // In a namespace of its own for processes, which says what the next pid is.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["in_a_namespace", "--exact", "--ignored", "--nocapture"]);
    let permitted = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status();
    if !permitted.is_ok_and(|status| status.success()) {
        return skip("this process may not make namespaces");
    }
    command.env("PEER_PROCESS_NAMESPACE", "yes").stdin(Stdio::null());
    match Process::of(command).says("outcome: ").as_str() {
        "told apart" => {}
        "unwritable" => skip("the next pid cannot be chosen"),
        "no pidfd" => skip("the kernel gives no pidfd of a peer"),
        other => panic!("{other}"),
    }
}

/// The part of the test above within the namespace.
#[tokio::test]
#[ignore = "another test starts it"]
async fn in_a_namespace() {
    if std::env::var("PEER_PROCESS_NAMESPACE").is_err() {
        return;
    }
    let mut server = serve("reused").await;
    let mut peer = peer("reused");
    let connection = bounded(server.accept()).await.unwrap();
    let identity = connection.identity();
    let pid = identity.credentials().unwrap().pid.unwrap();
    assert_eq!(i32::try_from(peer.id()), Ok(pid));
    let Some(process) = identity.process() else { return println!("outcome: no pidfd") };
    assert!(process.is_running().unwrap());
    drop(peer.stdin());
    assert_eq!(peer.says("outcome: "), "gone");
    drop(peer);

    // Threads take pids too, so it may take another try.
    for _ in 0..1000 {
        if fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).is_err() {
            return println!("outcome: unwritable");
        }
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let same_pid = i32::try_from(other.id()) == Ok(pid);
        if same_pid {
            assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "another process has the peer's pid");
            assert!(!process.is_running().unwrap(), "and is not taken for the peer");
        }
        other.kill().unwrap();
        other.wait().unwrap();
        if same_pid {
            return println!("outcome: told apart");
        }
    }
    println!("outcome: the pid was never used again");
}

/// The peer, which ends with its input.
#[tokio::test]
#[ignore = "other tests start it"]
async fn a_peer() {
    let Ok(address) = std::env::var("PEER_PROCESS_ADDRESS") else { return };
    let transports = Transports::new().with(UnixTransport::new());
    let connection = Connect::new(&transports, address).server(Policy::same_user()).await.unwrap();
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    drop(connection);
    println!("outcome: gone");
}

/// An abstract name of this run: others may be under way, one of them within a namespace where it has the same pid.
fn address(test: &str) -> String {
    static RUN: OnceLock<u128> = OnceLock::new();
    let since = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let run = RUN.get_or_init(|| since().expect("it is later than 1970").as_nanos());
    format!("unix:@transport-unix-process-{test}-{}-{run}", std::process::id())
}

async fn serve(test: &str) -> Server {
    let transports = Transports::new().with(UnixTransport::new());
    Listen::new(&transports, address(test)).policy(Policy::same_user()).start().await.expect("listen")
}

fn peer(test: &str) -> Process {
    Process::start("a_peer", |command| {
        command.env("PEER_PROCESS_ADDRESS", address(test));
    })
}

/// The process; says so, past the test harness's capture, where the kernel does not tell.
fn process_or_skip(identity: &Identity) -> Option<&transport_core::PeerProcess> {
    if identity.process().is_none() {
        skip("the kernel gives no pidfd of a peer");
    }
    identity.process()
}

fn skip(why: &str) {
    writeln!(std::io::stderr(), "skipped: {why}").expect("standard error");
}

/// The pid that a pidfd tells of.
fn pid_in(pidfd: std::os::fd::BorrowedFd<'_>) -> i32 {
    use std::os::fd::AsRawFd as _;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("its fdinfo");
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    pid.trim().parse().expect("a number")
}
