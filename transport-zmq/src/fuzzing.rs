//! What the fuzz targets check: for `fuzz/` and the test that replays its corpus. Not part of the API.

use transport_core::Message;

pub use crate::curve::fuzzing::curve;
use crate::tunnel::check_frames;

/// No messages of a peer panic, and what waits for the application stays within its window. The bytes are messages one
/// behind the other: a byte for the number of parts, and for each part two bytes of length and the part.
pub fn zmq_stream(bytes: &[u8]) {
    check_frames(messages(bytes));
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        let (&count, mut rest) = bytes.split_first()?;
        let mut parts = Vec::new();
        for _ in 0..count {
            let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
            let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
            let (part, after) = after.split_at(length);
            parts.push(bytes::Bytes::copy_from_slice(part));
            rest = after;
        }
        bytes = rest;
        Some(parts.into_iter().collect())
    })
}
