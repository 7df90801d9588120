//! Which message descriptors belong to: the logic, without I/O.
//!
//! ```text
//! sent       | message 1 | message 2 + d |   a write of its own carries descriptors with its first byte
//! read       [----------------------]b       and a read ends, at the latest, where that write ended
//! ```
//!
//! So the end `b` of the read that brought descriptors lies behind the first byte of their message and not behind its last
//! one: they belong to the first message that does not end before `b`.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::descriptors::DescriptorError;

/// Descriptors that came, until their message is complete.
///
/// Each read brings those of one message at most, and there is no read before every complete message has been taken. So at
/// most two messages' are held: of the unfinished one, and of the one behind it whose first byte the last read has brought.
pub(super) struct Arriving<D = OwnedFd> {
    /// Most descriptors of one message.
    limit: usize,
    /// How many bytes have been read.
    read: u64,
    /// The descriptors of each read that brought some, with the place where it ended.
    batches: VecDeque<(u64, Vec<D>)>,
}

impl<D> Arriving<D> {
    /// `read` bytes have been read already.
    pub(super) fn new(limit: usize, read: usize) -> Arriving<D> {
        Arriving { limit, read: read as u64, batches: VecDeque::new() }
    }

    /// A read brought so many bytes, and `descriptors`.
    pub(super) fn add(&mut self, bytes: usize, descriptors: Vec<D>) -> Result<(), DescriptorError> {
        self.read += bytes as u64;
        if !descriptors.is_empty() {
            self.check(descriptors.len())?;
            self.batches.push_back((self.read, descriptors));
        }
        Ok(())
    }

    /// No message is complete: what is held belongs to one.
    pub(super) fn check_unfinished(&self) -> Result<(), DescriptorError> {
        self.check(self.batches.iter().map(|(_, batch)| batch.len()).sum())
    }

    /// The descriptors of the message that ends `undecoded` bytes before the end of what has been read.
    pub(super) fn of_message(&mut self, undecoded: usize) -> Result<Vec<D>, DescriptorError> {
        let end = self.read - undecoded as u64;
        let mut own = Vec::new();
        while self.batches.front().is_some_and(|(place, _)| *place <= end) {
            own.extend(self.batches.pop_front().into_iter().flat_map(|(_, batch)| batch));
        }
        self.check(own.len()).map(|()| own)
    }

    /// No message will be complete any more.
    pub(super) fn close_all(&mut self) {
        self.batches.clear();
    }

    fn check(&self, count: usize) -> Result<(), DescriptorError> {
        let limit = self.limit;
        if count > limit { Err(DescriptorError::TooMany { count, limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn more_than_the_limit_is_refused_over_all_reads_of_a_message() {
        let too_many = |count| Err(DescriptorError::TooMany { count, limit: 3 });
        let mut arriving = Arriving::new(3, 0);
        assert_eq!(arriving.add(1, vec![0; 4]), too_many(4));
        arriving.add(10, vec![1, 2]).unwrap();
        arriving.check_unfinished().unwrap();
        arriving.add(10, vec![3, 4]).unwrap();
        assert_eq!(arriving.check_unfinished(), too_many(4), "they all belong to one that is not complete");
        assert_eq!(arriving.of_message(0).unwrap_err(), too_many(4).unwrap_err());
    }

    #[test]
    fn the_end_of_one_message_may_come_with_the_descriptors_of_the_next() {
        let mut arriving = Arriving::new(3, 0);
        arriving.add(10, vec![1, 2]).unwrap();
        arriving.add(10, vec![3, 4, 5]).unwrap();
        assert_eq!(arriving.of_message(5).unwrap(), [1, 2]);
        arriving.check_unfinished().unwrap();
        assert_eq!(arriving.of_message(0).unwrap(), [3, 4, 5]);
    }

    #[test]
    fn descriptors_of_a_message_that_was_taken_without_them_go_with_it() {
        let mut arriving = Arriving::new(3, 0);
        arriving.add(10, vec![1]).unwrap();
        assert_eq!(arriving.of_message(0).unwrap(), [1]);
        arriving.add(8, vec![2]).unwrap();
        assert_eq!(arriving.of_message(5).unwrap(), [0; 0], "this one ended before the read did");
        assert_eq!(arriving.of_message(0).unwrap(), [2]);
    }

    proptest! {
        /// Messages of any lengths, some with descriptors, read in pieces that end where the kernel may end them.
        #[test]
        fn each_message_gets_its_own_descriptors(
            messages in proptest::collection::vec((1usize..40, proptest::option::of(1usize..4)), 1..20),
            pieces in proptest::collection::vec(1usize..60, 1..30),
        ) {
            // A write of its own for each message with descriptors.
            let mut ends = Vec::new();
            let mut total = 0;
            for (length, _) in &messages {
                total += length;
                ends.push(total);
            }
            let mut pieces = pieces.into_iter().cycle();
            let mut arriving = Arriving::new(3, 0);
            let (mut read, mut decoded) = (0, 0);
            let mut touched = vec![false; messages.len()];
            while decoded < messages.len() {
                // As Linux reads: until the room is full, or behind bytes of a write with descriptors.
                let mut room = pieces.next().unwrap();
                let start = read;
                let mut came = Vec::new();
                arriving.check_unfinished().unwrap();
                for (i, (length, descriptors)) in messages.iter().enumerate() {
                    let begin = ends[i] - length;
                    if ends[i] <= read || room == 0 {
                        continue;
                    }
                    let taken = room.min(ends[i] - read);
                    read += taken;
                    room -= taken;
                    if let Some(count) = descriptors && !touched[i] {
                        prop_assert!(begin < read);
                        touched[i] = true;
                        came = vec![i; *count];
                        break;
                    }
                }
                arriving.add(read - start, came).unwrap();
                while decoded < messages.len() && ends[decoded] <= read {
                    let own = arriving.of_message(read - ends[decoded]).unwrap();
                    prop_assert_eq!(own, vec![decoded; messages[decoded].1.unwrap_or(0)]);
                    decoded += 1;
                }
            }
        }
    }
}
