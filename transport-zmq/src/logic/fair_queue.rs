//! Messages of several peers, taken in turns (RFC 28/REQREP and others: "fair-queuing").

use std::collections::VecDeque;

/// What has arrived from several owners, handed out one by one in turns.
///
/// ```text
/// turns:  [ a: a1 a2 a3 ]  [ b: b1 ]  [ c: c1 c2 ]        pop gives a1 b1 c1 a2 c2 a3
/// ```
///
/// Messages come in batches, each with a guard that is dropped when the last of the batch has been handed out.
pub(crate) struct FairQueue<O, T, G> {
    turns: VecDeque<Turn<O, T, G>>,
    last: Last<O>,
}

struct Turn<O, T, G> {
    owner: O,
    /// Never empty, and none of them is.
    batches: VecDeque<Batch<T, G>>,
}

struct Batch<T, G> {
    items: std::vec::IntoIter<T>,
    _guard: G,
}

/// Where the owner of the item that was handed out last is.
enum Last<O> {
    Nowhere,
    /// At this place in the turns, where new ones are added behind it.
    At(usize),
    Gone(O),
}

impl<O: PartialEq, T, G> FairQueue<O, T, G> {
    pub(crate) fn new() -> FairQueue<O, T, G> {
        FairQueue { turns: VecDeque::new(), last: Last::Nowhere }
    }

    /// Adds what has arrived from `owner`, behind what it has here already.
    pub(crate) fn push(&mut self, owner: O, items: Vec<T>, guard: G) {
        if items.is_empty() {
            return;
        }
        let batch = Batch { items: items.into_iter(), _guard: guard };
        match self.turns.iter_mut().find(|turn| turn.owner == owner) {
            Some(turn) => turn.batches.push_back(batch),
            None => self.turns.push_back(Turn { owner, batches: VecDeque::from([batch]) }),
        }
    }

    /// As `push`, in the place of what `owner` has here.
    pub(crate) fn replace(&mut self, owner: O, items: Vec<T>, guard: G) {
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.owner == owner) {
            turn.batches.clear();
            turn.batches.push_back(Batch { items: items.into_iter(), _guard: guard });
        } else {
            self.push(owner, items, guard);
        }
    }

    /// The next item, of the owner whose turn it is.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let turn = self.turns.front_mut()?;
        let batch = turn.batches.front_mut()?;
        let item = batch.items.next()?;
        if batch.items.as_slice().is_empty() {
            turn.batches.pop_front();
            if turn.batches.is_empty() {
                self.last = self.turns.pop_front().map_or(Last::Nowhere, |turn| Last::Gone(turn.owner));
                return Some(item);
            }
        }
        self.turns.rotate_left(1);
        self.last = Last::At(self.turns.len() - 1);
        Some(item)
    }

    /// Whose the item was that was handed out last.
    pub(crate) fn last_owner(&self) -> Option<&O> {
        match &self.last {
            Last::Nowhere => None,
            Last::At(place) => self.turns.get(*place).map(|turn| &turn.owner),
            Last::Gone(owner) => Some(owner),
        }
    }

    /// Hands out up to `max` items.
    pub(crate) fn pop_many(&mut self, items: &mut Vec<T>, max: usize) -> usize {
        let before = items.len();
        while items.len() - before < max {
            // With a single owner there are no turns: all but the last one, after which its batch ends.
            if let (1, Some(turn)) = (self.turns.len(), self.turns.front_mut())
                && let Some(batch) = turn.batches.front_mut()
            {
                let left = max - (items.len() - before);
                let but_last = batch.items.len().saturating_sub(1).min(left - 1);
                items.extend(batch.items.by_ref().take(but_last));
            }
            match self.pop() {
                Some(item) => items.push(item),
                None => break,
            }
        }
        items.len() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    type Queue = FairQueue<char, u32, ()>;

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
        queue.push('a', vec![1, 2], ());
        queue.push('b', vec![1], ());
        queue.push('a', vec![3], ());
        queue.push('c', vec![1, 2], ());
        assert_eq!(all(&mut queue), "a1b1c1a2c2a3");
        assert!(queue.pop().is_none());
    }

    #[test]
    fn who_comes_later_has_its_turn_soon() {
        let mut queue = Queue::new();
        queue.push('a', (1..=100).collect(), ());
        assert_eq!(queue.pop(), Some(1));
        queue.push('b', vec![1], ());
        assert_eq!(queue.last_owner(), Some(&'a'));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(1), Some(3)));
    }

    #[test]
    fn what_is_replaced_is_not_handed_out() {
        let mut queue = Queue::new();
        queue.push('a', vec![1, 2], ());
        queue.push('b', vec![1], ());
        queue.replace('a', vec![9], ());
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
        queue.push('a', vec![1, 2], Guard(Rc::clone(&dropped)));
        queue.push('a', vec![3], Guard(Rc::clone(&dropped)));
        queue.pop();
        assert_eq!(*dropped.borrow(), 0);
        queue.pop();
        assert_eq!(*dropped.borrow(), 1);
        let mut items = Vec::new();
        assert_eq!(queue.pop_many(&mut items, 5), 1);
        assert_eq!(*dropped.borrow(), 2);
    }
}
