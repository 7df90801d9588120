//! What the fuzz targets check: for `fuzz/` and the test that replays its corpus. Not part of the API.

use std::collections::BTreeSet;

use transport_core::Message;

pub use crate::curve::fuzzing::curve;
use crate::logic::requests::{self, Reply};
use crate::logic::subscriptions::{CANCEL, SUBSCRIBE, Subscriptions};
use crate::tunnel::check_frames;

/// No messages of a peer panic, and what waits for the application stays within its window. The bytes are messages one
/// behind the other: a byte for the number of parts, and for each part two bytes of length and the part.
pub fn zmq_stream(bytes: &[u8]) {
    check_frames(messages(bytes));
}

/// Envelopes and subscriptions that sockets are sent: an envelope and what stands behind it are the message, and a topic has
/// the subscribers that a plain set has. The bytes are as those of [`zmq_stream`].
pub fn zmq_patterns(bytes: &[u8]) {
    let (mut tree, mut plain) = (Subscriptions::new(), BTreeSet::new());
    for message in messages(bytes) {
        if let Some((envelope, body)) = requests::split(message.clone()) {
            assert!(envelope.iter().chain(body.parts()).eq(message.parts()));
        }
        for id in [None, Some(7)] {
            if let Reply::Answer(body) = requests::open(message.clone(), id) {
                assert!(requests::envelope(id).iter().chain(body.parts()).eq(message.parts()));
            }
        }
        let key = message.part_count();
        let Some((kind, topic)) = message[0].split_first() else { continue };
        let others = |plain: &BTreeSet<(Vec<u8>, usize)>| plain.iter().any(|(other, _)| other == topic);
        match *kind {
            SUBSCRIBE => {
                let first = !others(&plain);
                plain.insert((topic.to_vec(), key));
                assert_eq!(tree.insert(topic, key), first);
            }
            CANCEL => {
                let last = plain.remove(&(topic.to_vec(), key)) && !others(&plain);
                assert_eq!(tree.remove(topic, key), last);
            }
            _ => {
                let mut found = Vec::new();
                tree.visit(&message[0], |key| found.push(key));
                let matching = plain.iter().filter(|(topic, _)| message[0].starts_with(topic));
                let mut expected: Vec<usize> = matching.map(|(_, key)| *key).collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected);
            }
        }
    }
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
