// SPDX-License-Identifier: GPL-2.0-or-later
//! Which values a field may have: all of them tried where it is narrow, otherwise the boundaries looked for.

use std::collections::BTreeSet;

use kop_ops::choices::{Choices, Seeded};

use super::group::Group;
use super::probe::Probe;
use super::search::{NIBBLES, replaced};

/// Up to this width every value is tried.
const NARROW: u32 = 12;

/// In how many payloads the values of a wider field are tried.
const CONTEXTS: usize = 12;

/// In how many of a group's payloads a field of this width is tried out.
const fn contexts(width: u32) -> usize {
    match width {
        0..=6 => 24,
        7..=8 => 12,
        9..=10 => 6,
        _ => 3,
    }
}

/// The values of the `width` bits from bit `low` that are accepted in some payload of the group; the field is narrow, or
/// at most two bits wider.
pub(super) fn accepted_values(
    probe: &mut Probe,
    group: &Group,
    members: &[u64],
    low: u32,
    width: u32,
) -> BTreeSet<u64> {
    let mask = (1u64 << width) - 1;
    let mut values: BTreeSet<u64> = members.iter().map(|member| member >> low & mask).collect();
    let step = (group.seeds.len() / contexts(width)).max(1);
    let left: Vec<u64> = (0..=mask).filter(|value| !values.contains(value)).collect();
    let contexts = group.seeds.iter().step_by(step).map(|seed| seed.payload);
    let tried: Vec<u64> = contexts
        .flat_map(|context| left.iter().map(move |value| replaced(context, low, width, *value)))
        .collect();
    values.extend(probe.valid(&tried).into_iter().map(|payload| payload >> low & mask));
    values
}

/// The smallest and the largest value that the field has in some payload of the group.
pub(super) fn range(
    probe: &mut Probe,
    group: &Group,
    members: &[u64],
    field: (u32, u32, bool),
    choices: &mut Seeded,
) -> (i64, i64) {
    let (low, width, signed) = field;
    let read = |payload: u64| {
        let raw = payload >> low & ((1 << width) - 1);
        if signed { (raw << (64 - width)) as i64 >> (64 - width) } else { raw as i64 }
    };
    if width <= NARROW {
        let values = accepted_values(probe, group, members, low, width);
        let values = values.into_iter().map(|value| read(value << low));
        return bounds(values);
    }
    let (mut min, mut max) = bounds(members.iter().map(|&member| read(member)));
    let (least, most) =
        if signed { (-(1 << (width - 1)), (1 << (width - 1)) - 1) } else { (0, (1 << width) - 1) };
    let seeds: Vec<u64> = (0..CONTEXTS).map(|_| choices.pick(&group.seeds).payload).collect();
    let candidates = candidates(least, most, choices);
    let tried: Vec<u64> = candidates
        .iter()
        .flat_map(|value| seeds.iter().map(|&seed| replaced(seed, low, width, *value as u64)))
        .collect();
    for value in probe.valid(&tried).into_iter().map(read) {
        (min, max) = (min.min(value), max.max(value));
    }
    let at = |value: i64| members.iter().copied().find(|&member| read(member) == value);
    let (lowest, highest) = (at(min), at(max));
    max = furthest(probe, &seeds, highest, (low, width), max, most);
    min = furthest(probe, &seeds, lowest, (low, width), min, least);
    (min, max)
}

fn bounds(values: impl Iterator<Item = i64>) -> (i64, i64) {
    values.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)))
}

fn candidates(least: i64, most: i64, choices: &mut impl Choices) -> Vec<i64> {
    let mut candidates = BTreeSet::from([least, most, 0]);
    for power in (0..33).map(|bit| 1i64 << bit) {
        candidates.extend([power - 1, power, power + 1, -power, 1 - power, -power - 1]);
    }
    candidates.extend((0..32).map(|_| least + choices.below((most - least) as u64 + 1) as i64));
    candidates.into_iter().filter(|value| (least..=most).contains(value)).collect()
}

/// The payloads out of `contexts` with the field set to `value` that are valid.
fn accepted(probe: &mut Probe, contexts: &[u64], low: u32, width: u32, value: i64) -> Vec<u64> {
    let tried: Vec<u64> =
        contexts.iter().map(|&context| replaced(context, low, width, value as u64)).collect();
    probe.valid(&tried)
}

/// The value furthest from `good` towards `limit` up to which values are accepted: by halving, and from there on with any
/// other field changed too.
fn furthest(
    probe: &mut Probe,
    contexts: &[u64],
    example: Option<u64>,
    field: (u32, u32),
    mut good: i64,
    limit: i64,
) -> i64 {
    let (low, width) = field;
    let mut contexts: Vec<u64> = contexts.iter().copied().chain(example).collect();
    for _ in 0..8 {
        if !accepted(probe, &contexts, low, width, limit).is_empty() {
            return limit;
        }
        let mut bad = limit;
        while good.abs_diff(bad) > 1 {
            let middle = good + (bad - good) / 2;
            if accepted(probe, &contexts, low, width, middle).is_empty() {
                bad = middle
            } else {
                good = middle
            }
        }
        if good == limit {
            return good;
        }
        let Some(&edge) = accepted(probe, &contexts, low, width, good).first() else { return good };
        let around =
            (0..NIBBLES).flat_map(|nibble| (0..16).map(move |value| replaced(edge, 4 * nibble, 4, value)));
        let beyond = accepted(probe, &around.collect::<Vec<_>>(), low, width, bad);
        if beyond.is_empty() {
            return good;
        }
        (good, contexts) = (bad, beyond);
    }
    good
}
