// SPDX-License-Identifier: GPL-2.0-or-later
//! Hash maps: which keys there are and in which place of memory the value of each is.

use std::collections::BTreeMap;

use super::{Conflict, Flags};
use crate::world::errno::E2BIG;

/// The keys of a hash map. Places are given out in a fixed order, the last one that was freed first.
///
/// As in the kernel (`kernel/bpf/hashtab.c`), writing to a key that exists gives it a new place, so that a pointer that
/// an earlier lookup returned still shows the old value, until the next such write. A per-CPU map is overwritten in place.
///
/// The kernel's LRU is approximate: it collects elements in batches for each CPU, and takes an element for a write before
/// it looks whether the key exists. This one is exact: the element that was not looked up or written for the longest time
/// makes room, and only when a new key needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    entries: BTreeMap<Vec<u8>, Entry>,
    free: Vec<u32>,
    spare: u32,
    in_place: bool,
    evicts: bool,
    ticks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    place: u32,
    used: u64,
}

impl Hash {
    /// No keys, and room for `capacity`; `in_place` for values that are overwritten, `evicts` for LRU maps.
    pub(crate) fn new(capacity: u32, in_place: bool, evicts: bool) -> Self {
        let entries = BTreeMap::new();
        Self { entries, free: (0..capacity).rev().collect(), spare: capacity, in_place, evicts, ticks: 0 }
    }

    /// The place of the value of `key`, which counts as used.
    pub(crate) fn lookup(&mut self, key: &[u8]) -> Option<u32> {
        self.ticks += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.ticks;
        Some(entry.place)
    }

    /// The place to write the new value of `key` to.
    pub(crate) fn update(&mut self, key: &[u8], flags: Flags) -> Result<u32, i64> {
        self.ticks += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            flags.check(Conflict::Exists)?;
            entry.used = self.ticks;
            if !self.in_place {
                std::mem::swap(&mut entry.place, &mut self.spare);
            }
            return Ok(entry.place);
        }
        flags.check(Conflict::Missing)?;
        if self.free.is_empty() && self.evicts {
            self.evict();
        }
        let place = self.free.pop().ok_or(E2BIG)?;
        self.entries.insert(key.to_vec(), Entry { place, used: self.ticks });
        Ok(place)
    }

    fn evict(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.delete(&key);
        }
    }

    /// Deletes `key`; whether it was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let entry = self.entries.remove(key);
        self.free.extend(entry.as_ref().map(|entry| entry.place));
        entry.is_some()
    }

    /// Every key with the place of its value, by ascending key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.entries.iter().map(|(key, entry)| (key.as_slice(), entry.place))
    }
}
