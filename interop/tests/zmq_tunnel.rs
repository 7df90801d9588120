//! Byte streams through a stock zmq_proxy: `zmq+tcp` and `zmq+unix` on both sides of it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use interop::{Peer, Python, bounded};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport::core::{BoxStream, Connect, Established, Listen, RawServer, Transports, tcp::TcpTransport};
use transport::{Policy, unix::UnixTransport};
use transport_zmq::ZmqTransport;

/// A proxy, and the transports that go through it.
struct Between {
    proxy: Peer,
    frontend: String,
    backend: String,
    transports: Transports,
    _folder: TempDir,
}

impl Between {
    async fn start(python: &Python, scheme: &str, drop: Option<u32>) -> Between {
        let folder = tempfile::tempdir().unwrap();
        let places = match scheme {
            "tcp" => ["tcp://127.0.0.1:*".to_owned(), "tcp://127.0.0.1:*".to_owned()],
            _ => ["front", "back"].map(|name| format!("ipc://{}/{name}", folder.path().display())),
        };
        let mut proxy = Peer::start(python, "zmq_proxy_peer.py");
        let request = json!({"do": "proxy", "frontend": places[0], "backend": places[1], "drop": drop});
        let answer = proxy.ask(request).await;
        let ours = |end: &str| {
            let end = answer[end].as_str().unwrap();
            format!("zmq+{}", end.replacen("ipc:", "unix:", 1))
        };
        let transports = Transports::new()
            .with(ZmqTransport::new("zmq+tcp", TcpTransport::new()))
            .with(ZmqTransport::new("zmq+unix", UnixTransport::new()));
        let (frontend, backend) = (ours("frontend"), ours("backend"));
        Between { proxy, frontend, backend, transports, _folder: folder }
    }

    async fn serve(&self) -> RawServer {
        let listen = Listen::new(&self.transports, format!("{}?attach=true", self.backend));
        listen.policy(Policy::danger_anyone()).start_raw().await.unwrap()
    }

    async fn connect(&self) -> Established {
        let address = self.frontend.parse().unwrap();
        let transport =
            self.transports.lookup(if self.frontend.starts_with("zmq+tcp") { "zmq+tcp" } else { "zmq+unix" });
        transport.unwrap().connect(&address).await.unwrap()
    }
}

fn python() -> Option<Python> {
    Python::with_packages(env!("CARGO_TARGET_TMPDIR"))
}

/// Sends back what comes, until the end of the stream, for each stream.
async fn echo(mut server: RawServer) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(connection.into_stream());
            let _cut = tokio::io::copy(&mut read, &mut write).await;
            let _gone = write.shutdown().await;
        });
    }
}

/// Many MiB there and back, with a half-close at the end.
async fn round_trip(stream: BoxStream, seed: u8) {
    const LENGTH: usize = 3 << 20;
    let (mut read, mut write) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..LENGTH).map(|i| seed.wrapping_add((i % 251).try_into().unwrap())).collect();
    let expected = sent.clone();
    let sending = async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let ((), result) = tokio::join!(sending, read.read_to_end(&mut received));
    result.unwrap();
    assert!(received == expected, "the bytes are not those that were sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_through_a_proxy_side_by_side() {
    let Some(python) = python() else { return };
    for scheme in ["tcp", "ipc"] {
        bounded(async {
            let between = Between::start(&python, scheme, None).await;
            tokio::spawn(echo(between.serve().await));
            let mut trips = tokio::task::JoinSet::new();
            for seed in 0..8 {
                trips.spawn(round_trip(between.connect().await.stream, seed));
            }
            while let Some(trip) = trips.join_next().await {
                trip.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn messages_of_our_own_framing_pass_through_a_proxy() {
    let Some(python) = python() else { return };
    bounded(async {
        let between = Between::start(&python, "ipc", None).await;
        let listen = Listen::new(&between.transports, format!("{}?attach=true", between.backend));
        let mut server = listen.policy(Policy::same_user()).start().await.unwrap();
        let client = Connect::new(&between.transports, &between.frontend).server(Policy::same_user());
        let (client, served) = tokio::join!(client, server.accept());
        let (mut client, mut served) = (client.unwrap(), served.unwrap());
        // It is the proxy that the kernel knows, and whoever runs it.
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(served.identity().to_string(), format!("uid:{uid}"));
        let pid = served.identity().credentials().unwrap().pid;
        assert_eq!(pid, i32::try_from(between.proxy.pid()).ok());
        client.send("through a proxy").await.unwrap();
        let message = served.recv().await.unwrap().unwrap();
        assert_eq!(message.to_text(), Some("through a proxy"));
        served.send(&message).await.unwrap();
        assert_eq!(client.recv().await.unwrap().unwrap(), message);
        client.close().await.unwrap();
        assert!(served.recv().await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_message_that_a_proxy_drops_is_noticed_on_both_sides() {
    let Some(python) = python() else { return };
    bounded(async {
        let between = Between::start(&python, "tcp", Some(5)).await;
        let mut server = between.serve().await;
        let (near, far) = tokio::join!(between.connect(), server.accept());
        let (mut near, mut far) = (near.stream, far.unwrap().into_stream());
        let sending = tokio::spawn(async move {
            loop {
                // Its end of the stream is told, and fails too.
                if let Err(error) = far.write_all(&[7; 10_000]).await {
                    return error.to_string();
                }
            }
        });
        let mut received = Vec::new();
        let error = near.read_to_end(&mut received).await.unwrap_err();
        assert!(error.to_string().contains("lost"), "{error}");
        assert!(received.len() < 1 << 20 && received.iter().all(|byte| *byte == 7));
        assert!(sending.await.unwrap().contains("lost"));
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_killed_ends_its_streams_and_the_listener_comes_back() {
    let Some(python) = python() else { return };
    bounded(async {
        let mut between = Between::start(&python, "tcp", None).await;
        let mut server = between.serve().await;
        let (near, far) = tokio::join!(between.connect(), server.accept());
        let (mut near, mut far) = (near.stream, far.unwrap().into_stream());
        near.write_all(b"hello").await.unwrap();
        far.read_exact(&mut [0; 5]).await.unwrap();

        between.proxy.kill().await;
        near.read(&mut [0; 1]).await.unwrap_err();
        far.read(&mut [0; 1]).await.unwrap_err();

        // Another one takes its place, as soon as its addresses are free.
        let (front, back) = (between.frontend.replace("zmq+", ""), between.backend.replace("zmq+", ""));
        between.proxy = Peer::start(&python, "zmq_proxy_peer.py");
        let request = json!({"do": "proxy", "frontend": front, "backend": back});
        between.proxy.ask(request).await;
        // Until the listener is back the proxy's DEALER keeps what it gets.
        let (near, far) = tokio::join!(between.connect(), server.accept());
        let (mut near, mut far) = (near.stream, far.unwrap().into_stream());
        far.write_all(b"back").await.unwrap();
        let mut read = [0; 4];
        tokio::time::timeout(Duration::from_secs(10), near.read_exact(&mut read)).await.unwrap().unwrap();
        assert_eq!(&read, b"back");
    })
    .await;
}
