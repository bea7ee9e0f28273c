// SPDX-License-Identifier: GPL-2.0-or-later
//! Maps: keys and structure are here, values are in the program's memory at the addresses of
//! [`MapAddresses`](kop_ops::program::MapAddresses). Results are the kernel's, which the files name.

mod hash;
mod lpm;
mod ring;

use std::collections::BTreeMap;

use kop_ops::{MapKind, MapSpec};

use super::errno::{E2BIG, EEXIST, EINVAL, ENOENT};
use hash::Hash;
use lpm::Lpm;
pub(crate) use ring::Ring;

/// `BPF_F_NO_PREALLOC`, which a trie has to be created with.
const NO_PREALLOC: u32 = 1;

/// The most bytes of a key or value of a hash map that this world takes; the kernel's limits depend on its allocator.
const MAX_ELEMENT: u32 = 1 << 20;

/// What a map holds besides its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// All elements are always there.
    Array,
    /// Hash, per-CPU hash, LRU hash.
    Hash(Hash),
    /// A trie of prefixes.
    Lpm(Lpm),
    /// The elements of arrays that refer to something: programs, devices, CPUs, sockets, perf buffers.
    References(BTreeMap<u32, u32>),
    /// A ring buffer.
    Ring(Ring),
}

/// The flags of an update: one of `BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u64);

/// What an update meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conflict {
    Exists,
    Missing,
}

const NO_EXIST: u64 = 1;
const EXIST: u64 = 2;

impl Flags {
    /// `BPF_ANY`.
    pub(crate) const ANY: Flags = Flags(0);

    /// Every other value is refused, `BPF_F_LOCK` among them: no value of ours has a lock.
    pub(crate) fn new(flags: u64) -> Result<Self, i64> {
        if flags > EXIST { Err(EINVAL) } else { Ok(Flags(flags)) }
    }

    fn check(self, found: Conflict) -> Result<(), i64> {
        match (self.0, found) {
            (NO_EXIST, Conflict::Exists) => Err(EEXIST),
            (EXIST, Conflict::Missing) => Err(ENOENT),
            _ => Ok(()),
        }
    }
}

/// Why the kernel would not create a map.
pub(crate) fn check(spec: &MapSpec) -> Result<(), &'static str> {
    let MapSpec { kind, key_size, value_size, max_entries, flags, .. } = *spec;
    if max_entries == 0 {
        return Err("max_entries is 0");
    }
    match kind {
        MapKind::RingBuf => {
            if key_size != 0 || value_size != 0 {
                return Err("a ring buffer has no keys and values: their sizes must be 0");
            }
            if !max_entries.is_power_of_two() || !max_entries.is_multiple_of(4096) {
                return Err("the size of a ring buffer is a power of two and a multiple of 4096");
            }
            return Ok(());
        }
        MapKind::Hash | MapKind::PercpuHash | MapKind::LruHash if key_size == 0 => {
            return Err("the key size is 0");
        }
        MapKind::Hash | MapKind::PercpuHash | MapKind::LruHash => {}
        MapKind::LpmTrie => {
            if !(5..=260).contains(&key_size) {
                return Err("the key of a trie has 5 to 260 bytes");
            }
            if flags & NO_PREALLOC == 0 {
                return Err("a trie needs the flag BPF_F_NO_PREALLOC (1)");
            }
        }
        _ if key_size != 4 => return Err("the key of an array has 4 bytes"),
        _ => {}
    }
    let reference = matches!(kind, MapKind::ProgramArray | MapKind::PerfEventArray | MapKind::XskMap);
    if reference && value_size != 4 {
        return Err("the value of this kind of map has 4 bytes");
    }
    if matches!(kind, MapKind::DevMap | MapKind::CpuMap) && value_size != 4 && value_size != 8 {
        return Err("the value of this kind of map has 4 or 8 bytes");
    }
    if value_size == 0 {
        return Err("the value size is 0");
    }
    if key_size > MAX_ELEMENT || value_size > super::MAX_BYTES as u32 {
        return Err("keys or values are too large");
    }
    Ok(())
}

impl Table {
    /// The empty table of a map that was [checked](check).
    pub(crate) fn new(spec: &MapSpec) -> Self {
        match spec.kind {
            MapKind::Array | MapKind::PercpuArray => Table::Array,
            MapKind::Hash => Table::Hash(Hash::new(spec.max_entries, false, false)),
            MapKind::PercpuHash => Table::Hash(Hash::new(spec.max_entries, true, false)),
            MapKind::LruHash => Table::Hash(Hash::new(spec.max_entries, false, true)),
            MapKind::LpmTrie => Table::Lpm(Lpm::new(spec.max_entries, spec.key_size)),
            MapKind::RingBuf => Table::Ring(Ring::new(spec.max_entries)),
            _ => Table::References(BTreeMap::new()),
        }
    }

    /// The place of the value of `key`, if it is there.
    pub(crate) fn lookup(&mut self, spec: &MapSpec, key: &[u8]) -> Option<u32> {
        match self {
            Table::Array => index(key).filter(|index| *index < spec.max_entries),
            Table::Hash(hash) => hash.lookup(key),
            Table::Lpm(lpm) => lpm.lookup(key),
            Table::References(entries) => index(key).filter(|index| entries.contains_key(index)),
            Table::Ring(_) => None,
        }
    }

    /// The place to write the new value of `key` to, or the error number.
    pub(crate) fn update(&mut self, spec: &MapSpec, key: &[u8], flags: Flags) -> Result<u32, i64> {
        match self {
            Table::Array => {
                let index = index(key).filter(|index| *index < spec.max_entries).ok_or(E2BIG)?;
                flags.check(Conflict::Exists)?;
                Ok(index)
            }
            Table::Hash(hash) => hash.update(key, flags),
            Table::Lpm(lpm) => lpm.update(key, flags),
            Table::References(_) | Table::Ring(_) => Err(EINVAL),
        }
    }

    /// Deletes `key`, or gives the error number.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), i64> {
        match self {
            Table::Hash(hash) => hash.delete(key).then_some(()).ok_or(ENOENT),
            Table::Lpm(lpm) => lpm.delete(key),
            Table::Array | Table::References(_) | Table::Ring(_) => Err(EINVAL),
        }
    }

    /// Sets the element `index` of an array of references, as user space does.
    pub(crate) fn refer(&mut self, spec: &MapSpec, key: &[u8], to: u32) -> Result<u32, i64> {
        let Table::References(entries) = self else { return Err(EINVAL) };
        let index = index(key).filter(|index| *index < spec.max_entries).ok_or(E2BIG)?;
        entries.insert(index, to);
        Ok(index)
    }

    /// What the element `index` of an array of references refers to.
    pub(crate) fn reference(&self, index: u32) -> Option<u32> {
        match self {
            Table::References(entries) => entries.get(&index).copied(),
            _ => None,
        }
    }

    /// The ring buffer, if it is one.
    pub(crate) fn ring(&mut self) -> Option<&mut Ring> {
        match self {
            Table::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// Every key with the place of its value: arrays by index, hash maps by key, tries by length of prefix.
    pub(crate) fn places(&self, spec: &MapSpec) -> Vec<(Vec<u8>, u32)> {
        let owned = |(key, place): (&[u8], u32)| (key.to_vec(), place);
        match self {
            Table::Array => {
                (0..spec.max_entries).map(|index| (index.to_le_bytes().to_vec(), index)).collect()
            }
            Table::Hash(hash) => hash.iter().map(owned).collect(),
            Table::Lpm(lpm) => lpm.iter().map(owned).collect(),
            Table::References(entries) => {
                entries.keys().map(|index| (index.to_le_bytes().to_vec(), *index)).collect()
            }
            Table::Ring(_) => Vec::new(),
        }
    }
}

impl Ring {
    /// Whether `flags` of an output, a submission or a discarding are defined: `BPF_RB_NO_WAKEUP`, `BPF_RB_FORCE_WAKEUP`.
    pub(crate) fn knows(flags: u64) -> bool {
        flags & !3 == 0
    }
}

fn index(key: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(key.try_into().ok()?))
}
