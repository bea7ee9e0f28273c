// SPDX-License-Identifier: GPL-2.0-or-later
//! Longest-prefix-match tries (`kernel/bpf/lpm_trie.c`): a key is a prefix length in bits, as a native 32-bit number, and
//! the bytes whose first bits are the prefix, most significant bit first.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Conflict, Flags};
use crate::world::errno::{EINVAL, ENOENT, ENOSPC};

/// The bytes of a key with the bits behind its prefix cleared. An IPv6 address has 16.
type Prefix = SmallVec<[u8; 16]>;

/// The prefixes of a trie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lpm {
    /// Those of each length that there are some of.
    lengths: BTreeMap<u32, FxHashMap<Prefix, Entry>>,
    free: Vec<u32>,
    spare: u32,
    longest: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    place: u32,
    /// The key as it was given: what the kernel keeps and shows.
    key: Box<[u8]>,
}

impl Lpm {
    /// No prefixes, and room for `capacity`; keys are of `key_size` bytes.
    pub(crate) fn new(capacity: u32, key_size: u32) -> Self {
        let free = (0..capacity).rev().collect();
        Self { lengths: BTreeMap::new(), free, spare: capacity, longest: (key_size - 4) * 8 }
    }

    /// The place of the value of the longest prefix that covers `key` and is no longer than it.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<u32> {
        let (length, bytes) = split(key);
        if length > self.longest {
            return None;
        }
        let mut prefix = masked(bytes, length);
        self.lengths.range(..=length).rev().find_map(|(length, entries)| {
            clear(&mut prefix, *length);
            Some(entries.get(&prefix)?.place)
        })
    }

    /// The place to write the new value of the prefix `key` to.
    pub(crate) fn update(&mut self, key: &[u8], flags: Flags) -> Result<u32, i64> {
        let (length, bytes) = split(key);
        if length > self.longest {
            return Err(EINVAL);
        }
        let prefix = masked(bytes, length);
        if let Some(entry) = self.lengths.get_mut(&length).and_then(|entries| entries.get_mut(&prefix)) {
            flags.check(Conflict::Exists)?;
            std::mem::swap(&mut entry.place, &mut self.spare);
            entry.key = key.into();
            return Ok(entry.place);
        }
        flags.check(Conflict::Missing)?;
        let place = self.free.pop().ok_or(ENOSPC)?;
        self.lengths.entry(length).or_default().insert(prefix, Entry { place, key: key.into() });
        Ok(place)
    }

    /// Deletes exactly the prefix `key`.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), i64> {
        let (length, bytes) = split(key);
        if length > self.longest {
            return Err(EINVAL);
        }
        let entries = self.lengths.get_mut(&length).ok_or(ENOENT)?;
        let entry = entries.remove(&masked(bytes, length)).ok_or(ENOENT)?;
        if entries.is_empty() {
            self.lengths.remove(&length);
        }
        self.free.push(entry.place);
        Ok(())
    }

    /// Every key with the place of its value, shorter prefixes first, those of one length by their bits.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.lengths.values().flat_map(|entries| {
            let mut entries: Vec<(&Prefix, &Entry)> = entries.iter().collect();
            entries.sort_unstable_by_key(|(prefix, _)| *prefix);
            entries.into_iter().map(|(_, entry)| (&*entry.key, entry.place))
        })
    }
}

/// Keys have at least five bytes: maps are checked when they are created.
fn split(key: &[u8]) -> (u32, &[u8]) {
    let (length, bytes) = key.split_at(4);
    (u32::from_le_bytes([length[0], length[1], length[2], length[3]]), bytes)
}

fn masked(bytes: &[u8], length: u32) -> Prefix {
    let mut prefix = Prefix::from_slice(bytes);
    clear(&mut prefix, length);
    prefix
}

/// Clears the bits behind a prefix.
fn clear(bytes: &mut [u8], length: u32) {
    let whole = (length / 8) as usize;
    if let Some(rest) = bytes.get_mut(whole..)
        && let Some((first, others)) = rest.split_first_mut()
    {
        *first &= !(0xff_u32 >> (length % 8)) as u8;
        others.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behind_the_prefix_are_cleared() {
        let masks = [0, 1, 8, 9, 15, 16].map(|length| masked(&[0xff, 0xff], length).to_vec());
        assert_eq!(
            masks,
            [[0, 0], [0x80, 0], [0xff, 0], [0xff, 0x80], [0xff, 0xfe], [0xff, 0xff]].map(Vec::from)
        );
    }

    #[test]
    fn the_longest_prefix_is_found_and_none_behind_one_that_is_gone() {
        let mut lpm = Lpm::new(4, 6);
        let key = |length: u32, bytes: [u8; 2]| [&length.to_le_bytes()[..], &bytes].concat();
        for (place, one) in [key(0, [0, 0]), key(8, [10, 0]), key(12, [10, 0x10])].iter().enumerate() {
            assert_eq!(lpm.update(one, Flags::ANY), Ok(place as u32));
        }
        assert_eq!(lpm.lookup(&key(16, [10, 0x1f])), Some(2));
        assert_eq!(lpm.lookup(&key(11, [10, 0x1f])), Some(1), "a prefix is no longer than the key");
        assert_eq!(lpm.lookup(&key(17, [10, 0x1f])), None);
        assert_eq!(lpm.delete(&key(12, [10, 0x1f])), Ok(()));
        assert_eq!(lpm.delete(&key(12, [10, 0x1f])), Err(ENOENT));
        assert_eq!(lpm.lookup(&key(16, [10, 0x1f])), Some(1));
        assert_eq!(lpm.lookup(&key(16, [11, 0])), Some(0));
        let keys: Vec<_> = lpm.iter().map(|(key, place)| (key.to_vec(), place)).collect();
        assert_eq!(keys, [(key(0, [0, 0]), 0), (key(8, [10, 0]), 1)]);
    }
}
