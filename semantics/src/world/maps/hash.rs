// SPDX-License-Identifier: GPL-2.0-or-later
//! Hash maps: which keys there are and in which place of memory the value of each is.

use std::fmt;

use lru::LruCache;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use super::{Conflict, Flags};
use crate::world::errno::E2BIG;

/// A key, in its entry where it is as short as most are: addresses and ports, or those of two hosts.
type Key = SmallVec<[u8; 24]>;

/// The keys of a hash map. Places are given out in a fixed order, the last one that was freed first.
///
/// As in the kernel (`kernel/bpf/hashtab.c`), writing to a key that exists gives it a new place, so that a pointer that
/// an earlier lookup returned still shows the old value, until the next such write. A per-CPU map is overwritten in place.
///
/// The kernel's LRU is approximate: it collects elements in batches for each CPU, and takes an element for a write before
/// it looks whether the key exists. This one is exact: the element that was not looked up or written for the longest time
/// makes room, and only when a new key needs it.
#[derive(Clone)]
pub(crate) struct Hash {
    /// The place of each key; of LRU maps, in the order in which they were used.
    entries: LruCache<Key, u32, FxBuildHasher>,
    free: Vec<u32>,
    spare: u32,
    in_place: bool,
    evicts: bool,
}

impl Hash {
    /// No keys, and room for `capacity`; `in_place` for values that are overwritten, `evicts` for LRU maps.
    pub(crate) fn new(capacity: u32, in_place: bool, evicts: bool) -> Self {
        let entries = LruCache::unbounded_with_hasher(FxBuildHasher);
        Self { entries, free: (0..capacity).rev().collect(), spare: capacity, in_place, evicts }
    }

    /// The place of the value of `key`, which counts as used.
    pub(crate) fn lookup(&mut self, key: &[u8]) -> Option<u32> {
        if self.evicts { self.entries.get(key) } else { self.entries.peek(key) }.copied()
    }

    /// The place to write the new value of `key` to.
    pub(crate) fn update(&mut self, key: &[u8], flags: Flags) -> Result<u32, i64> {
        let known = if self.evicts { self.entries.get_mut(key) } else { self.entries.peek_mut(key) };
        if let Some(place) = known {
            flags.check(Conflict::Exists)?;
            if !self.in_place {
                std::mem::swap(place, &mut self.spare);
            }
            return Ok(*place);
        }
        flags.check(Conflict::Missing)?;
        if self.free.is_empty() && self.evicts {
            self.free.extend(self.entries.pop_lru().map(|(_, place)| place));
        }
        let place = self.free.pop().ok_or(E2BIG)?;
        self.entries.put(key.into(), place);
        Ok(place)
    }

    /// Deletes `key`; whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let place = self.entries.pop(key);
        self.free.extend(place);
        place.is_some()
    }

    /// Every key with the place of its value, by ascending key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let mut entries: Vec<(&[u8], u32)> =
            self.entries.iter().map(|(key, place)| (&**key, *place)).collect();
        entries.sort_unstable();
        entries.into_iter()
    }
}

/// The same keys in the same places; of LRU maps, used in the same order.
impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        let rest = |hash: &Self| (hash.spare, hash.in_place, hash.evicts);
        rest(self) == rest(other)
            && self.free == other.free
            && match self.evicts {
                true => self.entries.iter().eq(other.entries.iter()),
                false => self.iter().eq(other.iter()),
            }
    }
}

impl Eq for Hash {}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_the_longest_time_makes_room() {
        let mut hash = Hash::new(2, false, true);
        let [a, b, c] = [&b"a"[..], b"b", b"c"];
        assert_eq!((hash.update(a, Flags::ANY), hash.update(b, Flags::ANY)), (Ok(0), Ok(1)));
        assert_eq!(hash.lookup(a), Some(0));
        assert_eq!(hash.update(c, Flags::ANY), Ok(1), "the place of b");
        assert_eq!(hash.iter().collect::<Vec<_>>(), [(a, 0), (c, 1)]);
        let mut same = hash.clone();
        assert_eq!(hash, same);
        same.lookup(a);
        assert_ne!(hash, same, "another one would make room");
    }

    #[test]
    fn without_eviction_the_order_of_use_does_not_matter() {
        let mut hash = Hash::new(2, false, false);
        assert_eq!((hash.update(b"a", Flags::ANY), hash.update(b"b", Flags::ANY)), (Ok(0), Ok(1)));
        let mut same = hash.clone();
        same.lookup(b"a");
        assert_eq!(hash, same);
        assert_eq!(hash.update(b"c", Flags::ANY), Err(E2BIG));
        assert_eq!(hash.update(b"a", Flags::ANY), Ok(2), "the spare place");
        assert!(hash.delete(b"a") && !hash.delete(b"a"));
    }
}
