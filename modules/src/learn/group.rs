// SPDX-License-Identifier: GPL-2.0-or-later
//! Tags: bits that select what the other bits mean. Payloads are split by their tag, as long as that makes the parts
//! uniform.

use std::collections::BTreeMap;

use kop_ops::ebpf::PAYLOAD_BITS;

use super::cut::cuts;
use super::effect::{Effect, Seed};
use super::pieces::runs;
use super::probe::Probe;

/// The most forms of an operation.
const MOST_FORMS: usize = 16;

/// The widest tag, in bits.
const WIDEST_TAG: u32 = 4;

/// Tags within tags.
const DEEPEST: usize = 2;

/// A run of bits with one value, or with neighbouring values that mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub low: u32,
    pub width: u32,
    pub min: u64,
    pub max: u64,
}

impl Tag {
    pub(super) const fn mask(&self) -> u64 {
        ((1 << self.width) - 1) << self.low
    }

    pub(super) fn admits(&self, payload: u64) -> bool {
        (self.min..=self.max).contains(&((payload & self.mask()) >> self.low))
    }
}

/// Payloads in which each bit means the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// The tags that they have; none when there is one group alone.
    pub tags: Vec<Tag>,
    /// The payloads.
    pub seeds: Vec<Seed>,
}

impl Group {
    /// The payloads out of `found` that have its tags.
    pub(super) fn members(&self, found: &[u64]) -> Vec<u64> {
        found.iter().copied().filter(|payload| self.tags.iter().all(|tag| tag.admits(*payload))).collect()
    }
}

/// Splits `seeds`, which are among the valid payloads `found`, by their tags.
pub(super) fn split(probe: &mut Probe, seeds: Vec<Seed>, found: &[u64]) -> Vec<Group> {
    let mut groups = vec![Group { tags: Vec::new(), seeds }];
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        let mut many = groups.len();
        for group in groups {
            match best_split(probe, &group, found) {
                Some(parts) if many - 1 + parts.len() <= MOST_FORMS => {
                    many += parts.len() - 1;
                    next.extend(divide(group, parts));
                }
                _ => next.push(group),
            }
        }
        groups = next;
    }
    groups
}

fn divide(group: Group, parts: Vec<Tag>) -> Vec<Group> {
    let of = |tag: Tag| Group {
        tags: group.tags.iter().copied().chain([tag]).collect(),
        seeds: group.seeds.iter().filter(|seed| tag.admits(seed.payload)).cloned().collect(),
    };
    parts.into_iter().map(of).collect()
}

/// The tag that makes the parts of `seeds` uniform, with its values; `None` when they are, or when no tag does.
fn best_split(probe: &mut Probe, group: &Group, found: &[u64]) -> Option<Vec<Tag>> {
    let seeds = &group.seeds;
    let all: Vec<&Seed> = seeds.iter().collect();
    let members = group.members(found);
    let runs: Vec<(u32, u32)> =
        runs(selectors(seeds)).into_iter().filter(|run| !is_sign(seeds, &members, *run)).collect();
    let places: Vec<u64> = runs.iter().map(|&(low, width)| ((1 << width) - 1) << low).collect();
    if disorder(&all, &places, 0) <= seeds.len() / 50 {
        return None;
    }
    let (mut eligible, mut fields) = (0, Vec::new());
    for (low, width) in runs {
        eligible |= ((1 << width) - 1) << low;
        fields.extend(cuts(probe, group, &members, low, width));
    }
    let mut best: Option<(usize, usize, u32, u32)> = None;
    for width in 1..=WIDEST_TAG {
        for low in 0..=PAYLOAD_BITS - width {
            let mask = ((1u64 << width) - 1) << low;
            if mask & !eligible != 0 {
                continue;
            }
            let parts = parts(&all, low, width);
            // A tag's own bits need not be free under each of its values, and those of a length neither.
            let field =
                fields.iter().map(|&(low, width)| ((1 << width) - 1) << low).find(|field| mask & !field == 0);
            let except = field.unwrap_or(mask);
            let before = disorder(&all, &places, except);
            let left: usize = parts.values().map(|part| disorder(part, &places, except)).sum();
            let score = (left + parts.len(), parts.len(), width, low);
            if parts.len() > 1 && left * 8 <= before && best.is_none_or(|best| score < best) {
                best = Some(score);
            }
        }
    }
    let (_, _, width, low) = best?;
    let (low, width) = widened(&all, low, width);
    let tags = merged(&parts(&all, low, width), &places, low, width);
    (tags.len() > 1 && tags.len() <= MOST_FORMS).then_some(tags)
}

fn parts<'a>(seeds: &[&'a Seed], low: u32, width: u32) -> BTreeMap<u64, Vec<&'a Seed>> {
    let mut parts: BTreeMap<u64, Vec<&Seed>> = BTreeMap::new();
    for &seed in seeds {
        parts.entry(seed.payload >> low & ((1 << width) - 1)).or_default().push(seed);
    }
    parts
}

/// The bits that may be part of a tag: those that vary, and hold no register number and no constant of the proof.
fn selectors(seeds: &[Seed]) -> u64 {
    let varying = seeds.iter().fold(0, |bits, seed| bits | seed.payload ^ seeds[0].payload);
    (0..PAYLOAD_BITS)
        .filter(|bit| varying >> bit & 1 == 1 && !is_value(seeds, *bit))
        .fold(0, |bits, bit| bits | 1 << bit)
}

/// Whether bits are the sign of the constant below them: always all the same, and both occur.
fn is_sign(seeds: &[Seed], members: &[u64], (low, width): (u32, u32)) -> bool {
    let mask = ((1 << width) - 1) << low;
    low > 0
        && width > 1
        && is_value(seeds, low - 1)
        && members.iter().all(|member| [0, mask].contains(&(member & mask)))
}

fn is_value(seeds: &[Seed], bit: u32) -> bool {
    let (mut values, mut others) = (0, 0);
    for seed in seeds {
        match seed.effects[bit as usize] {
            Effect::Register { .. } | Effect::Number(_) => values += 1,
            Effect::Structure { .. } | Effect::Native => others += 1,
            _ => {}
        }
    }
    values > others
}

/// In how many places the seeds contradict each other: about what a bit is, or whether it is anything at all. The bits of
/// one of `selectors` are one place: how far a length reaches says nothing. `except` are bits that do not count.
fn disorder(seeds: &[&Seed], selectors: &[u64], except: u64) -> usize {
    let selecting = selectors.iter().fold(0, |bits, run| bits | run);
    let single = (0..PAYLOAD_BITS).map(|bit| 1 << bit).filter(|bit| selecting & bit == 0);
    let places =
        selectors.iter().copied().chain(single).map(|place| place & !except).filter(|place| *place != 0);
    let alive = |place: u64| seeds.iter().filter(|seed| seed.live & place != 0).count();
    let unlike = places.map(|place| alive(place).min(seeds.len() - alive(place))).sum::<usize>();
    let meanings = (0..PAYLOAD_BITS).filter(|bit| except >> bit & 1 == 0).map(|bit| disagreeing(seeds, bit));
    unlike + meanings.sum::<usize>()
}

/// How many seeds do not take a bit for what most take it for.
fn disagreeing(seeds: &[&Seed], bit: u32) -> usize {
    let mut meanings: BTreeMap<(u32, bool), usize> = BTreeMap::new();
    for seed in seeds {
        match seed.effects[bit as usize] {
            Effect::Register { bit, written, .. } => *meanings.entry((bit, written)).or_default() += 1,
            Effect::Number(_) => *meanings.entry((u32::MAX, false)).or_default() += 1,
            Effect::Nothing => *meanings.entry((u32::MAX, true)).or_default() += 1,
            _ => {}
        }
    }
    meanings.values().sum::<usize>() - meanings.values().copied().max().unwrap_or(0)
}

/// The tag together with the bits beside it that are the same throughout each part: two values may differ in one bit and
/// be a tag of four.
fn widened(seeds: &[&Seed], low: u32, width: u32) -> (u32, u32) {
    let (mut low, mut high) = (low, low + width);
    let varying = seeds.iter().fold(0, |bits, seed| bits | seed.payload ^ seeds[0].payload);
    let settled = |low: u32, high: u32, bit: u32| {
        let constant =
            |part: &Vec<&Seed>| part.iter().all(|seed| (seed.payload ^ part[0].payload) >> bit & 1 == 0);
        varying >> bit & 1 == 1 && parts(seeds, low, high - low).values().all(constant)
    };
    while low > 0 && settled(low, high, low - 1) {
        low -= 1;
    }
    while high < PAYLOAD_BITS && settled(low, high, high) {
        high += 1;
    }
    (low, high - low)
}

/// Neighbouring values under which everything is the same become one.
fn merged(parts: &BTreeMap<u64, Vec<&Seed>>, places: &[u64], low: u32, width: u32) -> Vec<Tag> {
    let mask = ((1 << width) - 1) << low;
    let mut tags: Vec<(Tag, Vec<&Seed>)> = Vec::new();
    for (&value, part) in parts {
        if let Some((tag, members)) = tags.last_mut() {
            let both: Vec<&Seed> = members.iter().chain(part).copied().collect();
            if tag.max + 1 == value
                && disorder(&both, places, mask)
                    <= disorder(members, places, mask) + disorder(part, places, mask)
            {
                tag.max = value;
                *members = both;
                continue;
            }
        }
        tags.push((Tag { low, width, min: value, max: value }, part.clone()));
    }
    tags.into_iter().map(|(tag, _)| tag).collect()
}
