//! Permits to send, messages that are lent where they lie, and batches.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use transport_core::mem::MemTransport;
use transport_core::{
    Connect, Connection, FramingError, Limits, Listen, Message, Policy, RecvError, SendError, Transports,
};

const NET: Duration = Duration::from_secs(20);

async fn pair(limits: Limits) -> (Connection, Connection) {
    let transports = Transports::new().with(MemTransport::new());
    let listen =
        Listen::new(&transports, "mem://permits").policy(Policy::same_process()).limits(limits.clone());
    let mut server = listen.start().await.unwrap();
    let connect = Connect::new(&transports, "mem://permits").server(Policy::same_process()).limits(limits);
    let client = connect.await.unwrap();
    (client, server.accept().await.unwrap())
}

async fn send_all(connection: &mut Connection, messages: &[Message]) {
    for message in messages {
        connection.feed(message).await.unwrap();
    }
    connection.flush().await.unwrap();
}

#[tokio::test]
async fn a_permit_queues_without_waiting_and_an_unused_one_does_nothing() {
    let (mut client, mut server) = pair(Limits::default()).await;
    let _unused = client.reserve().await.unwrap();
    client.reserve().await.unwrap().feed("one").unwrap();
    client.reserve().await.unwrap().feed("two").unwrap();
    client.flush().await.unwrap();
    for expected in ["one", "two"] {
        assert_eq!(server.recv().await.unwrap().unwrap().to_text(), Some(expected));
    }
}

#[tokio::test]
async fn what_a_permit_queued_goes_out_while_this_side_receives() {
    let (mut client, mut server) = pair(Limits::default()).await;
    client.reserve().await.unwrap().feed("ping").unwrap();
    let answering = async {
        let message = server.recv().await.unwrap().unwrap();
        server.send(&message).await.unwrap();
    };
    let (received, ()) =
        tokio::time::timeout(NET, async { tokio::join!(client.recv(), answering) }).await.unwrap();
    assert_eq!(received.unwrap().unwrap().to_text(), Some("ping"));
}

#[tokio::test(start_paused = true)]
async fn a_sender_has_to_wait_for_a_permit_while_the_peer_takes_nothing() {
    let (client, mut server) = pair(Limits::default().with_queued_out(10_000)).await;
    let (sender, _receiver) = client.split();
    let mut sent = 0;
    // Until stream and queue are full.
    while let Ok(permit) = tokio::time::timeout(Duration::from_millis(100), sender.reserve()).await {
        permit.unwrap().send(&[7; 1000]).unwrap();
        sent += 1;
    }
    assert!(
        (60..200).contains(&sent),
        "{sent} messages of 1000 bytes for 64 KiB of stream and 10 kB of queue"
    );
    let reading = async {
        for _ in 0..sent {
            assert_eq!(server.recv().await.unwrap().unwrap()[0].len(), 1000);
        }
    };
    let (permit, ()) =
        tokio::time::timeout(NET, async { tokio::join!(sender.reserve(), reading) }).await.unwrap();
    permit.unwrap().send("room again").unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap().to_text(), Some("room again"));
}

#[tokio::test]
async fn after_close_senders_and_permits_are_told() {
    let (client, mut server) = pair(Limits::default()).await;
    let (sender, _receiver) = client.split();
    let other = sender.clone();
    let permit = other.reserve().await.unwrap();
    sender.close().await.unwrap();
    assert!(matches!(permit.send("late"), Err(SendError::Io(_))));
    assert!(matches!(other.send("late").await, Err(SendError::Io(_))));
    assert!(server.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn messages_are_lent_in_order_with_all_their_parts() {
    let (mut client, server) = pair(Limits::default()).await;
    let sent: Vec<Message> = vec![
        "one".into(),
        ["two", "", "parts"].into_iter().collect(),
        vec![7; 100_000].into(),
        "four".into(),
    ];
    let (_sender, mut receiver) = server.split();
    let mut received = Vec::new();
    let sending = send_all(&mut client, &sent);
    let receiving = async {
        while received.len() < sent.len() {
            let count = receiver.recv_each(|message| received.push(message.to_message())).await.unwrap();
            assert!(count > 0);
        }
    };
    tokio::time::timeout(NET, async { tokio::join!(sending, receiving) }).await.unwrap();
    assert_eq!(received, sent);
    let end = receiver.recv_each(|_| panic!("nothing comes"));
    let (closed, end) = tokio::join!(client.close(), end);
    closed.unwrap();
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn batches_have_the_messages_in_order_between_other_ways_to_receive() {
    let (mut client, server) = pair(Limits::default()).await;
    let sent: Vec<Message> = (0..2000u32)
        .map(|number| match number % 5 {
            0 => vec![7; 40_000].into(),
            1 => [number.to_be_bytes().to_vec(), vec![], vec![8; 20_000]].into_iter().collect(),
            _ => number.to_be_bytes().to_vec().into(),
        })
        .collect();
    let (_sender, mut receiver) = server.split();
    let mut received = Vec::new();
    let sending = send_all(&mut client, &sent);
    let receiving = async {
        while received.len() < sent.len() {
            let batch = receiver.recv_batch(7).await.unwrap();
            assert!((1..=7).contains(&batch.len()));
            batch.lend_each(|message| received.push(message.to_message()));
            if received.len() < sent.len() {
                received.push(receiver.recv().await.unwrap().unwrap());
            }
            if received.len() < sent.len() {
                received.extend(receiver.recv_batch(1).await.unwrap());
            }
        }
    };
    tokio::time::timeout(NET, async { tokio::join!(sending, receiving) }).await.unwrap();
    assert!(received == sent, "in order and with all their parts");
    assert!(receiver.recv_batch(0).await.unwrap().is_empty());
    let (closed, end) = tokio::join!(client.close(), receiver.recv_batch(7));
    closed.unwrap();
    assert!(end.unwrap().is_empty());
}

#[tokio::test]
async fn an_error_behind_a_batch_comes_after_it() {
    let (client, server) = pair(Limits::default()).await;
    let (mut stream, _) = client.into_stream().unwrap();
    let bytes = b"\x00\x01a\x00\x01b\x04\x05\x04PING";
    tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.unwrap();
    let (_sender, mut receiver) = server.split();
    let batch = receiver.recv_batch(10).await.unwrap();
    assert_eq!(batch.collect::<Vec<_>>(), [Message::from("a"), Message::from("b")]);
    let error = receiver.recv_batch(10).await.unwrap_err();
    assert!(matches!(error, RecvError::Framing(FramingError::Malformed { .. })), "{error}");
    assert!(receiver.recv_batch(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_error_behind_messages_comes_after_them_however_they_are_received() {
    for many in [true, false] {
        let (client, mut server) = pair(Limits::default()).await;
        let (mut stream, _) = client.into_stream().unwrap();
        // Two messages, and a PING without room for its time to live.
        let bytes = b"\x00\x01a\x00\x01b\x04\x05\x04PING";
        tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.unwrap();
        let mut received = Vec::new();
        let count = match many {
            true => server.recv_many(&mut received, 10).await.unwrap(),
            false => server.recv_each(|message| received.push(message.to_message())).await.unwrap(),
        };
        assert_eq!((count, received), (2, vec![Message::from("a"), Message::from("b")]));
        let error = server.recv().await.unwrap_err();
        assert!(matches!(error, RecvError::Framing(FramingError::Malformed { .. })), "{error}");
        assert!(server.recv().await.unwrap().is_none());
    }
}
