//! Recorded exchanges with libzmq, replayed through sockets: a scripted peer writes the bytes of one side, and what a socket of
//! ours writes is compared with those of the other. `tests/vectors/zmtp-wire/`.
//!
//! Those with CURVE are replayed below the sockets, in `src/curve/replay.rs`: a socket makes new keys and nonces for each
//! connection, and nothing may tell it which.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::collections::BTreeMap;

use common::{config, port, secured, tcp, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport_core::mechanism::{Passwords, PlainClient, PlainServer};
use transport_core::{Message, Policy};
use transport_zmq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Security, XPubSocket,
};

const GREETING: usize = 64;

macro_rules! recorded {
    ($name:literal) => {
        Recording::read(include_str!(concat!("vectors/zmtp-wire/", $name, ".txt")))
    };
}

#[tokio::test]
async fn a_router_that_binds_and_the_dealer_that_connects() {
    let recording = recorded!("null-router-bind");
    let mut router = RouterSocket::new(&tcp(), config());
    let address = router.bind("tcp://127.0.0.1:0").await.unwrap();
    let peer = recording.connects_to(port(&address));
    let app = async {
        let (message, peer) = router.recv().await;
        assert_eq!((message, &peer.routing_id()[..]), (message_of(&["hello"]), &b"cli1"[..]));
        router.send_to(b"cli1", &message_of(&["", "world"])).await.unwrap();
    };
    within(async { tokio::join!(peer, app) }).await;

    let mut dealer = DealerSocket::new(&tcp(), config().with_routing_id("cli1").unwrap());
    let (place, peer) = recording.is_connected_to().await;
    dealer.connect(&*place).unwrap();
    let app = async {
        dealer.send("hello").await.unwrap();
        assert_eq!(dealer.recv().await, message_of(&["", "world"]));
    };
    within(async { tokio::join!(peer, app) }).await;
}

#[tokio::test]
async fn a_dealer_that_connects_and_the_router_that_binds() {
    let recording = recorded!("null-dealer-connect");
    let parts = ["a", "", "c"];
    let answer = ["r1", "r2"];
    let mut dealer = DealerSocket::new(&tcp(), config().with_routing_id("A1").unwrap());
    let (place, peer) = recording.is_connected_to().await;
    dealer.connect(&*place).unwrap();
    let app = async {
        dealer.send(&message_of(&parts)).await.unwrap();
        assert_eq!(dealer.recv().await, message_of(&answer));
    };
    within(async { tokio::join!(peer, app) }).await;

    let mut router = RouterSocket::new(&tcp(), config());
    let address = router.bind("tcp://127.0.0.1:0").await.unwrap();
    let peer = recording.connects_to(port(&address));
    let app = async {
        assert_eq!(router.recv().await.0, message_of(&parts));
        router.send_to(b"A1", &message_of(&answer)).await.unwrap();
    };
    within(async { tokio::join!(peer, app) }).await;
}

#[tokio::test]
async fn a_req_that_connects_and_the_rep_that_binds() {
    let recording = recorded!("req-connect-multipart");
    let mut req = ReqSocket::new(&tcp(), config());
    let (place, peer) = recording.is_connected_to().await;
    req.connect(&*place).unwrap();
    let app = async {
        let reply = req.request(&message_of(&["q1", "q2"])).await.unwrap();
        assert_eq!(reply, message_of(&["a1", "a2"]));
    };
    within(async { tokio::join!(peer, app) }).await;

    let mut rep = RepSocket::new(&tcp(), config());
    let address = rep.bind("tcp://127.0.0.1:0").await.unwrap();
    let peer = recording.connects_to(port(&address));
    let app = async {
        assert_eq!(rep.recv().await, message_of(&["q1", "q2"]));
        rep.send(&message_of(&["a1", "a2"])).await.unwrap();
    };
    within(async { tokio::join!(peer, app) }).await;
}

#[tokio::test]
async fn a_rep_that_returns_its_envelope_and_drops_a_malformed_request() {
    let mut rep = RepSocket::new(&tcp(), config());
    let address = rep.bind("tcp://127.0.0.1:0").await.unwrap();
    let recording = recorded!("rep-bind-multipart");
    let peer = recording.connects_to(port(&address));
    let app = async {
        assert_eq!(rep.recv().await, message_of(&["q1", "q2"]));
        rep.send(&message_of(&["a1", "a2"])).await.unwrap();
        assert_eq!(rep.recv().await, message_of(&["q3"]));
        rep.send("a3").await.unwrap();
    };
    within(async { tokio::join!(peer, app) }).await;
}

#[tokio::test]
async fn an_xpub_that_takes_both_forms_of_a_subscription() {
    let mut publisher = XPubSocket::new(&tcp(), config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let recording = recorded!("pub-bind-both-forms");
    let peer = recording.connects_to(port(&address));
    let app = async {
        for expected in ["\u{1}A", "\u{1}B"] {
            assert_eq!(publisher.recv().await.to_text(), Some(expected));
        }
        publisher.send(&message_of(&["A1", "x"])).await.unwrap();
        for text in ["B1", "C1"] {
            publisher.send(text).await.unwrap();
        }
        for expected in ["\0A", "\0B", "\u{1}"] {
            assert_eq!(publisher.recv().await.to_text(), Some(expected));
        }
        publisher.send("").await.unwrap();
    };
    within(async { tokio::join!(peer, app) }).await;
}

#[tokio::test]
async fn a_pub_that_a_libzmq_subscriber_speaks_to() {
    let mut publisher = PubSocket::new(&tcp(), config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let recording = recorded!("sub-connect-31");
    let peer = recording.connects_to(port(&address));
    let long = "x".repeat(255);
    let app = async {
        publisher.subscribed("A").await;
        publisher.send(&message_of(&["A1", "body"])).await.unwrap();
        publisher.subscribed(&long).await;
    };
    within(async { tokio::join!(peer, app) }).await;
}

#[tokio::test]
async fn a_puller_with_passwords_and_a_pusher_that_knows_one() {
    let users = PlainServer::new(Passwords::new().with_user("admin", "secret"));
    let server = Security::new(Policy::user("admin")).with_mechanism(users).danger_plaintext();
    let mut pull = PullSocket::new(&tcp(), secured(server));
    let address = pull.bind("tcp://127.0.0.1:0").await.unwrap();
    let recording = recorded!("plain-ok");
    let peer = recording.connects_to(port(&address));
    let app = async { assert_eq!(pull.recv().await.to_text(), Some("m")) };
    within(async { tokio::join!(peer, app) }).await;

    for recording in [recorded!("plain-ok"), recorded!("plain-client-connect")] {
        let client = PlainClient::new("admin", "secret").unwrap();
        let client = Security::new(Policy::danger_anyone()).with_mechanism(client).danger_plaintext();
        let mut push = PushSocket::new(&tcp(), secured(client));
        let (place, peer) = recording.is_connected_to().await;
        push.connect(&*place).unwrap();
        let app = async { push.send("m").await.unwrap() };
        within(async { tokio::join!(peer, app) }).await;
    }
}

fn message_of(parts: &[&'static str]) -> Message {
    parts.iter().copied().collect()
}

/// The first connection of a file, as what its sides wrote in the order of time.
struct Recording(Vec<(Side, Vec<u8>)>);

/// A side of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Connects,
    Binds,
}

impl Recording {
    fn read(text: &str) -> Recording {
        let first = text.split("# ---").next().unwrap();
        let lines = first.lines().filter_map(|line| {
            let (direction, bytes) = line.split('#').next().unwrap().trim().split_once(' ')?;
            Some((if direction == "C>S" { Side::Connects } else { Side::Binds }, hex(bytes)))
        });
        Recording(lines.collect())
    }

    /// Plays the side that connects.
    async fn connects_to(&self, port: u16) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        self.play(stream, Side::Connects).await
    }

    /// Where a socket is to connect to, and what plays the side that binds.
    async fn is_connected_to(&self) -> (String, impl Future<Output = TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = format!("tcp://{}", listener.local_addr().unwrap());
        (place, async move { self.play(listener.accept().await.unwrap().0, Side::Binds).await })
    }

    /// Writes the bytes of this side, and checks those of the other, which is a socket of ours; the connection stays.
    async fn play(&self, mut stream: TcpStream, side: Side) -> TcpStream {
        stream.set_nodelay(true).unwrap();
        let written = |by: Side| {
            let lines = self.0.iter().filter(move |(side, _)| *side == by);
            lines.flat_map(|(_, bytes)| bytes).copied().collect::<Vec<u8>>()
        };
        let other = if side == Side::Connects { Side::Binds } else { Side::Connects };
        // Neither side waits for what the other says here, but for its mechanism.
        stream.write_all(&written(side)[..GREETING]).await.unwrap();
        let mut greeting = [0; GREETING];
        stream.read_exact(&mut greeting).await.unwrap();
        let expected = &written(other)[..GREETING];
        // Bytes 1 to 8 are padding, and whether one is the server need not be told.
        assert_eq!((greeting[0], &greeting[9..32]), (expected[0], &expected[9..32]));

        let mut frames = self.behind_greetings();
        if expected[12..16] == *b"NULL" {
            // The two READYs may cross.
            frames[..2].sort_by_key(|(by, _)| *by != side);
        }
        for (by, bytes) in frames {
            if by == side {
                stream.write_all(&bytes).await.unwrap();
                continue;
            }
            if let Some(expected) = properties(&bytes) {
                let said = read_frame(&mut stream).await;
                assert_eq!(properties(&said), Some(expected));
                continue;
            }
            let mut said = vec![0; bytes.len()];
            stream.read_exact(&mut said).await.unwrap();
            assert_eq!(said, bytes);
        }
        stream
    }

    fn behind_greetings(&self) -> Vec<(Side, Vec<u8>)> {
        let mut left = BTreeMap::from([(false, GREETING), (true, GREETING)]);
        let mut frames = Vec::new();
        for (by, bytes) in &self.0 {
            let left = left.get_mut(&(*by == Side::Connects)).unwrap();
            if *left == 0 {
                frames.push((*by, bytes.clone()));
            } else {
                *left -= bytes.len();
            }
        }
        frames
    }
}

/// What READY or INITIATE says, in no order and without what says nothing; `None` for other frames.
fn properties(frame: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let body = frame.strip_prefix(&[0x04])?.get(1..)?;
    let mut rest = body.strip_prefix(b"\x05READY").or_else(|| body.strip_prefix(b"\x08INITIATE"))?;
    let mut properties = BTreeMap::new();
    while let Some((&length, after)) = rest.split_first() {
        let (name, after) = after.split_at(usize::from(length));
        let (length, after) = after.split_first_chunk().unwrap();
        let (value, after) = after.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
        if !value.is_empty() {
            properties.insert(name.to_ascii_lowercase(), value.to_vec());
        }
        rest = after;
    }
    Some(properties)
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).await.unwrap();
    let mut body = vec![0; usize::from(header[1])];
    stream.read_exact(&mut body).await.unwrap();
    [&header[..], &body].concat()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
