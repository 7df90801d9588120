//! A peer that a test writes byte by byte.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::set_up::within;

/// Every type of ours, and one that fits it.
pub(crate) const TYPES: [(&str, &str); 11] = [
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

/// The first bytes of older versions, up to the one that tells, and what our events call them.
pub(crate) const OLDER: [(&[u8], &str); 5] = [
    // ZMTP 2.0 (libzmq 3): revision 1.
    (b"\xff\0\0\0\0\0\0\0\x01\x7f\x01", "it announced ZMTP 2.0 (libzmq 3 or older)"),
    (b"\xff\0\0\0\0\0\0\0\x01\x7f\x00", "it announced ZMTP 1.0 (libzmq 3 or older)"),
    // RFC 37 calls this 2.0 too.
    (b"\xff\0\0\0\0\0\0\0\x01\x7f\x02", "it announced ZMTP 2.0 (libzmq 3 or older)"),
    // ZMTP 1.0 (libzmq 2): the frame with the identity comes first, here an empty one, and one with a long length.
    (b"\x01", "its first byte is 01, not ff"),
    (b"\xff\0\0\0\0\0\0\0\x01\0", "it sent a ZMTP 1.0 greeting (libzmq 2)"),
];

/// How a greeting may come: whole, in the stages of libzmq, byte by byte.
pub(crate) const PIECES: [&[usize]; 3] = [&[64], &[10, 1, 53], &[1; 64]];

/// A greeting of 3.1, and others that say what does not matter.
pub(crate) fn unusual_greetings() -> Vec<Vec<u8>> {
    let plain = greeting(1);
    let with = |at: usize, byte: u8| {
        let mut other = plain.clone();
        other[at] = byte;
        other
    };
    vec![
        plain.clone(),
        with(8, 5),     // as libzmq sends it with a routing id of four bytes
        with(4, 0x77),  // padding
        with(9, 0x81),  // only the lowest bit counts
        with(10, 4),    // a version to come
        with(11, 0),    // 3.0
        with(11, 0xff), // 3.255
        with(32, 1),    // as-server
        [&plain[..33], &[0xaa; 31]].concat(),
    ]
}

/// A peer that writes what it is told to.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// Waits for a socket that connects.
    pub(crate) async fn accept(listener: &TcpListener) -> Raw {
        let (stream, _) = within(listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream }
    }

    pub(crate) async fn connect(endpoint: &str) -> Raw {
        let address = endpoint.strip_prefix("tcp://").unwrap();
        let stream = within(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream }
    }

    /// After its handshake.
    pub(crate) async fn joined(endpoint: &str, minor: u8, r#type: &str) -> Raw {
        let mut raw = Raw::connect(endpoint).await;
        raw.send(&greeting(minor)).await;
        raw.finish_as(r#type).await;
        raw
    }

    /// The rest of a handshake of which the greeting has been sent.
    pub(crate) async fn finish_as(&mut self, r#type: &str) {
        self.send(&ready(r#type)).await;
        within(self.stream.read_exact(&mut [0; 64])).await.unwrap();
        let (flags, body) = self.frame().await;
        assert_eq!((flags, &body[..6]), (4, &b"\x05READY"[..]));
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// In pieces of these lengths.
    pub(crate) async fn send_in(&mut self, pieces: &[usize], mut bytes: &[u8]) {
        for &piece in pieces {
            self.send(&bytes[..piece]).await;
            bytes = &bytes[piece..];
            // The other side may take this piece before the next one comes.
            tokio::task::yield_now().await;
        }
    }

    /// The next frame: its flags without LONG, and its body.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
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
    pub(crate) async fn frame_longer_than_a_topic(&mut self) -> (u8, Vec<u8>) {
        loop {
            let frame = self.frame().await;
            if frame.1.len() > 1 {
                return frame;
            }
        }
    }

    /// Waits until the other side has closed; a reset counts.
    pub(crate) async fn closed(&mut self) {
        let _reset = within(self.stream.read_to_end(&mut Vec::new())).await;
    }
}

/// ZMTP 3, NULL.
pub(crate) fn greeting(minor: u8) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, minor];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    greeting
}

pub(crate) fn ready(r#type: &str) -> Vec<u8> {
    command("READY", &property("Socket-Type", r#type.as_bytes()))
}

pub(crate) fn property(name: &str, value: &[u8]) -> Vec<u8> {
    let (name_length, value_length) =
        (u8::try_from(name.len()).unwrap(), u32::try_from(value.len()).unwrap());
    [&[name_length], name.as_bytes(), &value_length.to_be_bytes(), value].concat()
}

pub(crate) fn command(name: &str, data: &[u8]) -> Vec<u8> {
    frame(4, &[&[u8::try_from(name.len()).unwrap()], name.as_bytes(), data].concat())
}

pub(crate) fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(length) => [&[flags, length], body].concat(),
        Err(_) => [&[flags | 2], &(body.len() as u64).to_be_bytes()[..], body].concat(),
    }
}
