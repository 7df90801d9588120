//! Messages of several peers, taken in turns (RFC 28/REQREP and others: "fair-queuing").

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// What has arrived from several owners, handed out one by one in turns.
///
/// ```text
/// turns:  [ a: a1 a2 a3 ]  [ b: b1 ]  [ c: c1 c2 ]        pop gives a1 b1 c1 a2 c2 a3
/// ```
///
/// Messages come in batches, whose size hints are exact, each with a guard that is dropped when the last of the batch has
/// been handed out.
pub(crate) struct FairQueue<O, B, G> {
    /// Whose turn it is: places in `turns`.
    order: VecDeque<usize>,
    turns: Vec<Option<Turn<O, B, G>>>,
    free: Vec<usize>,
    places: HashMap<O, usize>,
    last: Last<O>,
}

struct Turn<O, B, G> {
    owner: O,
    /// Never empty, and none of the others is.
    batch: Batch<B, G>,
    others: VecDeque<Batch<B, G>>,
}

struct Batch<B, G> {
    items: B,
    left: usize,
    guard: G,
}

/// Where the owner of the item that was handed out last is.
enum Last<O> {
    Nowhere,
    /// At this place in `turns`.
    At(usize),
    Gone(O),
}

impl<O: Clone + Eq + Hash, B: Iterator, G> FairQueue<O, B, G> {
    pub(crate) fn new() -> FairQueue<O, B, G> {
        FairQueue {
            order: VecDeque::new(),
            turns: Vec::new(),
            free: Vec::new(),
            places: HashMap::new(),
            last: Last::Nowhere,
        }
    }

    /// Adds what has arrived from `owner`, behind what it has here already.
    pub(crate) fn push(&mut self, owner: O, items: B, guard: G) {
        let batch = Batch { left: items.size_hint().0, items, guard };
        if batch.left == 0 {
            return;
        }
        if let Some(turn) = self.turn_of(&owner) {
            turn.others.push_back(batch);
            return;
        }
        let place = self.free.pop().unwrap_or(self.turns.len());
        if place == self.turns.len() {
            self.turns.push(None);
        }
        self.places.insert(owner.clone(), place);
        self.turns[place] = Some(Turn { owner, batch, others: VecDeque::new() });
        self.order.push_back(place);
    }

    /// As `push`, in the place of what `owner` has here.
    pub(crate) fn replace(&mut self, owner: O, items: B, guard: G) {
        let left = items.size_hint().0;
        match self.turn_of(&owner) {
            Some(turn) if left > 0 => {
                turn.others.clear();
                turn.batch = Batch { items, left, guard };
            }
            _ => self.push(owner, items, guard),
        }
    }

    /// The next item, of the owner whose turn it is.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<B::Item> {
        let &place = self.order.front()?;
        let batch = &mut self.turns[place].as_mut()?.batch;
        let item = batch.items.next()?;
        batch.left -= 1;
        if batch.left == 0 {
            self.take_batch();
        } else {
            self.order.rotate_left(1);
            self.last = Last::At(place);
        }
        Some(item)
    }

    /// The rest of a batch with its guard, of the owner whose turn it is.
    pub(crate) fn pop_batch(&mut self) -> Option<(B, G)> {
        self.take_batch().map(|batch| (batch.items, batch.guard))
    }

    /// Hands out up to `max` items.
    pub(crate) fn pop_many(&mut self, items: &mut Vec<B::Item>, max: usize) -> usize {
        let before = items.len();
        while items.len() - before < max {
            // With a single owner there are no turns: all but the last one, after which its batch ends.
            if self.order.len() == 1
                && let Some(Turn { batch, .. }) = &mut self.turns[self.order[0]]
            {
                let but_last = (batch.left - 1).min(max - (items.len() - before) - 1);
                items.extend(batch.items.by_ref().take(but_last));
                batch.left -= but_last;
            }
            match self.pop() {
                Some(item) => items.push(item),
                None => break,
            }
        }
        items.len() - before
    }

    /// Whose the item or the batch was that was handed out last.
    pub(crate) fn last_owner(&self) -> Option<&O> {
        match &self.last {
            Last::Nowhere => None,
            Last::At(place) => self.turns[*place].as_ref().map(|turn| &turn.owner),
            Last::Gone(owner) => Some(owner),
        }
    }

    fn turn_of(&mut self, owner: &O) -> Option<&mut Turn<O, B, G>> {
        let place = self.places.get(owner)?;
        self.turns[*place].as_mut()
    }

    /// Takes the batch of the owner whose turn it is, which then has its turn after all others, or none.
    fn take_batch(&mut self) -> Option<Batch<B, G>> {
        let place = self.order.pop_front()?;
        let turn = self.turns[place].as_mut()?;
        if let Some(next) = turn.others.pop_front() {
            self.order.push_back(place);
            self.last = Last::At(place);
            return Some(std::mem::replace(&mut turn.batch, next));
        }
        let turn = self.turns[place].take()?;
        self.free.push(place);
        self.places.remove(&turn.owner);
        self.last = Last::Gone(turn.owner);
        Some(turn.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    type Queue = FairQueue<char, std::vec::IntoIter<u32>, ()>;

    fn all(queue: &mut Queue) -> String {
        let mut text = String::new();
        while let Some(item) = queue.pop() {
            text.push(*queue.last_owner().unwrap());
            text.push_str(&item.to_string());
        }
        text
    }

    #[test]
    fn owners_take_turns_and_each_ones_items_stay_in_order() {
        let mut queue = Queue::new();
        queue.push('a', vec![1, 2].into_iter(), ());
        queue.push('b', vec![1].into_iter(), ());
        queue.push('a', vec![3].into_iter(), ());
        queue.push('c', vec![1, 2].into_iter(), ());
        assert_eq!(all(&mut queue), "a1b1c1a2c2a3");
        assert!(queue.pop().is_none());
    }

    #[test]
    fn who_comes_later_has_its_turn_soon() {
        let mut queue = Queue::new();
        queue.push('a', (1..=100).collect::<Vec<_>>().into_iter(), ());
        assert_eq!(queue.pop(), Some(1));
        queue.push('b', vec![1].into_iter(), ());
        assert_eq!(queue.last_owner(), Some(&'a'));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(1), Some(3)));
    }

    #[test]
    fn batches_are_handed_out_as_a_whole_in_turns_too() {
        let mut queue = Queue::new();
        queue.push('a', vec![1, 2].into_iter(), ());
        queue.push('a', vec![3].into_iter(), ());
        queue.push('b', vec![1, 2].into_iter(), ());
        queue.push('b', vec![].into_iter(), ());
        assert_eq!((queue.pop(), queue.pop()), (Some(1), Some(1)));
        let mut batch = |owner, items: &[u32]| {
            assert!(queue.pop_batch().unwrap().0.eq(items.iter().copied()));
            assert_eq!(queue.last_owner(), Some(&owner));
        };
        batch('a', &[2]);
        batch('b', &[2]);
        batch('a', &[3]);
        assert!(queue.pop_batch().is_none());
    }

    #[test]
    fn a_place_is_used_again() {
        let mut queue = Queue::new();
        for round in 0..10 {
            queue.push('a', vec![1].into_iter(), ());
            queue.push('b', vec![1, 2].into_iter(), ());
            assert_eq!(all(&mut queue), "a1b1b2", "{round}");
        }
        assert_eq!((queue.turns.len(), queue.places.len()), (2, 0));
    }

    #[test]
    fn what_is_replaced_is_not_handed_out() {
        let mut queue = Queue::new();
        queue.push('a', vec![1, 2].into_iter(), ());
        queue.push('b', vec![1].into_iter(), ());
        queue.replace('a', vec![9].into_iter(), ());
        assert_eq!(all(&mut queue), "a9b1");
    }

    #[test]
    fn a_batch_that_is_used_up_drops_its_guard() {
        struct Guard(Rc<RefCell<u32>>);
        impl Drop for Guard {
            fn drop(&mut self) {
                *self.0.borrow_mut() += 1;
            }
        }
        let dropped = Rc::new(RefCell::new(0));
        let mut queue = FairQueue::new();
        queue.push('a', vec![1, 2].into_iter(), Guard(Rc::clone(&dropped)));
        queue.push('a', vec![3].into_iter(), Guard(Rc::clone(&dropped)));
        queue.pop();
        assert_eq!(*dropped.borrow(), 0);
        queue.pop();
        assert_eq!(*dropped.borrow(), 1);
        let mut items = Vec::new();
        assert_eq!(queue.pop_many(&mut items, 5), 1);
        assert_eq!(*dropped.borrow(), 2);
    }

    /// The queue as one would write it down: whose turn it is, and each one's batches.
    #[derive(Default)]
    struct Plain {
        order: VecDeque<char>,
        batches: HashMap<char, VecDeque<VecDeque<u32>>>,
    }

    impl Plain {
        fn push(&mut self, owner: char, items: VecDeque<u32>) {
            if items.is_empty() {
                return;
            }
            if !self.order.contains(&owner) {
                self.order.push_back(owner);
            }
            self.batches.entry(owner).or_default().push_back(items);
        }

        /// Takes one item, or all of a batch, of the owner whose turn it is.
        fn pop(&mut self, whole_batch: bool) -> Option<(char, Vec<u32>)> {
            let owner = self.order.pop_front()?;
            let batches = self.batches.get_mut(&owner)?;
            let batch = batches.front_mut()?;
            let count = if whole_batch { batch.len() } else { 1 };
            let items = batch.drain(..count).collect();
            if batch.is_empty() {
                batches.pop_front();
            }
            if !batches.is_empty() {
                self.order.push_back(owner);
            }
            Some((owner, items))
        }
    }

    proptest! {
        #[test]
        fn it_hands_out_what_a_plain_one_does_one_by_one_many_at_once_or_by_batches(
            steps in proptest::collection::vec((0u8..6, 0usize..3, 0usize..7), 0..80),
        ) {
            let (mut queue, mut plain) = (Queue::new(), Plain::default());
            let mut next = 0;
            for (what, owner, count) in steps {
                let owner = ['a', 'b', 'c'][owner];
                let mut expected: Vec<(char, Vec<u32>)> = Vec::new();
                let mut found = Vec::new();
                match what {
                    0..3 => {
                        let items: Vec<u32> = (next..).take(count).collect();
                        next += 10;
                        plain.push(owner, items.clone().into());
                        queue.push(owner, items.into_iter(), ());
                        continue;
                    }
                    3 => {
                        expected.extend(plain.pop(false));
                        found.extend(queue.pop());
                    }
                    4 => {
                        expected.extend((0..count).map_while(|_| plain.pop(false)));
                        let handed_out = queue.pop_many(&mut found, count);
                        prop_assert_eq!(handed_out, found.len());
                    }
                    _ => {
                        expected.extend(plain.pop(true));
                        found.extend(queue.pop_batch().into_iter().flat_map(|(items, ())| items));
                    }
                }
                if let Some((owner, _)) = expected.last() {
                    prop_assert_eq!(queue.last_owner(), Some(owner));
                }
                prop_assert_eq!(found, expected.into_iter().flat_map(|(_, items)| items).collect::<Vec<_>>());
            }
        }
    }
}
