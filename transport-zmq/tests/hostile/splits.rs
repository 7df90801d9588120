//! Recorded exchanges with libzmq in any pieces: the messages are the same.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport_core::test_util::Random;

use crate::common::raw::{self, silent};
use crate::common::subject::{Kind, Subject};
use crate::common::{config, within};

/// What the connecting side has sent in a recording.
fn sent_by_client(recording: &str) -> Vec<u8> {
    let lines = recording.lines().filter_map(|line| line.strip_prefix("C>S "));
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    };
    lines.flat_map(|line| hex(line.split('#').next().unwrap().trim())).collect()
}

macro_rules! recorded {
    ($name:literal) => {
        sent_by_client(include_str!(concat!("../vectors/zmtp-wire/", $name, ".txt")))
    };
}

type FirstParts = Vec<&'static [u8]>;

/// A peer's bytes, and the first parts that the application receives of them.
fn exchanges() -> Vec<(Kind, Vec<u8>, FirstParts)> {
    let own = |kind: Kind| {
        let hello = [raw::greeting("NULL"), raw::ready(kind.peer_type(), b"id")].concat();
        [hello, kind.good_message("one"), raw::command("PING", b"\0\0"), kind.good_message("two")].concat()
    };
    vec![
        (Kind::Router, recorded!("null-dealer-connect"), vec![b"a"]),
        (
            Kind::Router,
            recorded!("commands-after-handshake"),
            // libzmq makes a message of a SUBSCRIBE that does not belong there; here it is ignored.
            vec![b"p1"],
        ),
        (Kind::Router, own(Kind::Router), vec![b"one", b"two"]),
        (Kind::Pull, own(Kind::Pull), vec![b"one", b"two"]),
        (Kind::Sub, own(Kind::Sub), vec![b"one", b"two"]),
        (Kind::Rep, own(Kind::Rep), vec![b"one", b"two"]),
        (Kind::XPub, own(Kind::XPub), vec![b"\x01one", b"\x01two"]),
    ]
}

#[tokio::test]
async fn any_split_of_the_bytes_gives_the_same_messages() {
    for (kind, bytes, expected) in exchanges() {
        let mut subject = Subject::start(kind, config()).await;
        while subject.texts.try_recv().is_ok() {}
        let cuts = (1..bytes.len()).map(|cut| vec![&bytes[..cut], &bytes[cut..]]);
        let mut random = Random::new(7);
        let pieces = (0..20).map(|_| pieces(&bytes, &mut random));
        for (number, pieces) in cuts.chain([bytes.chunks(1).collect()]).chain(pieces).enumerate() {
            let mut peer = silent(&subject.address).await;
            for piece in &pieces {
                peer.write_all(piece).await.unwrap();
                // The other side reads it before the next one comes.
                tokio::task::yield_now().await;
                if number % 16 == 0 && pieces.len() == 2 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            for text in &expected {
                let mut received = within(subject.texts.recv()).await.unwrap();
                // A publisher takes back for the peer before what that has left behind.
                while received.starts_with(&[0]) {
                    received = within(subject.texts.recv()).await.unwrap();
                }
                assert_eq!(
                    received.escape_ascii().to_string(),
                    text.escape_ascii().to_string(),
                    "{kind:?}, {number}"
                );
            }
            // It has gone when the next one comes, which has the same routing id; and a publisher tells of no topic twice.
            peer.shutdown().await.unwrap();
            within(peer.read_to_end(&mut Vec::new())).await.unwrap();
            subject.departure().await;
            while let Ok(text) = subject.texts.try_recv() {
                assert!(text.starts_with(&[0]), "{kind:?}: {}", text.escape_ascii());
            }
        }
        subject.serves().await;
    }
}

fn pieces<'a>(mut bytes: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(random.length(1..=bytes.len().min(40)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
