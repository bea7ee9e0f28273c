// SPDX-License-Identifier: GPL-2.0-or-later
//! What a ladder leaves in a register, as a table of nibbles: which numbers are looked up, by which index, and what becomes of a nibble.

use kop_ops::ebpf::{Reg, Width};

use super::{Walked, mask};
use crate::rewrite::plan::Reason;

/// How many nibbles a lookup has.
const ENTRIES: u64 = 16;

/// The most numbers that a table has entries for.
const MOST_KEYS: u64 = 128;

/// The most lookups in place of one ladder.
pub(super) const MOST_LOOKUPS: usize = 6;

/// What a ladder leaves in one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rewrite::branches) struct Column {
    pub register: Reg,
    /// What it is for most numbers.
    pub default: u64,
    /// The other numbers, ascending, each with what it is for it.
    pub keys: Vec<(u64, u64)>,
}

impl Column {
    /// What is left in `register`, which holds `before` before, if that is known.
    ///
    /// # Errors
    /// Why there is no table of it.
    pub fn new(walked: &Walked, register: Reg, before: Option<u64>) -> Result<Self, Reason> {
        let mut values: Vec<(u64, u64, u64)> = Vec::with_capacity(walked.ways.len());
        for way in &walked.ways {
            let value = way.sets[register.index()].or(before);
            let value = value.ok_or_else(|| {
                format!(
                    "{register} stays what it is where the number is {:#x}, and is not known there",
                    way.first
                )
            })?;
            values.push((way.first, way.last, value));
        }
        let total = |wanted: u64| -> u128 {
            let ways = values.iter().filter(|(_, _, value)| *value == wanted);
            ways.map(|(first, last, _)| u128::from(last - first) + 1).sum()
        };
        let default = values.iter().map(|(_, _, value)| *value).max_by_key(|value| total(*value));
        let default = default.expect("a ladder has ways");
        let others = || values.iter().filter(|(_, _, value)| *value != default);
        if others().map(|(first, last, _)| u128::from(last - first) + 1).sum::<u128>() > u128::from(MOST_KEYS)
        {
            return Err(format!(
                "{register} becomes another number for more than {MOST_KEYS} of those compared"
            ));
        }
        let keys = others().flat_map(|&(first, last, value)| (first..=last).map(move |key| (key, value)));
        Ok(Self { register, default, keys: keys.collect() })
    }
}

/// Which entry a number has: that of `rotated right by shift (number - bias)`, less the start of one of the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub bias: u64,
    pub shift: u32,
    /// The first index of each part of the table.
    pub starts: Vec<u64>,
}

impl Index {
    /// The index with the fewest lookups for these numbers; where `rotates`, one that numbers without their low bits may be.
    pub fn new(keys: &[u64], width: Width, rotates: bool) -> Self {
        let differences = keys.iter().fold(0, |all, key| all | key.wrapping_sub(keys[0]));
        let shift = if differences == 0 { 0 } else { differences.trailing_zeros() };
        let bias = keys[0] & ((1u64 << shift) - 1);
        let plain = Self::with(keys, (0, 0), width);
        if shift == 0 || !rotates {
            return plain;
        }
        let rotated = Self::with(keys, (bias, shift), width);
        if rotated.starts.len() < plain.starts.len() { rotated } else { plain }
    }

    fn with(keys: &[u64], (bias, shift): (u64, u32), width: Width) -> Self {
        let mut index = Self { bias, shift, starts: Vec::new() };
        let mut all: Vec<u64> = keys.iter().map(|key| index.of(*key, width)).collect();
        all.sort_unstable();
        if all.last().is_some_and(|last| *last < ENTRIES) {
            index.starts.push(0);
            return index;
        }
        // Indices are on a circle: what is far from all before comes first.
        let gap = |at: &usize| {
            let before = all[(at + all.len() - 1) % all.len()];
            all[*at].wrapping_sub(before) & mask(width)
        };
        let first = (0..all.len()).max_by_key(gap).unwrap_or(0);
        all.rotate_left(first);
        for at in all {
            let covers = |start: &u64| at.wrapping_sub(*start) & mask(width) < ENTRIES;
            if !index.starts.last().is_some_and(covers) {
                index.starts.push(at);
            }
        }
        index
    }

    /// The index of a number.
    fn of(&self, key: u64, width: Width) -> u64 {
        let moved = key.wrapping_sub(self.bias);
        match width {
            Width::W64 => moved.rotate_right(self.shift),
            Width::W32 => u64::from((moved as u32).rotate_right(self.shift)),
        }
    }

    /// The part that has the entry of a number, and the entry.
    fn entry(&self, key: u64, width: Width) -> (usize, u32) {
        let index = self.of(key, width);
        let entry = |start: &u64| index.wrapping_sub(*start) & mask(width);
        let part = self.starts.iter().position(|start| entry(start) < ENTRIES);
        let part = part.expect("every number has an entry");
        (part, entry(&self.starts[part]) as u32)
    }
}

/// What becomes of the nibbles: `(number ^ default) * scale + base` on a width, where a number has a nibble for each plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub width: Width,
    pub base: u64,
    pub scale: u64,
    /// The number of what is in no table.
    pub default: u64,
    pub planes: usize,
}

impl Numbers {
    /// The shortest way to what a column has.
    pub fn new(column: &Column) -> Self {
        let values: Vec<u64> = column.keys.iter().map(|(_, value)| *value).chain([column.default]).collect();
        let fits = values.iter().all(|value| *value <= mask(Width::W32));
        let widths = if fits { &[Width::W64, Width::W32][..] } else { &[Width::W64] };
        let all = widths.iter().flat_map(|width| {
            let from = |base| Self::from(base, &values, column.default, *width);
            [from(0), from(column.default), from(lowest(&values, *width))]
        });
        all.min_by_key(Self::cost).expect("there is one from 0")
    }

    fn from(base: u64, values: &[u64], default: u64, width: Width) -> Self {
        let above = |value: u64| value.wrapping_sub(base) & mask(width);
        let scale = values.iter().fold(0, |scale, value| divisor(scale, above(*value)));
        // A multiplication has room for numbers of 31 bits.
        let scale = if scale.is_power_of_two() || (1..1 << 31).contains(&scale) { scale } else { 1 };
        let most = values.iter().map(|value| above(*value) / scale).max().unwrap_or(0);
        let planes = (64 - most.leading_zeros()).div_ceil(4).max(1) as usize;
        Self { width, base, scale, default: above(default) / scale, planes }
    }

    /// Instructions, with a lookup counted as several.
    fn cost(&self) -> usize {
        self.planes * 8
            + usize::from(self.base != 0)
            + usize::from(self.scale != 1)
            + usize::from(self.default != 0)
    }

    /// The number of a value.
    pub fn of(&self, value: u64) -> u64 {
        (value.wrapping_sub(self.base) & mask(self.width)) / self.scale
    }

    /// The tables of a column by parts of the index and planes; entries without a number have `default`.
    pub fn tables(&self, column: &Column, index: &Index, compared: Width, absent: u64) -> Vec<Vec<u64>> {
        let fill = |plane: usize| (absent >> (4 * plane) & 15) * 0x1111_1111_1111_1111;
        let mut tables: Vec<Vec<u64>> =
            index.starts.iter().map(|_| (0..self.planes).map(fill).collect()).collect();
        for &(key, value) in &column.keys {
            let (part, entry) = index.entry(key, compared);
            let number = self.of(value) ^ self.default ^ absent;
            for (plane, table) in tables[part].iter_mut().enumerate() {
                *table &= !(15 << (4 * entry));
                *table |= (number >> (4 * plane) & 15) << (4 * entry);
            }
        }
        tables
    }
}

/// Where the values begin on a circle: behind the widest gap.
fn lowest(values: &[u64], width: Width) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let gap =
        |at: &usize| sorted[*at].wrapping_sub(sorted[(at + sorted.len() - 1) % sorted.len()]) & mask(width);
    (0..sorted.len()).max_by_key(gap).map_or(0, |at| sorted[at])
}

/// The greatest common divisor; that of 0 and another is the other.
fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}
