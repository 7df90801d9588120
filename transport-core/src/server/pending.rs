//! Which handshakes are under way, and which one gives way when there are too many: the logic, without I/O.

use std::collections::{BTreeMap, HashMap};

use crate::transport::Source;

/// The handshakes under way, each with what it takes to stop it.
pub(super) struct Pending<T> {
    limit: usize,
    next: u64,
    /// By age, with the group of their source.
    handshakes: BTreeMap<u64, (Source, T)>,
    /// How many each group has. Invariant: the sum is the length of `handshakes`, and none is 0.
    groups: HashMap<Source, usize>,
}

impl<T> Pending<T> {
    pub(super) fn new(limit: usize) -> Pending<T> {
        Pending { limit: limit.max(1), next: 0, handshakes: BTreeMap::new(), groups: HashMap::new() }
    }

    /// Takes a handshake in and gives it a number. When there were as many as the limit, the oldest of the source
    /// that has most of them is taken out and returned.
    pub(super) fn insert(&mut self, source: &Source, stop: impl FnOnce(u64) -> T) -> Option<T> {
        let evicted = if self.handshakes.len() >= self.limit { self.evict() } else { None };
        let (id, group) = (self.next, source.group());
        self.next += 1;
        *self.groups.entry(group.clone()).or_default() += 1;
        self.handshakes.insert(id, (group, stop(id)));
        evicted
    }

    /// Takes a handshake out; `None` when it had given way already.
    pub(super) fn remove(&mut self, id: u64) -> Option<T> {
        let (group, stop) = self.handshakes.remove(&id)?;
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
        Some(stop)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.handshakes.get_mut(&id).map(|(_, stop)| stop)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.handshakes.is_empty()
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.groups.clear();
        std::mem::take(&mut self.handshakes).into_values().map(|(_, stop)| stop)
    }

    fn evict(&mut self) -> Option<T> {
        let fullest = self.groups.iter().max_by_key(|(_, count)| **count).map(|(group, _)| group)?;
        let oldest = self.handshakes.iter().find(|(_, (group, _))| group == fullest).map(|(id, _)| *id)?;
        self.remove(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(host: u8) -> Source {
        Source::Socket(([10, 0, 0, host], 1).into())
    }

    #[test]
    fn the_oldest_of_the_fullest_source_gives_way() {
        let mut pending = Pending::new(4);
        for host in [1, 2, 2, 2] {
            assert_eq!(pending.insert(&source(host), |id| id), None);
        }
        assert_eq!(pending.insert(&source(3), |id| id), Some(1));
        assert_eq!(pending.insert(&source(1), |id| id), Some(2));
        assert_eq!(pending.handshakes.len(), 4);
    }

    #[test]
    fn a_finished_handshake_makes_room() {
        let mut pending = Pending::new(2);
        pending.insert(&source(1), |id| id);
        pending.insert(&source(1), |id| id);
        assert_eq!(pending.remove(0), Some(0));
        assert_eq!(pending.remove(0), None);
        assert_eq!(pending.insert(&source(1), |id| id), None);
        assert_eq!(pending.drain().collect::<Vec<_>>(), [1, 2]);
        assert!(pending.groups.is_empty());
    }
}
