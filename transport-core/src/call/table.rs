//! Which calls are under way: the logic, without I/O.

use std::time::Instant;

use super::wire::CallId;

/// The calls under way, each with what its caller keeps of it.
///
/// A call takes a slot, and its id says which, so that a reply finds it without a search. A slot's generation grows
/// with each call, so that a reply that comes too late does not find the slot's next one:
///
/// ```text
/// id     generation (32 bits) | slot (32 bits)
/// ```
pub(super) struct Table<S> {
    slots: Vec<Slot<S>>,
    /// The slots that hold no call, the last one freed on top: it is the warmest.
    free: Vec<u32>,
    most: usize,
    /// No call's deadline is before it; it may be of a call that has ended.
    earliest: Option<Instant>,
    /// Slots of calls whose deadline is still to be set; some may have ended.
    undated: Vec<u32>,
    /// Replies to no call under way.
    strays: u64,
}

struct Slot<S> {
    generation: u32,
    call: Option<S>,
    deadline: Option<Instant>,
    /// The deadline is still to be set.
    undated: bool,
}

impl<S> Table<S> {
    /// A table for at most so many calls at a time.
    pub(super) fn new(most: usize) -> Table<S> {
        let most = most.clamp(1, MOST_SLOTS);
        let (slots, free, undated) = (Vec::new(), Vec::new(), Vec::new());
        Table { slots, free, most, earliest: None, undated, strays: 0 }
    }

    /// How many calls are under way.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many replies came to no call under way.
    pub(super) fn strays(&self) -> u64 {
        self.strays
    }

    pub(super) fn count_stray(&mut self) {
        self.strays += 1;
    }

    /// Takes a call in; `None` when there are too many.
    pub(super) fn insert(&mut self, call: S, deadline: Option<Instant>) -> Option<CallId> {
        let (slot, id) = self.take_slot(call)?;
        self.slots[slot as usize].deadline = deadline;
        self.earliest = earlier(self.earliest, deadline);
        Some(id)
    }

    /// As [`insert`](Table::insert); [`date`](Table::date) sets the deadline, of many at once.
    #[inline]
    pub(super) fn insert_undated(&mut self, call: S) -> Option<CallId> {
        let (slot, id) = self.take_slot(call)?;
        self.slots[slot as usize].undated = true;
        self.undated.push(slot);
        Some(id)
    }

    /// Whether calls wait for their deadline to be set.
    pub(super) fn has_undated(&self) -> bool {
        !self.undated.is_empty()
    }

    /// Sets the deadline of all calls that were inserted without.
    pub(super) fn date(&mut self, deadline: Option<Instant>) {
        for slot in self.undated.drain(..) {
            let slot = &mut self.slots[slot as usize];
            if std::mem::take(&mut slot.undated) {
                slot.deadline = deadline;
            }
        }
        self.earliest = earlier(self.earliest, deadline);
    }

    /// The call with this id, while it is under way.
    #[inline]
    pub(super) fn get_mut(&mut self, id: CallId) -> Option<&mut S> {
        let (generation, slot) = parts(id);
        let slot = self.slots.get_mut(slot as usize).filter(|slot| slot.generation == generation)?;
        slot.call.as_mut()
    }

    /// Takes a call out; `None` when it is not under way.
    #[inline]
    pub(super) fn remove(&mut self, id: CallId) -> Option<S> {
        let (generation, index) = parts(id);
        let index = index as usize;
        self.slots.get(index).filter(|slot| slot.generation == generation)?;
        self.free_slot(index)
    }

    /// All calls under way.
    pub(super) fn calls_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.slots.iter_mut().filter_map(|slot| slot.call.as_mut())
    }

    /// Takes all calls out.
    pub(super) fn clear(&mut self) {
        for index in 0..self.slots.len() {
            self.free_slot(index);
        }
    }

    /// When [`expired`](Table::expired) is to be asked.
    #[inline]
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// The calls whose deadline has passed, each told once.
    ///
    /// It looks at all slots, but seldom: as long as replies come in time, once in the time that a call has.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<CallId> {
        let mut expired = Vec::new();
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return expired;
        }
        self.earliest = None;
        for (index, slot) in (0..).zip(&mut self.slots) {
            if slot.deadline.is_some_and(|deadline| deadline <= now) {
                slot.deadline = None;
                expired.push(id(slot.generation, index));
            }
            self.earliest = earlier(self.earliest, slot.deadline);
        }
        expired
    }

    #[inline]
    fn free_slot(&mut self, index: usize) -> Option<S> {
        let slot = &mut self.slots[index];
        let call = slot.call.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        (slot.deadline, slot.undated) = (None, false);
        self.free.push(u32::try_from(index).expect("`most` bounds the slots to what fits into an id"));
        Some(call)
    }

    #[inline]
    fn take_slot(&mut self, call: S) -> Option<(u32, CallId)> {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.call = Some(call);
            return Some((index, id(slot.generation, index)));
        }
        let index = u32::try_from(self.slots.len()).ok().filter(|_| self.slots.len() < self.most)?;
        self.slots.push(Slot { generation: 0, call: Some(call), deadline: None, undated: false });
        Some((index, id(0, index)))
    }
}

#[inline]
fn id(generation: u32, slot: u32) -> CallId {
    CallId(u64::from(generation) << 32 | u64::from(slot))
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each half has 32 bits")]
fn parts(CallId(id): CallId) -> (u32, u32) {
    ((id >> 32) as u32, id as u32)
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// What fits into an id.
const MOST_SLOTS: usize = u32::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::time::Duration;

    #[test]
    fn a_late_reply_does_not_find_the_slots_next_call() {
        let mut table = Table::new(1);
        let first = table.insert('a', None).unwrap();
        assert_eq!(table.insert('b', None), None);
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b', None).unwrap();
        assert_ne!(first, second);
        assert!(table.get_mut(first).is_none() && table.remove(first).is_none());
        assert_eq!(table.remove(second), Some('b'));
    }

    #[test]
    fn an_id_that_was_never_given_finds_nothing() {
        let mut table = Table::new(4);
        table.insert((), None).unwrap();
        for id in [1, 1 << 32, u64::MAX, u64::from(u32::MAX)] {
            assert!(table.get_mut(CallId(id)).is_none() && table.remove(CallId(id)).is_none());
        }
        assert_eq!(table.count(), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Option<u8>),
        InsertUndated,
        Date(u8),
        Remove(usize),
        RemoveAgain(usize),
        Expire(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => proptest::option::of(any::<u8>()).prop_map(Step::Insert),
            2 => Just(Step::InsertUndated),
            1 => any::<u8>().prop_map(Step::Date),
            3 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::RemoveAgain),
            1 => any::<u8>().prop_map(Step::Expire),
        ]
    }

    proptest! {
        /// The table does as a map of ids never used twice would, whatever happens in whatever order.
        #[test]
        fn the_table_does_as_a_map_would(steps in proptest::collection::vec(step(), 0..200), most in 1usize..8) {
            let start = Instant::now();
            let at = |seconds: u8| start + Duration::from_secs(seconds.into());
            let mut table = Table::new(most);
            // By id: what was put in, its deadline, and whether that is still to be set.
            let mut model: HashMap<u64, (usize, Option<Instant>, bool)> = HashMap::new();
            let mut order: Vec<CallId> = Vec::new();
            let mut gone: Vec<CallId> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(_) | Step::InsertUndated => {
                        let (inserted, deadline, undated) = match step {
                            Step::Insert(seconds) => {
                                let deadline = seconds.map(at);
                                (table.insert(number, deadline), deadline, false)
                            }
                            _ => (table.insert_undated(number), None, true),
                        };
                        prop_assert_eq!(inserted.is_some(), model.len() < most);
                        if let Some(id) = inserted {
                            prop_assert!(model.insert(id.0, (number, deadline, undated)).is_none());
                            prop_assert!(!gone.contains(&id));
                            order.push(id);
                        }
                    }
                    Step::Date(seconds) => {
                        prop_assert_eq!(table.has_undated(), !table.undated.is_empty());
                        table.date(Some(at(seconds)));
                        for (_, deadline, undated) in model.values_mut().filter(|(_, _, undated)| *undated) {
                            (*deadline, *undated) = (Some(at(seconds)), false);
                        }
                    }
                    Step::Remove(which) if !order.is_empty() => {
                        let id = order.swap_remove(which % order.len());
                        let (value, ..) = model.remove(&id.0).unwrap();
                        prop_assert_eq!(table.get_mut(id), Some(&mut value.clone()));
                        prop_assert_eq!(table.remove(id), Some(value));
                        gone.push(id);
                    }
                    Step::RemoveAgain(which) if !gone.is_empty() => {
                        prop_assert_eq!(table.remove(gone[which % gone.len()]), None);
                    }
                    Step::Expire(seconds) => {
                        let mut expired: Vec<u64> = table.expired(at(seconds)).into_iter().map(|id| id.0).collect();
                        let mut expected = Vec::new();
                        for (id, (_, deadline, _)) in &mut model {
                            if deadline.is_some_and(|deadline| deadline <= at(seconds)) {
                                *deadline = None;
                                expected.push(*id);
                            }
                        }
                        expired.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(expired, expected);
                    }
                    Step::Remove(_) | Step::RemoveAgain(_) => {}
                }
                prop_assert_eq!(table.count(), model.len());
                let earliest = model.values().filter_map(|(_, deadline, _)| *deadline).min();
                // It may be early, for a call that has ended, but never late.
                prop_assert!(earliest.is_none_or(|earliest| table.next_deadline().is_some_and(|next| next <= earliest)));
            }
        }
    }
}
