// SPDX-License-Identifier: GPL-2.0-or-later
//! From the effects of single bits to fields: which neighbouring bits belong together, and what they hold.

use std::collections::{BTreeMap, BTreeSet};

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::PAYLOAD_BITS;

use super::cut::{cuts, is_interval, is_product};
use super::effect::{Effect, Seed, Steps};
use super::group::Group;
use super::probe::Probe;
use super::range::accepted_values;
use super::search::PAYLOAD_MASK;

/// The widest run of bits that is one length, when all its values are accepted.
const WIDEST_LENGTH: u32 = 7;

/// A field before its range is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub low: u32,
    pub width: u32,
    pub holds: Holds,
}

/// What a [`Piece`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// What other fields mean.
    Tag,
    /// A register number that is seen in the proof.
    Register { written: bool, address: bool },
    /// A constant of the proof; signed when its top bit counts the other way, or is the top bit of the constant.
    Number { signed: bool, offset: bool },
    /// What the proof looks like otherwise, or which one of some values.
    Selector { length: bool },
    /// Something that native code alone depends on.
    Native,
    /// The one value that is accepted.
    Fixed,
}

impl Piece {
    pub(super) const fn mask(&self) -> u64 {
        ((1 << self.width) - 1) << self.low
    }

    pub(super) const fn value(&self, payload: u64) -> u64 {
        payload >> self.low & ((1 << self.width) - 1)
    }

    const fn high(&self) -> u32 {
        self.low + self.width
    }
}

/// The pieces of a group, in the order of their bits, and the bits that nobody looks at.
pub(super) fn pieces(
    probe: &mut Probe,
    group: &Group,
    members: &[u64],
    choices: &mut Seeded,
) -> (Vec<Piece>, u64) {
    let tallies: Vec<Tally> = (0..PAYLOAD_BITS).map(|bit| Tally::of(&group.seeds, bit)).collect();
    let set = |of: &dyn Fn(&Tally) -> bool| {
        tallies.iter().enumerate().fold(0u64, |bits, (bit, tally)| bits | u64::from(of(tally)) << bit)
    };
    let ignored = ignored(probe, group, set(&Tally::is_ignored), choices);
    let varying = members.iter().fold(0, |bits, member| bits | member ^ members[0]);
    let changing = varying | set(&|tally| tally.accepted > 0);
    let tags = group.tags.iter().map(|tag| Piece { low: tag.low, width: tag.width, holds: Holds::Tag });
    let mut pieces: Vec<Piece> = tags.collect();
    let mut free = PAYLOAD_MASK & !ignored & !mask(&pieces);
    pieces.extend(registers(&tallies, free));
    free &= !mask(&pieces);
    let mut numbers = numbers(&tallies, free);
    // One bit has no place value: beside bits that select something it is one of them.
    let others = free & changing & !mask(&numbers);
    numbers.retain(|piece| piece.width > 1 || (piece.mask() << 1 | piece.mask() >> 1) & others == 0);
    numbers.iter_mut().for_each(|piece| extend_sign(piece, members, free & varying));
    free &= !mask(&numbers);
    pieces.extend(numbers);
    let native = set(&Tally::is_native_alone) & free;
    for (of, is_native) in [(native, true), (free & changing & !native, false)] {
        for (low, width) in runs(of) {
            let mut parts = cuts(probe, group, members, low, width);
            // Only a run that takes every value is cut where it may just as well not be.
            let full = parts.len() > 1 && width <= WIDEST_LENGTH && {
                accepted_values(probe, group, members, low, width).len() == 1 << width
            };
            if full && parts.iter().all(|&(low, width)| resizes(&tallies, low, width)) {
                parts = vec![(low, width)];
            }
            pieces.extend(parts.into_iter().map(|(low, width)| {
                let length = resizes(&tallies, low, width);
                Piece {
                    low,
                    width,
                    holds: if is_native { Holds::Native } else { Holds::Selector { length } },
                }
            }));
        }
    }
    pieces.sort_by_key(|piece| piece.low);
    join(probe, group, members, &mut pieces);
    let taken = ignored | mask(&pieces);
    let fixed = members.first().copied().unwrap_or(0) & !taken & PAYLOAD_MASK;
    let fixed = runs(fixed_nibbles(fixed, taken)).into_iter();
    pieces.extend(fixed.map(|(low, width)| Piece { low, width, holds: Holds::Fixed }));
    pieces.sort_by_key(|piece| piece.low);
    (pieces, ignored)
}

fn mask(pieces: &[Piece]) -> u64 {
    pieces.iter().fold(0, |bits, piece| bits | piece.mask())
}

/// What the seeds of a group say of one bit.
#[derive(Default)]
struct Tally {
    accepted: usize,
    /// Votes for being bit 0 to 3 of a register number: all, with a write, as an address.
    register: [(usize, usize, usize); 4],
    number: usize,
    up: BTreeMap<u32, usize>,
    down: BTreeMap<u32, usize>,
    either: BTreeMap<u32, usize>,
    structure: usize,
    resized: usize,
    native: usize,
    nothing: usize,
}

impl Tally {
    fn of(seeds: &[Seed], bit: u32) -> Self {
        let mut tally = Tally::default();
        for seed in seeds {
            tally.add(seed.effects[bit as usize]);
        }
        tally
    }

    fn add(&mut self, effect: Effect) {
        self.accepted += usize::from(effect != Effect::Refused);
        match effect {
            Effect::Refused | Effect::Unknown => {}
            Effect::Nothing => self.nothing += 1,
            Effect::Native => self.native += 1,
            Effect::Structure { resized } => {
                self.structure += 1;
                self.resized += usize::from(resized);
            }
            Effect::Register { bit, written, address } => {
                let votes = &mut self.register[bit as usize];
                *votes = (votes.0 + 1, votes.1 + usize::from(written), votes.2 + usize::from(address));
            }
            Effect::Number(Steps { up, down, either }) => {
                self.number += 1;
                for (steps, votes) in [(up, &mut self.up), (down, &mut self.down), (either, &mut self.either)]
                {
                    for step in (0..64).filter(|step| steps >> step & 1 == 1) {
                        *votes.entry(step).or_default() += 1;
                    }
                }
            }
        }
    }

    fn registers(&self) -> usize {
        self.register.iter().map(|votes| votes.0).sum()
    }

    fn is_number(&self) -> bool {
        self.number > self.registers() && 4 * self.number >= self.structure
    }

    fn is_native_alone(&self) -> bool {
        self.native > 0 && self.structure + self.number + self.registers() == 0
    }

    fn is_ignored(&self) -> bool {
        self.nothing > 0 && self.structure + self.number + self.registers() + self.native == 0
    }

    /// The steps that two thirds of the votes for a number have; in a table, each value has others.
    fn steps(&self) -> BTreeSet<u32> {
        let often = |votes: &BTreeMap<u32, usize>| {
            votes
                .iter()
                .filter(|(_, votes)| 3 * **votes >= 2 * self.number)
                .map(|(step, _)| *step)
                .collect::<Vec<_>>()
        };
        [&self.up, &self.down, &self.either].into_iter().flat_map(often).collect()
    }
}

/// The bits of `mask`, each of which changes nothing, if several of them at once change nothing either.
fn ignored(probe: &mut Probe, group: &Group, mask: u64, choices: &mut Seeded) -> u64 {
    if mask == 0 {
        return 0;
    }
    let pairs: Vec<(u64, u64)> = group
        .seeds
        .iter()
        .cycle()
        .take(64)
        .map(|seed| (seed.payload, seed.payload & !mask | choices.bits() & mask))
        .collect();
    let all: Vec<u64> = pairs.iter().flat_map(|(before, after)| [*before, *after]).collect();
    let samples = probe.samples(&all);
    let same = samples.chunks(2).all(|pair| match pair {
        [Some(a), Some(b)] => a.proofs == b.proofs && a.native == b.native,
        _ => false,
    });
    if same { mask } else { 0 }
}

/// The register numbers: the low bit of each follows from every bit that changes one in the proof.
fn registers(tallies: &[Tally], free: u64) -> Vec<Piece> {
    let mut candidates: BTreeMap<u32, (usize, usize, usize)> = BTreeMap::new();
    for (at, tally) in tallies.iter().enumerate() {
        for (bit, votes) in tally.register.iter().enumerate().filter(|(_, votes)| votes.0 > 0) {
            if let Some(low) = at.checked_sub(bit) {
                let sum = candidates.entry(low as u32).or_default();
                *sum = (sum.0 + votes.0, sum.1 + votes.1, sum.2 + votes.2);
            }
        }
    }
    let mut candidates: Vec<_> = candidates.into_iter().collect();
    candidates.sort_by_key(|&(low, votes)| (std::cmp::Reverse(votes.0), low));
    let mut left = free;
    let mut found = Vec::new();
    for (low, (votes, written, address)) in candidates {
        let width = (0..4).take_while(|bit| belongs(tallies, left, low, *bit)).count() as u32;
        let mask = ((1u64 << width) - 1) << low;
        if width < 2 || votes < 2 {
            continue;
        }
        left &= !mask;
        let holds = if width == 4 {
            // Fewer: slots with numbers that are no register cannot be read.
            Holds::Register { written: 4 * written > votes, address: 4 * address > votes }
        } else {
            Holds::Selector { length: false }
        };
        found.push(Piece { low, width, holds });
    }
    found
}

/// Whether bit `bit` of the register number at `low` is that, or nothing else.
fn belongs(tallies: &[Tally], left: u64, low: u32, bit: u32) -> bool {
    let at = low + bit;
    if at >= PAYLOAD_BITS || left >> at & 1 == 0 {
        return false;
    }
    let tally = &tallies[at as usize];
    let here = tally.register[bit as usize].0;
    2 * here >= tally.registers() && here >= tally.number
}

/// The constants of the proof: runs of bits that count 1, 2, 4 and so on, or as much more.
fn numbers(tallies: &[Tally], free: u64) -> Vec<Piece> {
    let mut found: Vec<(u32, u32, BTreeSet<u32>)> = Vec::new();
    for bit in (0..PAYLOAD_BITS).filter(|bit| free >> bit & 1 == 1) {
        let tally = &tallies[bit as usize];
        let steps = tally.steps();
        if !tally.is_number() || steps.is_empty() {
            continue;
        }
        if let Some((low, width, last)) = found.last_mut() {
            let goes_on: BTreeSet<u32> = steps
                .iter()
                .copied()
                .filter(|step| *step != 32 && last.contains(&step.wrapping_sub(1)))
                .collect();
            if *low + *width == bit && !goes_on.is_empty() && *width < 32 {
                (*width, *last) = (*width + 1, goes_on);
                continue;
            }
        }
        found.push((bit, 1, steps));
    }
    found
        .into_iter()
        .map(|(low, width, last)| {
            let offset = last.iter().all(|step| *step >= 32);
            Piece {
                low,
                width,
                holds: Holds::Number { signed: is_signed(tallies, low, width, &last), offset },
            }
        })
        .collect()
}

/// Whether the top bit counts against the others, or is the top bit of the whole constant.
fn is_signed(tallies: &[Tally], low: u32, width: u32, last: &BTreeSet<u32>) -> bool {
    if width < 2 {
        return false;
    }
    let (below, top) = (&tallies[(low + width - 2) as usize], &tallies[(low + width - 1) as usize]);
    let votes = |votes: &BTreeMap<u32, usize>, step: u32| votes.get(&step).map_or(0, |votes| *votes as i64);
    let direction = |tally: &Tally, step: u32| (votes(&tally.up, step) - votes(&tally.down, step)).signum();
    last.iter().any(|&step| {
        let whole = 2 * votes(&top.either, step) >= top.number as i64;
        whole || direction(below, step.wrapping_sub(1)) * direction(top, step) < 0
    })
}

fn resizes(tallies: &[Tally], low: u32, width: u32) -> bool {
    let of = &tallies[low as usize..(low + width) as usize];
    let (structure, resized) =
        of.iter().fold((0, 0), |sum, tally| (sum.0 + tally.structure, sum.1 + tally.resized));
    2 * resized > structure
}

/// Adds the bits above a constant that are always all the same: a signed one that is bounded on both sides never sets
/// them alone.
fn extend_sign(piece: &mut Piece, members: &[u64], free: u64) {
    let high = piece.high();
    let most = (free >> high).trailing_ones().min(32 - piece.width);
    let extended = |width: u32| {
        let mask = ((1u64 << width) - 1) << high;
        let mut ones = members.iter().map(|member| member & mask).filter(|bits| *bits != 0).peekable();
        ones.peek().is_some() && ones.all(|bits| bits == mask)
    };
    let Some(width) = (2..=most).rev().find(|width| extended(*width)) else { return };
    piece.width += width;
    if let Holds::Number { signed, .. } = &mut piece.holds {
        *signed = true;
    }
}

/// The runs of ones in `mask` as low bit and width.
pub(super) fn runs(mask: u64) -> Vec<(u32, u32)> {
    let mut runs = Vec::new();
    let mut low = 0;
    while mask >> low != 0 {
        low += (mask >> low).trailing_zeros();
        let width = (mask >> low).trailing_ones();
        runs.push((low, width));
        low += width;
    }
    runs
}

/// The nibbles around the ones of `fixed`, as far as nothing else is there: a constant is a field of its own.
fn fixed_nibbles(fixed: u64, taken: u64) -> u64 {
    (0..PAYLOAD_BITS / 4)
        .map(|nibble| 0xf << (4 * nibble))
        .filter(|nibble| fixed & nibble != 0)
        .fold(0, |bits, nibble| bits | if nibble & taken == 0 { nibble } else { fixed & nibble })
}

/// Joins a constant with bits beside it that take their values together: the one bit that only the largest value sets.
fn join(probe: &mut Probe, group: &Group, members: &[u64], pieces: &mut Vec<Piece>) {
    let mut at = 0;
    while at + 1 < pieces.len() {
        let (a, b) = (&pieces[at], &pieces[at + 1]);
        let width = a.width + b.width;
        let kinds = matches!(
            (&a.holds, &b.holds),
            (Holds::Number { .. }, Holds::Selector { .. }) | (Holds::Selector { .. }, Holds::Number { .. })
        );
        if kinds && a.high() == b.low && width <= 12 {
            let joint = accepted_values(probe, group, members, a.low, width);
            if is_interval(&joint) && !is_product(&joint, &[(0, a.width), (a.width, b.width)]) {
                let holds = if matches!(a.holds, Holds::Number { .. }) { &a.holds } else { &b.holds };
                pieces[at] = Piece { low: a.low, width, holds: holds.clone() };
                pieces.remove(at + 1);
                continue;
            }
        }
        at += 1;
    }
}
