//! Encoded bytes on their way out.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Encoded bytes that wait to be written: small things copied into one buffer, large parts by reference.
///
/// A [`MessageEncoder`](crate::framing::MessageEncoder) appends to it; the connection writes it out with as few
/// system calls as possible.
///
/// ```text
/// copied:  [header a b c header ^ d header ^ e]        ^ = place of a shared part
/// on the wire:   header a b c header SHARED1 d header SHARED2 e
/// ```
#[derive(Debug, Default)]
pub struct WriteBuffer {
    copied: Vec<u8>,
    /// How much of `copied` has been written. Invariant: at most the place of the first shared part.
    written: usize,
    /// Present while there are any, and a little longer: most connections never send a large part.
    shared: Option<Box<Shared>>,
    /// All bytes that were ever written: a connection's client tells by it which messages were.
    taken: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// Shared parts with their places in `copied`, in ascending order.
    parts: VecDeque<(usize, Bytes)>,
    /// The bytes in `parts`.
    bytes: usize,
}

/// From this size on, sharing a part by reference is cheaper than copying it.
pub const SHARE_FROM: usize = 16 << 10;

impl WriteBuffer {
    /// An empty buffer, which has allocated nothing.
    pub fn new() -> WriteBuffer {
        WriteBuffer::default()
    }

    /// The bytes that wait.
    pub fn len(&self) -> usize {
        self.copied.len() - self.written + self.shared.as_ref().map_or(0, |shared| shared.bytes)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.written == self.copied.len() && self.shared().is_empty()
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    /// Makes room for `additional` copied bytes.
    #[inline]
    pub fn reserve(&mut self, additional: usize) {
        self.copied.reserve(additional);
    }

    /// Appends `bytes`: by reference from [`SHARE_FROM`] on, as a copy below.
    #[inline]
    pub fn put_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM {
            self.put_slice(bytes);
        } else {
            self.share(bytes);
        }
    }

    /// Where copied bytes are appended: for what writes into a vector by itself.
    pub(crate) fn copied_mut(&mut self) -> &mut Vec<u8> {
        &mut self.copied
    }

    /// Appends what waits in another buffer: copies what it has copied, and shares what it shares.
    pub(crate) fn append(&mut self, other: &WriteBuffer) {
        let mut at = other.written;
        for (place, bytes) in other.shared() {
            self.put_slice(&other.copied[at..*place]);
            self.share(bytes);
            at = *place;
        }
        self.put_slice(&other.copied[at..]);
    }

    /// Forgets what waits, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.copied.clear();
        self.written = 0;
        self.shared = None;
    }

    /// Copies everything that waits into one vector: for tests and for framings that wrap another.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        let mut at = self.written;
        for (place, bytes) in self.shared() {
            all.extend_from_slice(&self.copied[at..*place]);
            all.extend_from_slice(bytes);
            at = *place;
        }
        all.extend_from_slice(&self.copied[at..]);
        all
    }

    /// The waiting bytes as one slice, when no shared part is among them.
    pub(crate) fn as_single_slice(&self) -> Option<&[u8]> {
        self.shared().is_empty().then(|| &self.copied[self.written..])
    }

    /// Fills `slices` with the first `most` bytes of what waits, in order, and returns how many were used.
    pub(crate) fn fill_slices<'a>(&'a self, most: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut used, mut left) = (0, most);
        let mut at = self.written;
        let end = (self.copied.len(), &[][..]);
        let places = self.shared().iter().map(|(place, bytes)| (*place, &bytes[..])).chain([end]);
        for (place, bytes) in places {
            for slice in [&self.copied[at..place], bytes] {
                if slice.is_empty() {
                    continue;
                }
                if used == slices.len() || left == 0 {
                    return used;
                }
                let slice = &slice[..slice.len().min(left)];
                slices[used] = IoSlice::new(slice);
                used += 1;
                left -= slice.len();
            }
            at = place;
        }
        used
    }

    /// How many bytes have been written since this buffer was made.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes were ever appended.
    pub(crate) fn end(&self) -> u64 {
        self.taken + self.len() as u64
    }

    /// Takes the bytes from `start` to `end` out again, counted as [`end`](WriteBuffer::end) counts. None of them has been
    /// written, and no shared part lies on both sides of a boundary.
    pub(crate) fn take_out(&mut self, start: u64, end: u64) {
        debug_assert!(self.taken <= start && start <= end && end <= self.end(), "these bytes wait");
        let ((from, first), (to, behind)) = (self.locate(start), self.locate(end));
        self.copied.drain(from..to);
        if let Some(shared) = &mut self.shared {
            shared.bytes -= shared.parts.drain(first..behind).map(|(_, bytes)| bytes.len()).sum::<usize>();
            shared.parts.iter_mut().skip(first).for_each(|(place, _)| *place -= to - from);
        }
    }

    /// Forgets `count` bytes, which have been written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.len(), "no more can have been written than waited");
        self.taken += count as u64;
        while count > 0 {
            let place = self.shared().front().map_or(self.copied.len(), |(place, _)| *place);
            let step = count.min(place - self.written);
            self.written += step;
            count -= step;
            let Some(shared) = self.shared.as_mut().filter(|_| count > 0) else { continue };
            if let Some((_, bytes)) = shared.parts.front_mut() {
                let step = count.min(bytes.len());
                let _written = bytes.split_to(step);
                shared.bytes -= step;
                count -= step;
                if bytes.is_empty() {
                    shared.parts.pop_front();
                }
            }
        }
        if self.is_empty() {
            self.copied.clear();
            self.written = 0;
        } else if self.written > self.copied.len() / 2 {
            self.compact();
        }
    }

    /// Whether it holds more memory than while it is idle.
    pub(crate) fn holds_memory(&self) -> bool {
        self.shared.is_some() || self.copied.capacity() > KEEP_WHEN_IDLE
    }

    /// Gives large memory back, once nothing waits.
    pub(crate) fn release_memory(&mut self) {
        if self.is_empty() {
            self.shared = None;
            if self.copied.capacity() > KEEP_WHEN_IDLE {
                self.copied = Vec::new();
            }
        }
    }

    /// Has the copied bytes that wait begin the buffer again: while a rest always waits, it would only grow.
    fn compact(&mut self) {
        self.copied.drain(..self.written);
        if let Some(shared) = &mut self.shared {
            shared.parts.iter_mut().for_each(|(place, _)| *place -= self.written);
        }
        self.written = 0;
    }

    /// Where in `copied`, and before which shared part, the byte is that waits at `position`.
    fn locate(&self, position: u64) -> (usize, usize) {
        // As many bytes as wait in memory, so it is a usize.
        let mut left = usize::try_from(position - self.taken).unwrap_or(usize::MAX);
        let mut at = self.written;
        for (index, (place, bytes)) in self.shared().iter().enumerate() {
            if left <= place - at {
                return (at + left, index);
            }
            left -= place - at + bytes.len();
            at = *place;
        }
        (at + left, self.shared().len())
    }

    fn share(&mut self, bytes: &Bytes) {
        let shared = self.shared.get_or_insert_default();
        shared.bytes += bytes.len();
        shared.parts.push_back((self.copied.len(), bytes.clone()));
    }

    fn shared(&self) -> &VecDeque<(usize, Bytes)> {
        const NONE: &VecDeque<(usize, Bytes)> = &VecDeque::new();
        self.shared.as_ref().map_or(NONE, |shared| &shared.parts)
    }
}

/// An idle connection keeps at most this much of its write buffer.
const KEEP_WHEN_IDLE: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shared(fill: u8) -> Bytes {
        Bytes::from(vec![fill; SHARE_FROM + usize::from(fill)])
    }

    #[test]
    fn small_parts_are_copied_and_large_ones_shared() {
        let mut buffer = WriteBuffer::new();
        let large = shared(1);
        buffer.put_slice(b"head");
        buffer.put_bytes(&large);
        buffer.put_bytes(&Bytes::from_static(b"small"));
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(buffer.fill_slices(usize::MAX, &mut slices), 3);
        assert_eq!(&*slices[0], b"head");
        assert_eq!(slices[1].as_ptr(), large.as_ptr());
        assert_eq!(&*slices[2], b"small");
    }

    #[test]
    fn two_shared_parts_in_a_row_stay_in_order() {
        let mut buffer = WriteBuffer::new();
        buffer.put_bytes(&shared(1));
        buffer.put_bytes(&shared(2));
        let mut slices = [IoSlice::new(&[]); 1];
        assert_eq!(buffer.fill_slices(usize::MAX, &mut slices), 1);
        assert_eq!(slices[0][0], 1);
        buffer.advance(SHARE_FROM + 1);
        assert_eq!(buffer.to_vec(), shared(2));
    }

    #[test]
    fn what_waits_can_be_taken_out_from_under_what_followed() {
        for large in [false, true] {
            for (written, large_behind) in [(0, false), (2, false), (2, true)] {
                let mut buffer = WriteBuffer::new();
                buffer.put_slice(b"before");
                buffer.put_bytes(&shared(1));
                buffer.advance(written);
                let start = buffer.end();
                buffer.put_slice(b"head");
                if large {
                    buffer.put_bytes(&shared(2));
                    buffer.put_bytes(&shared(3));
                    buffer.put_slice(b"more");
                }
                let end = buffer.end();
                let behind = if large_behind { shared(5) } else { Bytes::new() };
                buffer.put_slice(b"tail");
                buffer.put_bytes(&behind);
                buffer.take_out(start, end);
                let expected = [&b"before"[written..], &shared(1), b"tail", &behind].concat();
                assert_eq!((buffer.to_vec(), buffer.len()), (expected.clone(), expected.len()));
                buffer.put_bytes(&shared(4));
                assert_eq!(buffer.to_vec(), [&expected, &shared(4)[..]].concat());
            }
        }
    }

    #[test]
    fn memory_stays_as_it_is_while_a_rest_always_waits() {
        let mut buffer = WriteBuffer::new();
        let large = shared(1);
        for _ in 0..100 {
            buffer.put_slice(&[2; 1000]);
            buffer.put_bytes(&large);
            while buffer.len() > 10 {
                let mut slices = [IoSlice::new(&[]); 3];
                let used = buffer.fill_slices(buffer.len() - 10, &mut slices);
                let length = slices[..used].iter().map(|slice| slice.len()).sum();
                buffer.advance(length);
            }
        }
        assert_eq!(buffer.to_vec(), [1; 10]);
        assert!(buffer.copied.capacity() < 10_000, "{}", buffer.copied.capacity());
    }

    proptest! {
        #[test]
        fn any_way_of_writing_gives_the_same_bytes(
            parts in proptest::collection::vec((any::<bool>(), 0u8..40), 0..8),
            steps in proptest::collection::vec(1usize..40_000, 1..40),
        ) {
            let mut buffer = WriteBuffer::new();
            let mut expected = Vec::new();
            for (large, fill) in parts {
                if large {
                    buffer.put_bytes(&shared(fill));
                    expected.extend_from_slice(&shared(fill));
                } else {
                    buffer.put_slice(&vec![fill; fill.into()]);
                    expected.extend_from_slice(&vec![fill; fill.into()]);
                }
            }
            let mut written = Vec::new();
            for step in steps.into_iter().cycle() {
                let mut slices = [IoSlice::new(&[]); 3];
                let used = buffer.fill_slices(step, &mut slices);
                let offered: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
                prop_assert!(offered.len() <= step);
                if offered.is_empty() {
                    break;
                }
                written.extend_from_slice(&offered);
                buffer.advance(offered.len());
                prop_assert_eq!(buffer.len(), expected.len() - written.len());
                prop_assert_eq!(buffer.taken(), written.len() as u64);
                prop_assert_eq!(buffer.end(), expected.len() as u64);
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(written, expected);
        }
    }
}
