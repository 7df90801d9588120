//! Messages of all shapes, many of them, in both directions.

use bytes::Bytes;
use interop::Wire;
use serde_json::json;
use transport::{Limits, Message};

use crate::set_up::{Meeting, Side, meet};

/// Around each length at which a frame's header, libzmq's batches or the way in which a part is kept change.
const LENGTHS: [usize; 11] = [0, 1, 254, 255, 256, 300, 8191, 8192, 8193, 16384, 65536];

everywhere! {
    parts_of_any_length_come_back_as_they_were
    a_part_of_64_mebibytes_comes_back_as_it_was
    messages_of_1_to_1000_parts_come_back_as_they_were
    a_hundred_thousand_messages_each_way_arrive_in_order
}

async fn parts_of_any_length_come_back_as_they_were(wire: Wire, side: Side) {
    let Some(mut meeting) = meet(wire, side, "DEALER", json!({}), Limits::default()).await else {
        return;
    };
    let each_alone = LENGTHS.map(|length| Message::new(part(length)));
    let all_in_one = LENGTHS.into_iter().map(part).collect::<Message>();
    let messages: Vec<Message> = each_alone.into_iter().chain([all_in_one]).collect();
    assert_echo(&mut meeting, &messages).await;
}

async fn a_part_of_64_mebibytes_comes_back_as_it_was(wire: Wire, side: Side) {
    let length = 64 << 20;
    let limits = Limits::default().with_message(length + 16);
    let Some(mut meeting) = meet(wire, side, "DEALER", json!({}), limits).await else {
        return;
    };
    assert_echo(&mut meeting, &[Message::new(part(length))]).await;
}

async fn messages_of_1_to_1000_parts_come_back_as_they_were(wire: Wire, side: Side) {
    let Some(mut meeting) = meet(wire, side, "DEALER", json!({}), Limits::default()).await else {
        return;
    };
    let messages = [1, 2, 3, 7, 100, 999, 1000].map(|count| (0..count).map(part).collect::<Message>());
    assert_echo(&mut meeting, &messages).await;
    let empty_parts: Message = vec![Bytes::new(); 1000].into_iter().collect();
    assert_echo(&mut meeting, &[empty_parts]).await;
}

async fn a_hundred_thousand_messages_each_way_arrive_in_order(wire: Wire, side: Side) {
    let count = 100_000;
    let Some(mut meeting) = meet(wire, side, "DEALER", json!({}), Limits::default()).await else {
        return;
    };
    let peer = meeting.theirs.peer();
    peer.tell(json!({"do": "check_flood", "count": count})).await;
    for number in 0..count {
        meeting.ours.feed(&u64::to_be_bytes(number)).await.unwrap();
    }
    meeting.ours.flush().await.unwrap();
    peer.answer().await;

    peer.tell(json!({"do": "flood", "count": count})).await;
    for number in 0..count {
        let message = meeting.ours.recv().await.unwrap().unwrap();
        assert_eq!(message.parts(), [&u64::to_be_bytes(number)[..]]);
    }
    peer.answer().await;
}

/// Bytes that tell by their order whether any were lost, added or exchanged.
fn part(length: usize) -> Bytes {
    // 251 is prime: the pattern does not repeat in step with any buffer.
    (0u8..251).cycle().take(length).collect()
}

async fn assert_echo(Meeting { ours, theirs, .. }: &mut Meeting, messages: &[Message]) {
    theirs.echo(messages.len()).await;
    for message in messages {
        ours.send(message).await.unwrap();
        let back = ours.recv().await.unwrap().unwrap();
        // Not assert_eq!: nobody wants to read 64 MiB.
        assert!(back == *message, "{:?} came back as {:?}", shape(message), shape(&back));
    }
    theirs.done().await;
}

fn shape(message: &Message) -> (usize, usize) {
    (message.part_count(), message.byte_count())
}
