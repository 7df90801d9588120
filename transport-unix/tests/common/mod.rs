//! What several test files need.
#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

use std::io::{BufRead as _, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use transport_core::{Connect, Connection, Limits, Listen, Policy, Transports};
use transport_unix::UnixTransport;

/// What a ZMTP 3.1 client with NULL sends first.
pub const GREETING: &[u8; 64] = b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A READY with the property X-Descriptors.
pub fn ready(descriptors: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [(&b"Socket-Type"[..], &b"DEALER"[..]), (b"X-Descriptors", descriptors)] {
        body.push(u8::try_from(name.len()).expect("the test is set up"));
        body.extend_from_slice(name);
        body.extend_from_slice(&u32::try_from(value.len()).expect("the test is set up").to_be_bytes());
        body.extend_from_slice(value);
    }
    [&[4, u8::try_from(body.len()).expect("the test is set up")][..], &body].concat()
}

/// Connects to an abstract name with nothing of ours in between.
pub fn connect_raw(name: &str) -> UnixStream {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).expect("the test is set up"))
        .expect("the test is set up")
}

/// Sends bytes in one call, with descriptors.
pub fn send_raw(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    assert_eq!(sent, Ok(bytes.len()));
}

/// Both ends of a connection, the connecting one first, which take so many descriptors with a message.
pub async fn connected(test: &str, near: usize, far: usize) -> (Connection, Connection) {
    let transports = Transports::new().with(UnixTransport::new());
    let address = format!("unix:@transport-unix-{test}-{}", std::process::id());
    let limits = |descriptors| Limits::default().with_descriptors(descriptors);
    let listen = Listen::new(&transports, &address).policy(Policy::same_user()).limits(limits(far));
    let mut server = listen.start().await.expect("the test is set up");
    let client = Connect::new(&transports, &address).server(Policy::same_user()).limits(limits(near));
    let (client, accepted) = tokio::join!(client, server.accept());
    (client.expect("the test is set up"), accepted.expect("the test is set up"))
}

/// Nothing here takes this long, even on a busy machine, unless it hangs.
pub const NET: Duration = Duration::from_secs(60);

pub async fn bounded<T>(future: impl Future<Output = T>) -> T {
    let net = tokio::time::timeout(NET, future);
    net.await.expect("it hangs")
}

/// This test program once more, running one of its tests that are ignored otherwise.
pub struct Process {
    process: Child,
    outcomes: mpsc::Receiver<String>,
}

impl Process {
    pub fn start(test: &str, set_up: impl FnOnce(&mut Command)) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        set_up(command.args([test, "--exact", "--ignored", "--nocapture"]).stdin(Stdio::piped()));
        Process::of(command)
    }

    /// By a command that runs it.
    pub fn of(mut command: Command) -> Process {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("start this program");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (sender, outcomes) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test harness may have begun the line.
                if let Some(start) = line.find("outcome: ") {
                    let _gone = sender.send(line[start..].to_owned());
                }
            }
        });
        Process { process, outcomes }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    /// Waits for the next line with an outcome, and returns what follows there.
    pub fn says(&mut self, outcome: &str) -> String {
        let said = self.outcomes.recv_timeout(NET).expect("an outcome");
        said.strip_prefix(outcome).unwrap_or_else(|| panic!("{said:?} instead of {outcome:?}")).to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _status = self.process.wait();
    }
}
