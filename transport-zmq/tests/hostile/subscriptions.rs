//! Subscriptions: floods, and topics that are made to cost.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use transport_core::Transports;
use transport_core::tcp::TcpTransport;
use transport_zmq::{Disconnected, HighWaterMark, PubSocket, Rejection};

use crate::common::raw::{command, joined, message, read_frame, read_to_end};
use crate::common::subject::{Kind, Subject};
use crate::common::{config, within};

const PUBLISHERS: [Kind; 2] = [Kind::XPub, Kind::Pub];

fn subscribe(topic: &[u8]) -> Vec<u8> {
    message(&[&[&[1], topic].concat()])
}

fn cancel(topic: &[u8]) -> Vec<u8> {
    message(&[&[&[0], topic].concat()])
}

/// Either form, by number or by size.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let many = |form: fn(&[u8]) -> Vec<u8>| (0..10_001u32).flat_map(|n| form(&n.to_be_bytes())).collect();
    let large = |form: fn(&[u8]) -> Vec<u8>| (0..40u8).flat_map(|n| form(&[n; 30_000])).collect();
    let as_command = |topic: &[u8]| command("SUBSCRIBE", topic);
    let nested = (0..2000).flat_map(|length| subscribe(&vec![b'a'; length])).collect();
    vec![
        ("many messages", many(subscribe)),
        ("many commands", many(as_command)),
        ("large messages", large(subscribe)),
        ("large commands", large(as_command)),
        ("each within the next", nested),
    ]
}

#[tokio::test]
async fn a_flood_of_subscriptions_is_capped_by_number_and_by_bytes_in_every_form() {
    for kind in PUBLISHERS {
        let mut subject = Subject::start(kind, config()).await;
        for (name, flood) in floods() {
            let mut peer = joined(&subject.address, "SUB", b"").await;
            let _reset = peer.write_all(&flood).await;
            let reason = subject.departure().await;
            assert!(
                matches!(reason, Disconnected::Rejected(Rejection::TooManySubscriptions)),
                "{kind:?}, {name}: {reason}"
            );
            read_to_end(&mut peer).await;
            subject.serves().await;
        }
        subject.takes_others_in().await;
    }
}

/// Taking back what was never subscribed to, and subscribing to the same again and again, costs nothing that stays.
#[tokio::test]
async fn a_flood_of_cancels_and_of_repeated_subscriptions_changes_nothing() {
    for kind in PUBLISHERS {
        // An XPUB's application sees cancels that mean nothing, as libzmq's does, so it has to keep up.
        let mut subject =
            Subject::start(kind, config().with_receive_mark(HighWaterMark::new(100, 1 << 20))).await;
        let mut peer = joined(&subject.address, "SUB", b"").await;
        let cancels: Vec<u8> = (0..20_000u32).flat_map(|number| cancel(&number.to_be_bytes())).collect();
        let commands: Vec<u8> =
            (0..20_000u32).flat_map(|number| command("CANCEL", &number.to_be_bytes())).collect();
        let same = subscribe(b"same").repeat(20_000);
        let churn = [subscribe(b"churn"), cancel(b"churn")].concat().repeat(20_000);
        let end = subscribe(b"");
        let flood = [cancels, commands, same, churn, end].concat();
        let flooding = peer.write_all(&flood);
        let (written, ()) = within(async { tokio::join!(flooding, subject.serves()) }).await;
        written.unwrap();
        // In the end it is a subscriber like any other.
        assert_eq!(read_frame(&mut peer).await.unwrap().1.len(), 8);
        assert!(subject.departed().is_none());
    }
}

/// As deep as the bound on bytes lets peers make the tree: a message that all of the topics match reaches each peer once, and
/// publishing costs no more than to look at them.
#[tokio::test]
async fn topics_each_within_the_next_do_not_multiply_messages_or_make_publishing_slow() {
    let mut publisher = PubSocket::new(&Transports::new().with(TcpTransport::new()), config());
    let address = publisher.bind("tcp://127.0.0.1:0").await.unwrap();
    let nested: Vec<u8> = (0..1400).flat_map(|length| subscribe(&vec![7; length])).collect();
    let mut peers = Vec::new();
    for number in 0..10u8 {
        let mut peer = joined(&address, "SUB", b"").await;
        peer.write_all(&[&nested[..], &command("SUBSCRIBE", &[number, 1])].concat()).await.unwrap();
        within(publisher.subscribed([number, 1])).await;
        peers.push(peer);
    }
    let start = thread_time();
    for number in 0..50u8 {
        publisher.send(&[&[7; 1500][..], &[number]].concat()).await.unwrap();
    }
    let each = (thread_time() - start) / 50;
    assert!(each < Duration::from_millis(20), "{each:?}");
    for peer in &mut peers {
        for number in 0..50u8 {
            assert_eq!(read_frame(peer).await.unwrap().1[1500], number);
        }
    }
}

/// What this thread has worked: others on the machine do not count.
fn thread_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap()
}
