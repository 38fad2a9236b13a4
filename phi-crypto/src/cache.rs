//! A bounded map that forgets its oldest entries first.

use core::hash::{BuildHasher, Hash};
use std::collections::{HashMap, VecDeque};

/// At most `capacity` entries. Looking up and adding take constant time; the entry that was added first goes first.
pub(crate) struct Bounded<K, V, S> {
    entries: HashMap<K, V, S>,
    order: VecDeque<K>,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V, S: BuildHasher + Default> Bounded<K, V, S> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::default(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        while self.entries.len() > self.capacity {
            let Some(oldest) = self.order.pop_front() else { break };
            self.entries.remove(&oldest);
        }
    }

    /// Drops every entry that is not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&V) -> bool) {
        self.entries.retain(|_, value| wanted(value));
        self.order.retain(|key| self.entries.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn the_oldest_entry_makes_room() {
        let mut cache = Bounded::<u8, u8, RandomState>::new(3);
        for key in 0..5 {
            cache.insert(key, key);
        }
        cache.insert(2, 20);
        assert_eq!(
            (0..5).map(|key| cache.entries.get(&key).copied()).collect::<Vec<_>>(),
            [None, None, Some(20), Some(3), Some(4)]
        );
    }

    #[test]
    fn what_is_dropped_leaves_room_again() {
        let mut cache = Bounded::<u8, u8, RandomState>::new(3);
        for key in 0..3 {
            cache.insert(key, key);
        }
        cache.retain(|value| *value != 0);
        cache.insert(7, 7);
        assert!(!cache.entries.contains_key(&0) && cache.entries.contains_key(&1) && cache.entries.contains_key(&7));
        assert_eq!(cache.order.len(), 3);
    }
}
