//! Sending through many connections at once: room, progress, broadcasts, and what is left when one ends.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::future::{Future, IntoFuture as _};
use std::time::Duration;

use common::pipes::{FarEnds, pipes, read};
use tokio::io::{AsyncReadExt as _, DuplexStream};
use transport_core::framing::LengthPrefixed;
use transport_core::test_util::{sweep, virtual_time};
use transport_core::{
    Broadcast, BroadcastMany, Connect, Limits, Message, MessageRef, Policy, Receiver, SendError, Sender,
    SenderGroup, Transports, WriteBuffer,
};

/// Connections of one group over pipes that hold so many bytes.
struct Peers {
    transports: Transports,
    far_ends: FarEnds,
    group: SenderGroup,
    limits: Limits,
}

impl Peers {
    fn new(buffer: usize, limits: Limits) -> Peers {
        let (pipes, far_ends) = pipes(buffer);
        Peers { transports: Transports::new().with(pipes), far_ends, group: SenderGroup::new(), limits }
    }

    async fn connect(&mut self) -> (Sender, Receiver, DuplexStream) {
        let connect = Connect::new(&self.transports, "pipe:///").server(Policy::same_process());
        let connect = connect.limits(self.limits.clone()).into_future();
        let (connection, far) = tokio::join!(connect, self.far_ends.next_ready());
        let (sender, receiver) = connection.unwrap().split_into(&self.group);
        (sender, receiver, far)
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing here takes so long")
}

/// A message of 10 bytes, which are 12 on the wire.
fn message(number: u32) -> Message {
    Message::from(format!("{number:010}").into_bytes())
}

fn numbers(messages: &[Message]) -> Vec<u32> {
    messages.iter().map(|message| message.to_text().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_full_queue_takes_no_more_by_messages_or_by_bytes_until_there_is_progress() {
    for limits in [
        Limits::default().with_queued_out_messages(5),
        Limits::default().with_queued_out(50).with_queued_out_messages(1000),
    ] {
        let mut peers = Peers::new(64, limits);
        let (sender, _receiver, mut far) = peers.connect().await;
        let mut sent = 0;
        // Until the flusher is stuck with one queue, and another one is full.
        for _ in 0..100 {
            while sender.try_send(&message(sent)).unwrap() {
                sent += 1;
            }
            tokio::task::yield_now().await;
        }
        // What the pipe holds, the flusher has and the queue may have.
        assert!((10..=16).contains(&sent), "{sent}");
        assert_eq!(sender.queued(), 5);
        assert_eq!(sender.try_send_each([MessageRef::from(&message(0))].into_iter()).unwrap(), 0);
        let mut scratch = WriteBuffer::new();
        assert!(!sender.try_broadcast(&mut Broadcast::new("x", &mut scratch)).unwrap());

        let progress = peers.group.progress();
        sender.send_now(&message(sent)).unwrap();
        assert_eq!(sender.queued(), 6, "what must not wait does not");
        let (bytes, ()) = within(async {
            tokio::join!(read(&mut far, 12 * (sent as usize + 1)), async {
                progress.await;
                // There may be more of it until this one has room.
                while !sender.try_send(&message(sent + 1)).unwrap() {
                    peers.group.progress().await;
                }
            })
        })
        .await;
        let expected: Vec<u8> =
            (0..=sent).flat_map(|number| [b"\x00\x0a", &message(number)[0][..]].concat()).collect();
        assert_eq!(bytes, expected);
    }
}

#[tokio::test]
async fn progress_that_came_after_the_call_is_not_missed_and_wake_is_progress() {
    let group = SenderGroup::new();
    let before = group.progress();
    group.wake();
    within(before).await;
    let after = group.progress();
    assert!(tokio::time::timeout(Duration::from_millis(20), after).await.is_err());
}

#[tokio::test]
async fn one_task_waits_for_room_at_any_of_many() {
    let mut peers = Peers::new(64, Limits::default().with_queued_out_messages(2));
    let mut ends = Vec::new();
    for _ in 0..10 {
        ends.push(peers.connect().await);
    }
    for _ in 0..100 {
        for (sender, ..) in &ends {
            while sender.try_send(&message(0)).unwrap() {}
        }
        tokio::task::yield_now().await;
    }
    let (free, _receiver, mut far) = ends.swap_remove(7);
    let progress = peers.group.progress();
    let (_bytes, ()) = within(async { tokio::join!(read(&mut far, 24), progress) }).await;
    assert!(free.try_send(&message(1)).unwrap());
    assert!(ends.iter().all(|(sender, ..)| !sender.try_send(&message(1)).unwrap()));
}

/// Wherever the peer stops reading: what it got whole, at most one message that it got in part, and what was not sent are
/// all messages in their order, none twice. And it sees the end, although the sender is still there.
#[test]
fn what_the_stream_has_taken_no_byte_of_comes_back() {
    sweep(100, |seed| {
        virtual_time(seed, async |mut random| {
            let buffer = random.length(1..=100);
            let mut peers = Peers::new(buffer, Limits::default());
            let (sender, receiver, mut far) = peers.connect().await;
            let sent: u32 = random.number(0..=40).try_into().unwrap();
            let (taken, gone) = (random.length(0..=500), random.chance(50));
            for number in 0..sent {
                sender.send_now(&message(number)).unwrap();
                if random.chance(30) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let mut got = vec![0; taken];
            let mut length = 0;
            let reading = async {
                while length < taken {
                    length += far.read(&mut got[length..]).await.unwrap();
                }
            };
            let _no_more = tokio::time::timeout(Duration::from_secs(1), reading).await;
            got.truncate(length);
            let mut far = Some(far);
            if gone {
                far = None;
                tokio::task::yield_now().await;
            }
            let unsent = numbers(&sender.take_unsent().await);
            drop(receiver);
            if let Some(mut far) = far {
                // What was in the pipe, and the end.
                far.read_to_end(&mut got).await.unwrap();
            }
            let whole = u32::try_from(got.len() / 12).unwrap();
            let first_unsent = sent - u32::try_from(unsent.len()).unwrap();
            assert!(unsent.iter().copied().eq(first_unsent..sent), "{unsent:?}");
            let expected: Vec<u8> =
                (0..sent).flat_map(|number| [b"\x00\x0a", &message(number)[0][..]].concat()).collect();
            assert_eq!(got[..], expected[..got.len()]);
            if gone {
                // What was in the pipe is lost with it.
                let taken = got.len() + buffer;
                assert!(first_unsent >= whole && 12 * first_unsent as usize <= taken + 12);
            } else {
                assert_eq!(first_unsent as usize, got.len().div_ceil(12));
            }
            assert!(matches!(sender.try_send("more"), Err(SendError::Io(_))));
            assert!(sender.error().is_some() && sender.take_unsent().await.is_empty());
        });
    });
}

/// Whoever sends is told either that the message is sent, and then it is given back if it was not, or that it is not.
#[tokio::test]
async fn a_message_that_was_refused_is_not_given_back() {
    for room in [0, 5, 12, 100] {
        let mut peers = Peers::new(room.max(1), Limits::default());
        let (sender, _receiver, mut far) = peers.connect().await;
        if room == 0 {
            drop(far);
            assert!(matches!(sender.try_send(&message(0)), Err(SendError::Io(_))));
        } else {
            // The pipe takes some bytes of it, and then it breaks.
            assert!(sender.try_send(&message(0)).unwrap());
            let _some = read(&mut far, room.min(12)).await;
            drop(far);
            while sender.try_send(&message(1)).is_ok() {
                tokio::task::yield_now().await;
            }
        }
        let unsent = numbers(&sender.take_unsent().await);
        assert!(
            unsent.iter().all(|number| *number == 1) && (room > 0 || unsent.is_empty()),
            "{room}: {unsent:?}"
        );
    }
}

#[tokio::test]
async fn a_broadcast_has_the_bytes_of_a_message_that_is_sent_and_passes_over_who_is_full() {
    let mut peers = Peers::new(1 << 20, Limits::default().with_queued_out_messages(1));
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(peers.connect().await);
    }
    let parts: Message = ["topic", "", "body"].into_iter().collect();
    let large = Message::from(vec![7; 70_000]);
    let large_bytes = [&[2, 0, 0, 0, 0, 0, 1, 0x11, 0x70][..], &[7; 70_000]].concat();
    let mut scratch = WriteBuffer::new();
    for (message, bytes) in [(&parts, &b"\x01\x05topic\x01\x00\x00\x04body"[..]), (&large, &large_bytes)] {
        // The second one has a message waiting, which nobody has written yet.
        let mut broadcast = Broadcast::new("before", &mut scratch);
        assert!(ends[1].0.try_broadcast(&mut broadcast).unwrap());
        let mut broadcast = Broadcast::new(message, &mut scratch);
        let taken = ends.iter().map(|(sender, ..)| sender.try_broadcast(&mut broadcast).unwrap());
        assert!(taken.eq([true, false, true]));
        for (end, expected) in [(0, bytes), (1, b"\x00\x06before"), (2, bytes)] {
            assert_eq!(within(read(&mut ends[end].2, expected.len())).await, expected);
        }
    }
}

/// By messages and by bytes, and with messages waiting already.
#[tokio::test]
async fn of_messages_broadcast_together_each_queue_takes_what_it_would_take_one_by_one() {
    let messages: Vec<Message> = (0..20).map(message).collect();
    for (limits, most) in [
        (Limits::default().with_queued_out_messages(5), 5),
        (Limits::default().with_queued_out(60), 5),
        (Limits::default().with_queued_out(61), 6),
        (Limits::default(), 20),
    ] {
        let mut peers = Peers::new(1 << 20, limits);
        let mut ends = Vec::new();
        for _ in 0..3 {
            ends.push(peers.connect().await);
        }
        let mut scratch = WriteBuffer::new();
        // The second one has a message waiting, which nobody has written yet.
        assert!(ends[1].0.try_broadcast(&mut Broadcast::new(&message(99), &mut scratch)).unwrap());
        let mut broadcast = BroadcastMany::new(&messages, &mut scratch);
        let taken: Vec<usize> =
            ends.iter().map(|(sender, ..)| sender.try_broadcast_many(&mut broadcast).unwrap()).collect();
        let second = if most == 20 { 20 } else { most - 1 };
        assert_eq!(taken, [most, second, most]);
        assert_eq!(ends[0].0.queued(), most);
        for (end, before) in [(0, None), (1, Some(99)), (2, None)] {
            let numbers = before.into_iter().chain((0..20).take(taken[end]));
            let expected: Vec<u8> =
                numbers.flat_map(|number| [b"\x00\x0a", &message(number)[0][..]].concat()).collect();
            assert_eq!(within(read(&mut ends[end].2, expected.len())).await, expected);
        }
    }
}

/// Where each message begins is known, so that those that are not sent can be told apart.
#[tokio::test]
async fn messages_that_were_broadcast_together_are_given_back_one_by_one() {
    let mut peers = Peers::new(64, Limits::default());
    let (sender, _receiver, mut far) = peers.connect().await;
    let messages: Vec<Message> = (0..50).map(message).collect();
    let mut scratch = WriteBuffer::new();
    assert_eq!(sender.try_broadcast_many(&mut BroadcastMany::new(&messages, &mut scratch)).unwrap(), 50);
    // The pipe takes 64 bytes of them: five messages and some bytes of the sixth.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let unsent = numbers(&sender.take_unsent().await);
    assert_eq!(unsent, (6..50).collect::<Vec<u32>>());
    assert_eq!(within(read(&mut far, 12)).await, [b"\x00\x0a", &message(0)[0][..]].concat());
}

#[tokio::test]
async fn the_latest_message_takes_the_place_of_one_that_waits_untouched_and_of_no_other() {
    let mut peers = Peers::new(64, Limits::default());
    let (sender, _receiver, mut far) = peers.connect().await;
    let mut scratch = WriteBuffer::new();
    // Until the flusher is stuck with what it has.
    for number in 0..20 {
        sender.send_now(&message(number)).unwrap();
        tokio::task::yield_now().await;
    }
    let waiting = sender.queued();
    for number in 20..30 {
        if number % 2 == 0 {
            sender.send_latest(&message(number)).unwrap();
        } else {
            sender.broadcast_latest(&mut Broadcast::new(&message(number), &mut scratch)).unwrap();
        }
        assert_eq!(sender.queued(), waiting + 1);
    }
    // What was sent in the ordinary way meanwhile stays, and so does what was the latest before it.
    sender.send_now(&message(30)).unwrap();
    sender.send_latest(&message(31)).unwrap();
    sender.send_latest(&message(32)).unwrap();
    let expected: Vec<u32> = (0..20).chain([29, 30, 32]).collect();
    let mut bytes = vec![0; expected.len() * 12];
    within(far.read_exact(&mut bytes)).await.unwrap();
    let received: Vec<Message> = bytes.chunks(12).map(|frame| Message::from(frame[2..].to_vec())).collect();
    assert_eq!(numbers(&received), expected);
}

#[tokio::test]
async fn the_latest_message_leaves_others_alone_when_the_queue_was_taken_for_writing_in_between() {
    let mut peers = Peers::new(64, Limits::default());
    let (sender, _receiver, mut far) = peers.connect().await;
    for number in 0..20 {
        sender.send_now(&message(number)).unwrap();
    }
    sender.send_latest(&message(20)).unwrap();
    while sender.queued() > 0 {
        tokio::task::yield_now().await;
    }
    sender.send_now(&message(21)).unwrap();
    sender.send_latest(&message(22)).unwrap();
    sender.send_latest(&message(23)).unwrap();
    let expected: Vec<u32> = (0..=21).chain([23]).collect();
    let mut bytes = vec![0; expected.len() * 12];
    within(far.read_exact(&mut bytes)).await.unwrap();
    let received: Vec<Message> = bytes.chunks(12).map(|frame| Message::from(frame[2..].to_vec())).collect();
    assert_eq!(numbers(&received), expected);
}

#[tokio::test]
async fn a_latest_message_that_cannot_be_encoded_takes_nobodys_place() {
    let mut peers = Peers::new(64, Limits::default());
    let connect = Connect::new(&peers.transports, "pipe:///").server(Policy::same_process());
    let connection = connect.framing(LengthPrefixed).await.unwrap();
    let mut far = peers.far_ends.next().await;
    let (sender, _receiver) = connection.split();
    // Until the flusher is stuck with what it has.
    sender.send_now(&[0; 1000][..]).unwrap();
    while sender.queued() > 0 {
        tokio::task::yield_now().await;
    }
    sender.send_latest("one").unwrap();
    let two_parts: Message = ["a", "b"].into_iter().collect();
    for _ in 0..2 {
        assert!(matches!(sender.send_latest(&two_parts), Err(SendError::Unencodable(_))));
        assert_eq!(sender.queued(), 1);
    }
    sender.send_now("two").unwrap();
    sender.send_latest("three").unwrap();
    within(read(&mut far, 1004)).await;
    assert_eq!(within(read(&mut far, 23)).await, b"\0\0\0\x03one\0\0\0\x03two\0\0\0\x05three");
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_on_purpose_sends_pings_but_none_behind_what_waits() {
    let mut peers = Peers::new(64, Limits::default().with_ping_after(Duration::from_secs(10)));
    let (sender, mut receiver, mut far) = peers.connect().await;
    let busy = tokio::time::timeout(Duration::from_secs(35), receiver.stay_alive());
    assert!(busy.await.is_err());
    let mut pings = [0; 3 * 9];
    within(far.read_exact(&mut pings)).await.unwrap();
    assert!(pings.chunks(9).all(|ping| ping == b"\x04\x07\x04PING\0\0"), "{}", pings.escape_ascii());
    // The peer takes nothing now.
    for number in 0..10 {
        sender.send_now(&message(number)).unwrap();
    }
    let busy = tokio::time::timeout(Duration::from_secs(25), receiver.stay_alive());
    assert!(busy.await.is_err());
    let mut messages = [0; 10 * 12];
    within(far.read_exact(&mut messages)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1), far.read_u8()).await.is_err());
}
