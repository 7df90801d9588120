//! Streams: every byte, in order, both ways.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use transport_core::BoxStream;

use crate::establish::pair;
use crate::harness::Harness;
use crate::pattern::{pattern, read_pattern, write_pattern};

/// Many MiB in pieces of random sizes arrive as they were written, one way and then the other.
pub async fn bytes_arrive_in_order(harness: impl Harness) {
    let (mut near, mut far) = pair(&harness).await;
    tokio::join!(write_pattern(&mut near.stream, 1, 0, MANY), read_pattern(&mut far.stream, 1, 0, MANY));
    tokio::join!(write_pattern(&mut far.stream, 2, 0, MANY), read_pattern(&mut near.stream, 2, 0, MANY));
}

/// When both directions are full, the halves of both ends read and write at once and none waits for another for ever.
pub async fn both_directions_flow_at_once_with_full_buffers(harness: impl Harness) {
    let (mut near, mut far) = pair(&harness).await;
    let near_start = fill(&mut near.stream, 1).await;
    let far_start = fill(&mut far.stream, 2).await;
    let (mut near_read, mut near_write) = near.stream.into_split();
    let (mut far_read, mut far_write) = far.stream.into_split();
    let (near_end, far_end) = (near_start + MANY, far_start + MANY);
    let tasks = [
        tokio::spawn(async move { write_pattern(&mut near_write, 1, near_start, near_end).await }),
        tokio::spawn(async move { write_pattern(&mut far_write, 2, far_start, far_end).await }),
        tokio::spawn(async move { read_pattern(&mut near_read, 2, 0, far_end).await }),
        tokio::spawn(async move { read_pattern(&mut far_read, 1, 0, near_end).await }),
    ];
    for task in tasks {
        task.await.expect("the bytes of one direction");
    }
}

/// After the last byte the reader sees the end, and sees it again when it asks again.
pub async fn end_of_stream_is_seen(harness: impl Harness) {
    let (mut near, mut far) = pair(&harness).await;
    near.stream.write_all(b"last words").await.expect("write");
    near.stream.shutdown().await.expect("shutdown");
    assert_eq!(read_to_end(&mut far.stream).await, b"last words");
    assert_eq!(far.stream.read(&mut [0; 8]).await.expect("read again"), 0);
}

/// One direction ends while the other carries on, for whole streams and for their halves.
pub async fn one_direction_ends_while_the_other_goes_on(harness: impl Harness) {
    let (mut near, mut far) = pair(&harness).await;
    near.stream.shutdown().await.expect("shutdown");
    assert_eq!(read_to_end(&mut far.stream).await, b"");
    tokio::join!(write_pattern(&mut far.stream, 3, 0, MANY), read_pattern(&mut near.stream, 3, 0, MANY));
    far.stream.shutdown().await.expect("shutdown");
    assert_eq!(read_to_end(&mut near.stream).await, b"");

    let (near, far) = pair(&harness).await;
    let (mut near_read, mut near_write) = near.stream.into_split();
    let (mut far_read, mut far_write) = far.stream.into_split();
    near_write.shutdown().await.expect("shutdown of a half");
    assert_eq!(read_to_end(&mut far_read).await, b"");
    tokio::join!(write_pattern(&mut far_write, 4, 0, MANY), read_pattern(&mut near_read, 4, 0, MANY));
}

/// When one end is dropped, the other reads to the end and cannot write any more.
pub async fn dropping_one_end_ends_the_other(harness: impl Harness) {
    let (near, mut far) = pair(&harness).await;
    drop(near);
    let read = far.stream.read(&mut [0; 8]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "read {read:?}");
    let piece = [0; 10_000];
    // Whatever the first writes say, they cannot all succeed.
    for _ in 0..MANY / piece.len() {
        if far.stream.write_all(&piece).await.is_err() || far.stream.flush().await.is_err() {
            return;
        }
    }
    panic!("{MANY} bytes were written to nobody");
}

/// A vectored write takes all slices at once, at both ends and through their halves, wherever the stream says so.
pub async fn a_vectored_write_delivers_all_slices_in_order(harness: impl Harness) {
    let expected = harness.expected().vectored;
    let (mut near, mut far) = pair(&harness).await;
    vectored(&mut near.stream, &mut far.stream, expected).await;
    vectored(&mut far.stream, &mut near.stream, expected).await;
    let (mut near_read, mut near_write) = near.stream.into_split();
    let (mut far_read, mut far_write) = far.stream.into_split();
    vectored(&mut near_write, &mut far_read, expected).await;
    vectored(&mut far_write, &mut near_read, expected).await;
}

/// A stream gives its socket if and only if its bytes are exactly those of the socket.
pub async fn a_plain_socket_is_given_where_there_is_one(harness: impl Harness) {
    let expected = harness.expected().plain_socket;
    let (mut near, mut far) = pair(&harness).await;
    plain_socket(&mut near.stream, &mut far.stream, expected).await;
    plain_socket(&mut far.stream, &mut near.stream, expected).await;
}

async fn plain_socket(reader: &mut BoxStream, writer: &mut BoxStream, expected: bool) {
    assert_eq!(reader.plain_socket().is_some(), expected);
    writer.write_all(b"ab").await.expect("write");
    writer.flush().await.expect("flush");
    // Both bytes were written at once: when the first is there, so is the second.
    assert_eq!(reader.read_u8().await.expect("read"), b'a');
    if let Some(socket) = reader.plain_socket() {
        let mut peeked = [0; 8];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let (_, length) = rustix::net::recv(socket, &mut peeked, flags).expect("peek at the socket");
        assert_eq!(&peeked[..length], b"b");
    }
    assert_eq!(reader.read_u8().await.expect("read"), b'b');
}

async fn vectored(to: &mut (impl AsyncWrite + Unpin), from: &mut (impl AsyncRead + Unpin), expected: bool) {
    assert_eq!(to.is_write_vectored(), expected, "is_write_vectored");
    let sent = pattern(5, 0, 1500);
    let slices: Vec<_> = [&sent[..1], &[], &sent[1..500], &sent[500..]].map(IoSlice::new).into();
    let written = poll_fn(|cx| Pin::new(&mut *to).poll_write_vectored(cx, &slices)).await;
    let written = written.expect("write vectored");
    if expected {
        assert_eq!(written, sent.len(), "the stream takes so much more than these slices");
    }
    to.write_all(&sent[written..]).await.expect("write the rest");
    to.flush().await.expect("flush");
    let mut received = vec![0; sent.len()];
    from.read_exact(&mut received).await.expect("read");
    assert!(received == sent, "the slices are not what was written");
}

/// Writes the sequence until the stream has taken nothing for a while; returns how much it has taken.
async fn fill(stream: &mut BoxStream, seed: u64) -> usize {
    const NOTHING_FOR: Duration = Duration::from_millis(50);
    let mut taken = 0;
    loop {
        let piece = pattern(seed, taken, 50_000);
        match tokio::time::timeout(NOTHING_FOR, stream.write(&piece)).await {
            Ok(length) => taken += length.expect("write"),
            Err(_full) => return taken,
        }
    }
}

async fn read_to_end(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).await.expect("read to the end");
    bytes
}

/// Many times what the buffers on the way hold, apart from the largest that TCP grows to.
const MANY: usize = 8 << 20;
