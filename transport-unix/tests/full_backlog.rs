//! Connecting while many others wait already.

use std::future::Future as _;
use std::pin::pin;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use transport_core::{Address, Transport as _};
use transport_unix::UnixTransport;

#[tokio::test]
async fn a_connect_waits_while_the_backlog_is_full() {
    let Full { address, listener, .. } = &Full::new();
    let transport = UnixTransport::new();
    let mut connecting = pin!(transport.connect(address));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut connecting).await;
    assert!(early.is_err(), "there was no room, and yet: {early:?}");

    let _first = listener.accept().unwrap();
    let connected = tokio::time::timeout(Duration::from_secs(60), connecting).await;
    connected.expect("there is room now").unwrap();
}

#[tokio::test]
async fn a_connect_that_waits_fails_when_the_listener_goes() {
    let Full { address, listener, _waiting, _directory } = Full::new();
    let transport = UnixTransport::new();
    let mut connecting = pin!(transport.connect(&address));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(connecting.as_mut().poll(&mut context).is_pending());
    drop(listener);
    let connected = tokio::time::timeout(Duration::from_secs(60), connecting).await;
    let error = connected.expect("an answer").unwrap_err();
    assert!(error.to_string().contains("a.sock"), "{error}");
}

/// Such a server may have been stopped, and then a blocking connect to it takes for ever.
#[tokio::test]
async fn a_server_that_has_no_room_is_there_all_the_same() {
    let full = Full::new();
    let address = full.address.clone();
    // In a thread of its own, so that the test ends if it blocks.
    let (done, outcome) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listening = runtime.block_on(UnixTransport::new().listen(&address));
        let _nobody_waits_any_more = done.send(listening.map(drop).map_err(|error| error.to_string()));
    });
    let outcome = outcome.recv_timeout(Duration::from_secs(60)).expect("an answer");
    let error = outcome.expect_err("the place is taken");
    assert!(error.contains("a.sock") && full.listener.accept().is_ok(), "{error}");
}

/// A listener that has no room for another connection.
struct Full {
    address: Address,
    listener: Socket,
    _waiting: Vec<Socket>,
    _directory: tempfile::TempDir,
}

impl Full {
    fn new() -> Full {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.sock");
        let place = SockAddr::unix(&path).expect("a short path");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        listener.bind(&place).expect("the path is free");
        listener.listen(1).expect("it is bound");
        let address = format!("unix://{}", path.display()).parse().expect("an address");
        Full { address, listener, _waiting: fill(&place), _directory: directory }
    }
}

/// Connects until the kernel says that there is no room.
fn fill(place: &SockAddr) -> Vec<Socket> {
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("set nonblocking");
        match socket.connect(place) {
            Ok(()) => waiting.push(socket),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return waiting,
            Err(error) => panic!("{error}"),
        }
    }
}
