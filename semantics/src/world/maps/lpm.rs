// SPDX-License-Identifier: GPL-2.0-or-later
//! Longest-prefix-match tries (`kernel/bpf/lpm_trie.c`): a key is a prefix length in bits, as a native 32-bit number, and
//! the bytes whose first bits are the prefix, most significant bit first.

use std::collections::BTreeMap;

use super::{Conflict, Flags};
use crate::world::errno::{EINVAL, ENOENT, ENOSPC};

/// The prefixes of a trie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lpm {
    /// By length and the bytes with the bits behind the prefix cleared.
    entries: BTreeMap<(u32, Vec<u8>), Entry>,
    free: Vec<u32>,
    spare: u32,
    longest: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    place: u32,
    /// The key as it was given: what the kernel keeps and shows.
    key: Vec<u8>,
}

impl Lpm {
    /// No prefixes, and room for `capacity`; keys are of `key_size` bytes.
    pub(crate) fn new(capacity: u32, key_size: u32) -> Self {
        let free = (0..capacity).rev().collect();
        Self { entries: BTreeMap::new(), free, spare: capacity, longest: (key_size - 4) * 8 }
    }

    /// The place of the value of the longest prefix that covers `key` and is no longer than it.
    pub(crate) fn lookup(&self, key: &[u8]) -> Option<u32> {
        let (length, bytes) = split(key);
        if length > self.longest {
            return None;
        }
        (0..=length).rev().find_map(|length| Some(self.entries.get(&(length, masked(bytes, length)))?.place))
    }

    /// The place to write the new value of the prefix `key` to.
    pub(crate) fn update(&mut self, key: &[u8], flags: Flags) -> Result<u32, i64> {
        let (length, bytes) = split(key);
        if length > self.longest {
            return Err(EINVAL);
        }
        let prefix = (length, masked(bytes, length));
        if let Some(entry) = self.entries.get_mut(&prefix) {
            flags.check(Conflict::Exists)?;
            std::mem::swap(&mut entry.place, &mut self.spare);
            entry.key = key.to_vec();
            return Ok(entry.place);
        }
        flags.check(Conflict::Missing)?;
        let place = self.free.pop().ok_or(ENOSPC)?;
        self.entries.insert(prefix, Entry { place, key: key.to_vec() });
        Ok(place)
    }

    /// Deletes exactly the prefix `key`.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), i64> {
        let (length, bytes) = split(key);
        if length > self.longest {
            return Err(EINVAL);
        }
        let entry = self.entries.remove(&(length, masked(bytes, length))).ok_or(ENOENT)?;
        self.free.push(entry.place);
        Ok(())
    }

    /// Every key with the place of its value, shorter prefixes first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.entries.values().map(|entry| (entry.key.as_slice(), entry.place))
    }
}

/// Keys have at least five bytes: maps are checked when they are created.
fn split(key: &[u8]) -> (u32, &[u8]) {
    let (length, bytes) = key.split_at(4);
    (u32::from_le_bytes([length[0], length[1], length[2], length[3]]), bytes)
}

fn masked(bytes: &[u8], length: u32) -> Vec<u8> {
    let kept = |index: usize| (length as usize).saturating_sub(index * 8).min(8) as u32;
    bytes.iter().enumerate().map(|(index, byte)| byte & !(0xff_u32 >> kept(index)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behind_the_prefix_are_cleared() {
        let masks = [0, 1, 8, 9, 15, 16].map(|length| masked(&[0xff, 0xff], length));
        assert_eq!(
            masks,
            [[0, 0], [0x80, 0], [0xff, 0], [0xff, 0x80], [0xff, 0xfe], [0xff, 0xff]].map(Vec::from)
        );
    }
}
