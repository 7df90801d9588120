//! Peers written byte by byte: what no library sends any more, or none is sure to send.

use interop::{Settings, Sockets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport::RecvError;
use transport::core::framing::FramingError;
use transport_zmq::{Disconnected, SocketEvent};

use crate::set_up::{event, within};

/// Every type of ours, and one that fits it.
const TYPES: [(&str, &str); 11] = [
    ("REQ", "REP"),
    ("REP", "REQ"),
    ("DEALER", "ROUTER"),
    ("ROUTER", "DEALER"),
    ("PUB", "SUB"),
    ("SUB", "PUB"),
    ("XPUB", "SUB"),
    ("XSUB", "PUB"),
    ("PUSH", "PULL"),
    ("PULL", "PUSH"),
    ("PAIR", "PAIR"),
];

/// The first bytes of older versions, and what our events call them.
fn older() -> [(Vec<u8>, &'static str); 5] {
    let signature = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];
    [
        // ZMTP 2.0 (libzmq 3): revision 1, a socket type, and a frame with the identity.
        ([&signature[..], &[1, 8, 0, 0]].concat(), "it announced ZMTP 2.0 (libzmq 3 or older)"),
        ([&signature[..], &[0, 8, 0, 0]].concat(), "it announced ZMTP 1.0 (libzmq 3 or older)"),
        // RFC 37 calls this 2.0 too.
        ([&signature[..], &[2, 8, 0, 0]].concat(), "it announced ZMTP 2.0 (libzmq 3 or older)"),
        // ZMTP 1.0 (libzmq 2): the frame with the identity comes first, here an empty one, and one with a long length.
        (vec![1, 0], "its first byte is 01, not ff"),
        (vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0], "it sent a ZMTP 1.0 greeting (libzmq 2)"),
    ]
}

#[tokio::test]
async fn older_versions_that_connect_are_refused_by_name_and_others_get_in() {
    for (ours, theirs) in TYPES {
        let mut sockets = Sockets::ours();
        let endpoint = bound(&mut sockets, ours).await;
        let mut events = sockets.here().socket(ours).events();
        for (bytes, name) in older() {
            let mut raw = Raw::connect(&endpoint).await;
            raw.send(&bytes).await;
            let reason = event(&mut events, |event| match event {
                SocketEvent::HandshakeFailed { reason, .. } => Some(reason.to_string()),
                _ => None,
            });
            let reason = reason.await;
            assert!(reason.contains(name), "{ours}: {reason}");
            raw.closed().await;
        }
        let _raw = Raw::joined(&endpoint, 1, theirs).await;
        event(&mut events, |event| matches!(event, SocketEvent::Connected { .. }).then_some(())).await;
    }
}

#[tokio::test]
async fn older_versions_that_are_connected_to_are_refused_by_name() {
    for (ours, _) in TYPES {
        for (bytes, name) in older() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut sockets = Sockets::ours();
            sockets.open(ours, ours, Settings::new()).await;
            let mut events = sockets.here().socket(ours).events();
            let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
            sockets.connect(ours, &endpoint).await;
            let mut raw = Raw { stream: within(listener.accept()).await.unwrap().0 };
            raw.send(&bytes).await;
            let error = event(&mut events, |event| match event {
                SocketEvent::ConnectFailed { error, .. } => Some(error),
                _ => None,
            });
            let error = error.await;
            let said = std::error::Error::source(&*error).map_or(error.to_string(), ToString::to_string);
            assert!(said.contains(name) || error.to_string().contains(name), "{ours}: {error}: {said}");
        }
    }
}

#[tokio::test]
async fn a_subscriber_of_3_0_subscribes_by_messages_and_gets_no_command() {
    for ours in ["PUB", "XPUB"] {
        let mut sockets = Sockets::ours();
        let endpoint = bound(&mut sockets, ours).await;
        let mut raw = Raw::joined(&endpoint, 0, "SUB").await;
        raw.send(&frame(0, b"\x01a")).await;
        publish_until_heard(&mut sockets, ours, "a", &mut raw).await;
        for topic in ["b: not this", "a: this"] {
            sockets.send(ours, &[topic]).await;
        }
        assert_eq!(raw.frame_longer_than_a_topic().await, (0, b"a: this".to_vec()));
        raw.send(&[frame(0, b"\x00a"), frame(0, b"\x01b")].concat()).await;
        publish_until_heard(&mut sockets, ours, "b", &mut raw).await;
        for topic in ["a: not this", "b: this"] {
            sockets.send(ours, &[topic]).await;
        }
        assert_eq!(raw.frame_longer_than_a_topic().await, (0, b"b: this".to_vec()));
    }
}

#[tokio::test]
async fn both_forms_of_a_subscription_are_taken_on_one_connection() {
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "XPUB").await;
    let mut raw = Raw::joined(&endpoint, 1, "SUB").await;
    // Subscribed by a message and cancelled by a command, and the other way round.
    let steps = [frame(0, b"\x01a"), command("SUBSCRIBE", b"b"), command("CANCEL", b"a"), frame(0, b"\x00b")];
    raw.send(&steps.concat()).await;
    for expected in ["\u{1}a", "\u{1}b", "\0a", "\0b"] {
        assert_eq!(sockets.recv("XPUB").await, [expected]);
    }
}

#[tokio::test]
async fn a_subscriber_of_ours_says_what_the_publishers_version_knows() {
    let topics = ["a".to_owned(), "t".repeat(254), "t".repeat(255), "t".repeat(256)];
    for minor in [0, 1] {
        let mut sockets = Sockets::ours();
        sockets.open("SUB", "SUB", Settings { subscribe: topics.to_vec(), ..Settings::new() }).await;
        let endpoint = sockets.bind("SUB", "tcp://127.0.0.1:0").await;
        let mut raw = Raw::joined(&endpoint, minor, "PUB").await;
        let mut said = Vec::new();
        for _ in &topics {
            said.push(raw.frame().await);
        }
        sockets.unsubscribe("SUB", "a").await;
        said.push(raw.frame().await);
        let (name, cancel): (&[u8], &[u8]) =
            if minor == 0 { (b"\x01", b"\x00a") } else { (b"\x09SUBSCRIBE", b"\x06CANCELa") };
        let flags = if minor == 0 { 0 } else { 4 };
        let expected = topics.iter().map(|topic| (flags, [name, topic.as_bytes()].concat()));
        assert_eq!(said, expected.chain([(flags, cancel.to_vec())]).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_context_whatever_the_version() {
    for minor in [0, 1] {
        let mut sockets = Sockets::ours();
        let endpoint = bound(&mut sockets, "PULL").await;
        let mut raw = Raw::joined(&endpoint, minor, "PUSH").await;
        for context in ["", "c", "sixteen bytes .."] {
            raw.send(&command("PING", &[b"\0\0", context.as_bytes()].concat())).await;
            assert_eq!(raw.frame().await, (4, [b"\x04PONG", context.as_bytes()].concat()));
        }
        // More than that is cut.
        raw.send(&command("PING", b"\0\0seventeen bytes ..")).await;
        assert_eq!(raw.frame().await, (4, b"\x04PONGseventeen bytes ".to_vec()));
        // Between the parts of a message, which stays whole.
        raw.send(&[frame(1, b"first"), command("PING", b"\0\0"), frame(0, b"second")].concat()).await;
        assert_eq!(raw.frame().await, (4, b"\x04PONG".to_vec()));
        assert_eq!(sockets.recv("PULL").await, ["first", "second"]);
    }
}

#[tokio::test]
async fn a_peer_is_taken_for_dead_when_its_time_to_live_is_over() {
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "PULL").await;
    let mut events = sockets.here().socket("PULL").events();
    // No time, and a long one: the peer stays.
    for time in [[0, 0], 10u16.to_be_bytes(), 655u16.to_be_bytes()] {
        let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
        raw.send(&command("PING", &time)).await;
        assert_eq!(raw.frame().await.0, 4);
        raw.send(&frame(0, b"still there")).await;
        assert_eq!(sockets.recv("PULL").await, ["still there"]);
        drop(raw);
        assert!(matches!(end(&mut events).await, Disconnected::ByPeer));
    }
    let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
    // A tenth of a second.
    raw.send(&command("PING", &[0, 1])).await;
    let end = end(&mut events).await;
    let Disconnected::Receive(error) = &end else { panic!("{end:?}") };
    assert!(matches!(**error, RecvError::Framing(FramingError::Silent { .. })), "{error:?}");
}

#[tokio::test]
async fn a_greeting_may_come_in_pieces_and_say_what_does_not_matter() {
    let plain = greeting(1);
    let with = |at: usize, byte: u8| {
        let mut other = plain.clone();
        other[at] = byte;
        other
    };
    let filled = [&plain[..33], &[0xaa; 31]].concat();
    let greetings = [
        plain.clone(),
        with(8, 5),     // as libzmq sends it with a routing id of four bytes
        with(4, 0x77),  // padding
        with(9, 0x81),  // only the lowest bit counts
        with(10, 4),    // a version to come
        with(11, 0),    // 3.0
        with(11, 0xff), // 3.255
        with(32, 1),    // as-server
        filled,
    ];
    for greeting in greetings {
        for pieces in [&[64][..], &[10, 1, 53], &[1; 64]] {
            let mut sockets = Sockets::ours();
            let endpoint = bound(&mut sockets, "PULL").await;
            let mut raw = Raw::connect(&endpoint).await;
            let mut rest = &greeting[..];
            for &piece in pieces {
                raw.send(&rest[..piece]).await;
                rest = &rest[piece..];
            }
            raw.finish_as("PUSH").await;
            raw.send(&frame(0, b"hello")).await;
            assert_eq!(sockets.recv("PULL").await, ["hello"], "{greeting:x?}");
        }
    }
}

#[tokio::test]
async fn a_ready_of_more_than_255_bytes_is_read() {
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "PULL").await;
    let mut raw = Raw::connect(&endpoint).await;
    raw.send(&greeting(1)).await;
    let properties = [property("Socket-Type", b"PUSH"), property("X-Long", &[b'x'; 1000])].concat();
    raw.send(&command("READY", &properties)).await;
    raw.send(&frame(0, b"hello")).await;
    assert_eq!(sockets.recv("PULL").await, ["hello"]);
}

#[tokio::test]
async fn of_a_peer_that_goes_half_way_nothing_is_delivered_and_the_next_one_gets_in() {
    let whole = frame(0, b"whole");
    let rest = [frame(1, b"first part"), frame(0, b"second part")].concat();
    let mut sockets = Sockets::ours();
    let endpoint = bound(&mut sockets, "PULL").await;
    let mut events = sockets.here().socket("PULL").events();
    for length in 1..rest.len() {
        let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
        raw.send(&[&whole, &rest[..length]].concat()).await;
        assert_eq!(sockets.recv("PULL").await, ["whole"]);
        drop(raw);
        let end = end(&mut events).await;
        let Disconnected::Receive(error) = &end else { panic!("{end:?}") };
        assert!(matches!(**error, RecvError::Truncated), "{error:?}");
    }
    let handshake = [greeting(1), ready("PUSH")].concat();
    for length in 0..handshake.len() {
        let mut raw = Raw::connect(&endpoint).await;
        raw.send(&handshake[..length]).await;
        drop(raw);
        event(&mut events, |event| matches!(event, SocketEvent::HandshakeFailed { .. }).then_some(())).await;
    }
    let mut raw = Raw::joined(&endpoint, 1, "PUSH").await;
    raw.send(&whole).await;
    assert_eq!(sockets.recv("PULL").await, ["whole"]);
    assert_eq!(sockets.recv_within("PULL", 50).await, None);
}

/// Opens a socket of this type and name, and binds it.
async fn bound(sockets: &mut Sockets, r#type: &str) -> String {
    sockets.open(r#type, r#type, Settings::new()).await;
    sockets.bind(r#type, "tcp://127.0.0.1:0").await
}

/// What is published before the subscription has come is lost.
async fn publish_until_heard(sockets: &mut Sockets, name: &str, topic: &str, raw: &mut Raw) {
    loop {
        sockets.send(name, &[topic]).await;
        let soon = std::time::Duration::from_millis(10);
        while tokio::time::timeout(soon, raw.stream.peek(&mut [0])).await.is_ok() {
            if raw.frame().await.1 == topic.as_bytes() {
                return;
            }
        }
    }
}

/// Waits until a peer has gone, and tells why.
async fn end(events: &mut transport_zmq::SocketEvents) -> Disconnected {
    event(events, |event| match event {
        SocketEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    })
    .await
}

/// A peer that writes what it is told to.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    async fn connect(endpoint: &str) -> Raw {
        let address = endpoint.strip_prefix("tcp://").unwrap();
        let stream = within(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream }
    }

    /// After its handshake.
    async fn joined(endpoint: &str, minor: u8, r#type: &str) -> Raw {
        let mut raw = Raw::connect(endpoint).await;
        raw.send(&greeting(minor)).await;
        raw.finish_as(r#type).await;
        raw
    }

    /// The rest of a handshake of which the greeting has been sent.
    async fn finish_as(&mut self, r#type: &str) {
        self.send(&ready(r#type)).await;
        within(self.stream.read_exact(&mut [0; 64])).await.unwrap();
        let (flags, body) = self.frame().await;
        assert_eq!((flags, &body[..6]), (4, &b"\x05READY"[..]));
    }

    async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next frame: its flags without LONG, and its body.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        within(async {
            let flags = self.stream.read_u8().await.unwrap();
            let length = match flags & 2 {
                0 => u64::from(self.stream.read_u8().await.unwrap()),
                _ => self.stream.read_u64().await.unwrap(),
            };
            let mut body = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut body).await.unwrap();
            (flags & !2, body)
        })
        .await
    }

    /// The next frame that is not one of those that were sent to find out about a subscription.
    async fn frame_longer_than_a_topic(&mut self) -> (u8, Vec<u8>) {
        loop {
            let frame = self.frame().await;
            if frame.1.len() > 1 {
                return frame;
            }
        }
    }

    /// Waits until the other side has closed; a reset counts.
    async fn closed(&mut self) {
        let _reset = within(self.stream.read_to_end(&mut Vec::new())).await;
    }
}

/// ZMTP 3, NULL.
fn greeting(minor: u8) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, minor];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    greeting
}

fn ready(r#type: &str) -> Vec<u8> {
    command("READY", &property("Socket-Type", r#type.as_bytes()))
}

fn property(name: &str, value: &[u8]) -> Vec<u8> {
    let (name_length, value_length) =
        (u8::try_from(name.len()).unwrap(), u32::try_from(value.len()).unwrap());
    [&[name_length], name.as_bytes(), &value_length.to_be_bytes(), value].concat()
}

fn command(name: &str, data: &[u8]) -> Vec<u8> {
    frame(4, &[&[u8::try_from(name.len()).unwrap()], name.as_bytes(), data].concat())
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(length) => [&[flags, length], body].concat(),
        Err(_) => [&[flags | 2], &(body.len() as u64).to_be_bytes()[..], body].concat(),
    }
}
