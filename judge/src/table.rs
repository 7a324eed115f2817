//! A map that is only ever asked by key: what the judge remembers of each place, message and request, many times in a run.
//!
//! There is no way to go through it, so its order cannot leak into anything; and its hash is the same in every process.

#![expect(clippy::disallowed_types, reason = "never iterated, and the hasher has no random state")]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};

#[derive(Clone, Debug)]
pub(crate) struct Table<K, V>(HashMap<K, V, BuildHasherDefault<Mix>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table(HashMap::default())
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// What stands under `key`, after putting `value` there if nothing did.
    pub(crate) fn or_insert(&mut self, key: K, value: V) -> &mut V {
        match self.0.entry(key) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(free) => free.insert(value),
        }
    }

    /// Puts `value` under `key`; what stood there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }
}

/// One multiplication a word: keys are ids and places, nobody chooses them to collide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u8(&mut self, i: u8) {
        self.write_u64(u64::from(i));
    }
    fn write_u32(&mut self, i: u32) {
        self.write_u64(u64::from(i));
    }
    fn write_u64(&mut self, i: u64) {
        let product = u128::from(self.0.rotate_left(29) ^ i ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
    fn write_u128(&mut self, i: u128) {
        self.write_u64(i as u64);
        self.write_u64((i >> 64) as u64);
    }
    fn write_usize(&mut self, i: usize) {
        self.write_u64(i as u64);
    }
    fn write_isize(&mut self, i: isize) {
        self.write_u64(i as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays_until_another_is_put_in_its_place() {
        let mut table = Table::default();
        for n in 0..1_000u64 {
            assert_eq!(*table.or_insert((n, n % 7), n), n);
        }
        assert_eq!((*table.or_insert((5, 5), 0), table.insert((5, 5), 9), table.get(&(5, 5))), (5, Some(5), Some(&9)));
        assert_eq!(table.get(&(5, 6)), None);
    }
}
