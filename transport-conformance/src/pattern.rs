//! Bytes that can be checked wherever they turn up, and random numbers that are the same in every run.

use std::sync::LazyLock;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use transport_core::Message;

/// Xorshift64*: small, fast, and never for secrets.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(GOLDEN) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 1 to `most`.
    pub(crate) fn length(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).expect("a length has at most 64 bits");
        usize::try_from(self.next() % most + 1).expect("no larger than most")
    }
}

/// The bytes from `start` on, of the endless sequence number `seed`.
pub(crate) fn pattern(seed: u64, start: usize, length: usize) -> Vec<u8> {
    // Copied from a table, since a debug build would take longer to compute the bytes than to send them.
    static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut random = Random::new(0);
        (0..PERIOD).map(|_| random.next().to_be_bytes()[0]).collect()
    });
    let offset = Random::new(seed).length(PERIOD);
    let mut at = (start + offset) % PERIOD;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let end = PERIOD.min(at + length - bytes.len());
        bytes.extend_from_slice(&TABLE[at..end]);
        at = 0;
    }
    bytes
}

/// A message with its number in the first part and a body that belongs to the number in the second.
pub(crate) fn numbered(number: usize, length: usize) -> Message {
    let seed = u64::try_from(number).expect("a number has at most 64 bits");
    [number.to_string().into_bytes(), pattern(seed, 0, length)].into_iter().collect()
}

/// The number of a message that [`numbered`] made, once its body has been checked.
pub(crate) fn number_of(message: &Message) -> usize {
    let number = message.to_text().expect("a number").parse().expect("a number");
    let expected = numbered(number, message[1].len());
    assert!(*message == expected, "message {number} is not what was sent");
    number
}

/// Writes the sequence from `start` to `end`, in pieces of random sizes.
pub(crate) async fn write_pattern(to: &mut (impl AsyncWrite + Unpin), seed: u64, start: usize, end: usize) {
    let mut random = Random::new(seed);
    let mut at = start;
    while at < end {
        let length = random.length(LONGEST).min(end - at);
        to.write_all(&pattern(seed, at, length)).await.expect("write");
        at += length;
    }
    to.flush().await.expect("flush");
}

/// Reads the sequence from `start` to `end` into buffers of random sizes, and checks it.
pub(crate) async fn read_pattern(from: &mut (impl AsyncRead + Unpin), seed: u64, start: usize, end: usize) {
    let mut random = Random::new(!seed);
    let mut buffer = vec![0; LONGEST];
    let mut at = start;
    while at < end {
        let room = random.length(LONGEST).min(end - at);
        let length = from.read(&mut buffer[..room]).await.expect("read");
        assert_ne!(length, 0, "the stream ended after {at} of {end} bytes");
        assert!(
            buffer[..length] == pattern(seed, at, length),
            "wrong bytes between {at} and {}",
            at + length
        );
        at += length;
    }
}

/// After so many bytes a sequence repeats: a prime, so that no buffer's size divides it.
const PERIOD: usize = 1_048_573;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Pieces are up to this long: more than a `mem` stream's buffer, less than a socket's.
const LONGEST: usize = 100_000;
