//! Peers of a `zmq+...` listener that send what they should not: each finds its answer, and good streams go on.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::mem::MemTransport;
use transport_core::{Connect, Connection, Listen, Message, Policy, RawServer, Transports};
use transport_zmq::ZmqTransport;

const OPEN: u8 = 1;
const ACCEPT: u8 = 2;
const DATA: u8 = 3;
const CREDIT: u8 = 4;
const END: u8 = 5;
const STOP: u8 = 6;
const RESET: u8 = 7;
const PING: u8 = 8;
const PONG: u8 = 9;
const WINDOW: u64 = 256 << 10;

#[tokio::test]
async fn messages_that_are_no_frames_are_dropped_and_good_streams_go_on() {
    let place = Place::start().await;
    let (mut server, mut attacker) = (place.serve().await, place.attack().await);
    let header = frame(&[], OPEN, 1, WINDOW, None);
    for bad in [
        parts(&[b"no delimiter"]),
        parts(&[b""]),
        parts(&[b"", b"too short for a header"]),
        parts(&[b"", &header[1], b"bytes", b"and more"]),
        frame(&[], 99, 1, 0, None),
        frame(&[], DATA, 1, 0, None),
        parts(&[&[7; 300], b"", &header[1]]),
    ] {
        attacker.send(&bad).await.unwrap();
    }
    place.talk(&mut server).await;
    // The attacker's own connection serves it still.
    attacker.send(&header).await.unwrap();
    assert_eq!(answer(&mut attacker).await, (ACCEPT, 1, WINDOW));
}

#[tokio::test]
async fn a_frame_of_an_unknown_stream_is_answered_with_a_reset() {
    let place = Place::start().await;
    let (mut server, mut attacker) = (place.serve().await, place.attack().await);
    attacker.send(&frame(&[], DATA, 77, 0, Some(b"hello"))).await.unwrap();
    let (kind, stream, _) = answer(&mut attacker).await;
    assert_eq!((kind, stream), (RESET, 77));
    place.talk(&mut server).await;
}

#[tokio::test]
async fn more_streams_than_may_wait_are_refused() {
    let place = Place::start().await;
    let mut attacker = place.attack_listener_that_accepts_nobody().await;
    let mut answers = (0, 0);
    for number in 0..200 {
        attacker.send(&frame(&[], OPEN, number, WINDOW, None)).await.unwrap();
        match answer(&mut attacker).await {
            (ACCEPT, ..) => answers.0 += 1,
            (RESET, _, reason) => {
                assert_eq!(reason, 2, "too many streams");
                answers.1 += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    // 128 wait at the transport, and some more are pending at the server above.
    assert!(answers.0 >= 128 && answers.1 > 0, "{answers:?}");
}

#[tokio::test]
async fn more_bytes_than_the_window_reset_the_stream() {
    let place = Place::start().await;
    let (mut server, mut attacker) = (place.serve().await, place.attack().await);
    attacker.send(&frame(&[], OPEN, 1, WINDOW, None)).await.unwrap();
    let mut stream = server.accept().await.unwrap().into_stream();
    assert_eq!(answer(&mut attacker).await.0, ACCEPT);
    let piece = vec![7; 64 << 10];
    for number in 0..5 {
        attacker.send(&frame(&[], DATA, 1, number * piece.len() as u64, Some(&piece))).await.unwrap();
    }
    let (kind, _, reason) = answer(&mut attacker).await;
    assert_eq!((kind, reason), (RESET, 4), "a violation");
    // What had come within the window is still read, and then the reason.
    let mut read = Vec::new();
    let error = stream.read_to_end(&mut read).await.unwrap_err();
    assert_eq!(read.len() as u64, WINDOW);
    assert!(error.to_string().contains("broke the protocol"), "{error}");
}

#[tokio::test]
async fn the_streams_of_different_envelopes_and_connections_do_not_touch() {
    let place = Place::start().await;
    let mut server = place.serve().await;
    let mut connections = [place.attack().await, place.attack().await];
    let mut streams = Vec::new();
    for (connection, envelope) in [(0, &[][..]), (0, &[&b"id"[..]][..]), (1, &[][..])] {
        let connection = &mut connections[connection];
        connection.send(&frame(envelope, OPEN, 1, WINDOW, None)).await.unwrap();
        streams.push(server.accept().await.unwrap().into_stream());
        assert_eq!(answer(connection).await, (ACCEPT, 1, WINDOW));
    }
    let [one, other] = &mut connections;
    one.send(&frame(&[], DATA, 1, 0, Some(b"one"))).await.unwrap();
    one.send(&frame(&[b"id"], DATA, 1, 0, Some(b"two"))).await.unwrap();
    other.send(&frame(&[], DATA, 1, 0, Some(b"six"))).await.unwrap();
    for (stream, expected) in streams.iter_mut().zip([b"one", b"two", b"six"]) {
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, expected);
    }
}

#[tokio::test]
async fn a_stream_as_its_wire_format_says() {
    let place = Place::start().await;
    let (mut server, mut peer) = (place.serve().await, place.attack().await);
    peer.send(&frame(&[], OPEN, 5, 4, None)).await.unwrap();
    let mut stream = server.accept().await.unwrap().into_stream();
    assert_eq!(answer(&mut peer).await, (ACCEPT, 5, WINDOW));
    peer.send(&frame(&[], PING, 5, 42, None)).await.unwrap();
    assert_eq!(answer(&mut peer).await, (PONG, 5, 42));
    // Its window is four bytes: no more come before they are consumed.
    stream.write_all(b"abcdef").await.unwrap();
    let first = peer.recv().await.unwrap().unwrap();
    assert_eq!(first, frame(&[], DATA, 5, 0, Some(b"abcd")));
    peer.send(&frame(&[], CREDIT, 5, 4, None)).await.unwrap();
    let second = peer.recv().await.unwrap().unwrap();
    assert_eq!(second, frame(&[], DATA, 5, 4, Some(b"ef")));
    peer.send(&frame(&[], STOP, 5, 0, None)).await.unwrap();
    peer.send(&frame(&[], DATA, 5, 0, Some(b"last"))).await.unwrap();
    peer.send(&frame(&[], END, 5, 4, None)).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"last");
    stream.write_all(b"nobody reads").await.unwrap_err();
    drop(stream);
    assert_eq!(answer(&mut peer).await, (END, 5, 6));
}

/// A `zmq+mem` listener, and the way around its streams to the connections beneath.
struct Place {
    transports: Transports,
}

impl Place {
    async fn start() -> Place {
        let mem = MemTransport::new();
        Place { transports: Transports::new().with(ZmqTransport::new("zmq+mem", mem.clone())).with(mem) }
    }

    async fn serve(&self) -> RawServer {
        let listen = Listen::new(&self.transports, "zmq+mem://place").policy(Policy::same_process());
        listen.start_raw().await.unwrap()
    }

    /// A connection beneath, to send messages of one's own.
    async fn attack(&self) -> Connection {
        Connect::new(&self.transports, "mem://place").server(Policy::same_process()).await.unwrap()
    }

    async fn attack_listener_that_accepts_nobody(&self) -> Connection {
        let transport = self.transports.lookup("zmq+mem").unwrap().clone();
        let mut listener = transport.listen(&"zmq+mem://place".parse().unwrap()).await.unwrap();
        let attack = self.attack();
        let one_turn = async {
            // Takes the connection in, and would yield its streams.
            let accepting = std::future::poll_fn(|cx| listener.poll_accept(cx));
            let _no_stream_yet = tokio::time::timeout(Duration::from_millis(200), accepting).await;
        };
        let (attacker, ()) = tokio::join!(attack, one_turn);
        // Lives on, and is not asked any more.
        tokio::spawn(async move {
            let _listener = listener;
            std::future::pending::<()>().await;
        });
        attacker
    }

    /// A good peer is served.
    async fn talk(&self, server: &mut RawServer) {
        let transport = self.transports.lookup("zmq+mem").unwrap();
        let address = "zmq+mem://place".parse().unwrap();
        let (near, far) = tokio::join!(transport.connect(&address), server.accept());
        let (mut near, mut far) = (near.unwrap().stream, far.unwrap().into_stream());
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}

fn parts(parts: &[&[u8]]) -> Message {
    parts.iter().map(|part| Bytes::copy_from_slice(part)).collect()
}

fn frame(envelope: &[&[u8]], kind: u8, stream: u64, value: u64, payload: Option<&[u8]>) -> Message {
    let header = [&[1, kind][..], &stream.to_be_bytes(), &value.to_be_bytes()].concat();
    let all = [envelope, &[b"", &header], payload.as_slice()].concat();
    parts(&all)
}

/// Kind, stream and value of the next frame.
async fn answer(connection: &mut Connection) -> (u8, u64, u64) {
    let message = tokio::time::timeout(Duration::from_secs(10), connection.recv());
    let message = message.await.expect("an answer").unwrap().unwrap();
    let header = message.parts().iter().skip_while(|part| !part.is_empty()).nth(1).unwrap();
    let number = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().unwrap());
    (header[1], number(2), number(10))
}
