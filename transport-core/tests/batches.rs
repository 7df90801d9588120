//! What a batch is written in.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod common;

use std::io::ErrorKind;

use common::{authenticated_peer, listen};
use tokio::io::AsyncReadExt as _;

/// The most plaintext in a record of TLS.
const RECORD: usize = 16 << 10;

#[tokio::test]
async fn a_batch_goes_out_in_whole_records_and_its_rest_with_the_flush() {
    const MESSAGES: usize = 140;
    let message = [7; 1000];
    let framed = 9 + message.len();
    let mut server = listen().start().await.unwrap();
    let (mut peer, mut connection) = authenticated_peer(&mut server).await;
    let mut handshake = [0; 64 + 43];
    peer.read_exact(&mut handshake).await.unwrap();
    for _ in 0..MESSAGES {
        connection.feed(&message).await.unwrap();
    }
    let mut whole = vec![0; 8 * RECORD];
    peer.read_exact(&mut whole).await.unwrap();
    let nothing = peer.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(ErrorKind::WouldBlock));
    connection.flush().await.unwrap();
    let mut rest = vec![0; MESSAGES * framed - whole.len()];
    peer.read_exact(&mut rest).await.unwrap();
    for frame in [whole, rest].concat().chunks(framed) {
        assert_eq!(frame[9..], message);
    }
}
