//! Messages that are shown or noted down where they lie.

use super::taken::Taken;
use super::{ZmtpDecoder, frame_length};
use crate::batch::Place;
use crate::framing::zmtp::frame::{COMMAND, Header, MORE};
use crate::message::{Lent, MOST_LENT_PARTS, MessageRef};
use crate::write_buffer::SHARE_FROM;

impl ZmtpDecoder {
    /// Shows the whole messages at the front of `input`, and returns how many bytes they took. It stops at a command,
    /// and at a message of several parts that is better shared than lent.
    #[inline]
    pub(super) fn lend_messages(&self, input: &[u8], visit: &mut dyn FnMut(MessageRef<'_>)) -> usize {
        let mut at = 0;
        if !self.parts.is_empty() {
            return at;
        }
        while let Some(header) = Header::read(&input[at..]) {
            if header.flags & (MORE | COMMAND) != 0 {
                match self.lend_parts(&input[at..], visit) {
                    Some(taken) => at += taken,
                    None => break,
                }
                continue;
            }
            if self.check(header).is_err() {
                break; // the caller finds it again
            }
            let end = at.saturating_add(frame_length(header));
            let Some(body) = input.get(at + header.length..end) else {
                break;
            };
            at = end;
            visit(MessageRef(Lent::Slice(body)));
        }
        at
    }

    /// Shows the message of several small parts at the front of `input`, if all of it is there, and returns how many
    /// bytes it took.
    #[inline]
    fn lend_parts(&self, input: &[u8], visit: &mut dyn FnMut(MessageRef<'_>)) -> Option<usize> {
        let mut parts = [&[][..]; MOST_LENT_PARTS];
        let mut taken = Taken::default();
        let mut at = 0;
        for count in 1..=MOST_LENT_PARTS {
            let header = Header::read(&input[at..])?;
            if header.flags & COMMAND != 0 || header.body >= SHARE_FROM as u64 {
                return None;
            }
            taken = taken.add(header.body, &self.limits).ok()?;
            let end = at + frame_length(header);
            parts[count - 1] = input.get(at + header.length..end)?;
            at = end;
            if header.flags & MORE == 0 {
                visit(MessageRef(Lent::Slices(&parts[..count])));
                return Some(at);
            }
        }
        None
    }

    /// Where the parts of the whole messages at the front of `input` lie, up to `max` of them: how many bytes they take, the
    /// places, and how many messages they are. It stops at a command.
    pub(super) fn find_messages(&self, input: &[u8], max: usize) -> (usize, Vec<Place>, usize) {
        let (mut end, mut messages, mut whole) = (0, 0, 0);
        let mut places = Vec::new();
        if !self.parts.is_empty() {
            return (end, places, messages);
        }
        let mut at = 0;
        let mut taken = Taken::default();
        while let Some(header) = Header::read(&input[at..]).filter(|_| messages < max) {
            // Not checked yet: it may say anything.
            let next = at.saturating_add(frame_length(header));
            if header.flags & COMMAND != 0 || next > input.len() {
                break;
            }
            let more = header.flags & MORE != 0;
            let Ok(sum) = taken.add(header.body, &self.limits) else {
                break; // the caller finds it again
            };
            let Some(place) = Place::new(at + header.length..next, more) else {
                break;
            };
            if at == 0 {
                places.reserve(max.min(input.len() / next).clamp(1, MOST_PLACES));
            }
            places.push(place);
            at = next;
            if more {
                taken = sum;
            } else {
                taken = Taken::default();
                (end, whole) = (at, places.len());
                messages += 1;
            }
        }
        places.truncate(whole);
        (end, places, messages)
    }
}

/// So many places are made room for at once: more than fit a read of messages of a line.
const MOST_PLACES: usize = 4096;
