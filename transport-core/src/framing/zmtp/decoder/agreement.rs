//! However messages are decoded, and however their bytes were cut, they are the same.

use bytes::BytesMut;
use proptest::prelude::*;

use super::tests::decoder;
use crate::batch::Batch;
use crate::framing::zmtp::encoder::ZmtpEncoder;
use crate::framing::{Event, MessageDecoder as _, MessageEncoder as _};
use crate::message::Message;
use crate::write_buffer::WriteBuffer;

fn text(event: Event) -> String {
    format!("{event:?}")
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        sent in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![0usize..4, 250usize..260, 20_000usize..20_001], 1..5), 1..6),
        cuts in proptest::collection::vec(1usize..5000, 1..50),
    ) {
        let sent: Vec<Message> = sent
            .into_iter()
            .map(|parts| parts.into_iter().map(|size| vec![u8::try_from(size % 251).unwrap(); size]).collect())
            .collect();
        let mut out = WriteBuffer::new();
        for message in &sent {
            ZmtpEncoder { sealer: None, subscription_commands: false }.encode(message.into(), &mut out).unwrap();
        }
        let bytes = out.to_vec();
        let mut decoder = decoder(1 << 20, 10);
        let mut received = Vec::new();
        let mut input = BytesMut::new();
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            input.extend_from_slice(now);
            rest = later;
            decoder.decode_many(&mut input, &mut received, 2).unwrap();
            if rest.is_empty() {
                break;
            }
        }
        decoder.decode_many(&mut input, &mut received, usize::MAX).unwrap();
        prop_assert!(!decoder.is_mid_message(&input));
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn lending_gives_the_same_messages_as_decoding(
        bytes in proptest::collection::vec(prop_oneof![0u8..8, Just(4), any::<u8>()], 0..200),
        cut in 0usize..200,
        taken_before in 0usize..3,
    ) {
        let (one, two) = bytes.split_at(cut.min(bytes.len()));
        let mut expected = Vec::new();
        let mut plain = decoder(1000, 4);
        let mut input = BytesMut::from(&bytes[..]);
        let end = loop {
            match plain.decode(&mut input) {
                Ok(Some(Event::Message(message))) => expected.push(message),
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let mut lent = Vec::new();
        let mut lending = decoder(1000, 4);
        let mut input = BytesMut::from(one);
        let mut failed = None;
        for _ in 0..taken_before {
            match lending.decode(&mut input) {
                Ok(Some(Event::Message(message))) => lent.push(message),
                Ok(_) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        for more in [&[][..], two] {
            input.extend_from_slice(more);
            while failed.is_none() {
                match lending.decode_each(&mut input, &mut |message| lent.push(message.to_message())) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => failed = Some(error),
                }
            }
        }
        prop_assert_eq!(lent, expected);
        prop_assert_eq!(failed, end);
    }

    #[test]
    fn batches_give_the_same_messages_as_decoding(
        bytes in proptest::collection::vec(prop_oneof![0u8..8, Just(4), any::<u8>()], 0..200),
        cuts in proptest::collection::vec(1usize..40, 1..10),
        max in 1usize..5,
        one_by_one in 0usize..3,
    ) {
        let mut plain = decoder(1000, 4);
        let mut expected = Vec::new();
        let mut input = BytesMut::from(&bytes[..]);
        let end = loop {
            match plain.decode(&mut input) {
                Ok(Some(event)) => expected.push(text(event)),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let mut batching = decoder(1000, 4);
        let (mut events, mut failed) = (Vec::new(), None);
        let (mut input, mut rest) = (BytesMut::new(), &bytes[..]);
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            input.extend_from_slice(now);
            rest = later;
            // Some are decoded one by one before.
            for _ in 0..one_by_one {
                match batching.decode(&mut input) {
                    Ok(event) => events.extend(event.map(text)),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            while failed.is_none() {
                let mut batch = Batch::new();
                let decoded = batching.decode_batch(&mut input, &mut batch, max);
                let count = batch.len();
                prop_assert!(count <= max);
                events.extend(batch.map(|message| text(Event::Message(message))));
                match decoded {
                    Ok(None) if count == 0 => break,
                    Ok(event) => events.extend(event.map(text)),
                    Err(error) => failed = Some(error),
                }
            }
            if rest.is_empty() || failed.is_some() {
                break;
            }
        }
        prop_assert_eq!(events, expected);
        prop_assert_eq!(failed, end);
    }
}
