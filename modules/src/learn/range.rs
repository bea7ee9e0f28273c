// SPDX-License-Identifier: GPL-2.0-or-later
//! Which values a field may have: all of them tried where it is narrow, otherwise the boundaries looked for.

use std::collections::BTreeSet;

use kop_ops::choices::{Choices, Seeded};

use super::group::Group;
use super::probe::Probe;
use super::search::replaced;

/// Up to this width every value is tried.
const NARROW: u32 = 12;

/// Whether the numbers follow each other without a gap.
pub(super) fn is_interval(values: &BTreeSet<u64>) -> bool {
    match (values.first(), values.last()) {
        (Some(first), Some(last)) => last - first + 1 == values.len() as u64,
        _ => false,
    }
}

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
    for seed in group.seeds.iter().step_by(step) {
        let left: Vec<u64> = (0..=mask).filter(|value| !values.contains(value)).collect();
        let tried: Vec<u64> = left.iter().map(|value| replaced(seed.payload, low, width, *value)).collect();
        values.extend(probe.valid(&tried).into_iter().map(|payload| payload >> low & mask));
    }
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
    let seeds: Vec<u64> = (0..6).map(|_| choices.pick(&group.seeds).payload).collect();
    for _ in 0..2 {
        for value in candidates(least, most, choices) {
            if !(min..=max).contains(&value) && accepts(probe, &seeds, low, width, value) {
                (min, max) = (min.min(value), max.max(value));
            }
        }
        max = furthest(probe, &seeds, (low, width), max, most);
        min = furthest(probe, &seeds, (low, width), min, least);
    }
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

fn accepts(probe: &mut Probe, seeds: &[u64], low: u32, width: u32, value: i64) -> bool {
    let tried: Vec<u64> = seeds.iter().map(|&seed| replaced(seed, low, width, value as u64)).collect();
    !probe.valid(&tried).is_empty()
}

/// The value furthest from `good` towards `limit` up to which values are accepted, by halving.
fn furthest(probe: &mut Probe, seeds: &[u64], field: (u32, u32), good: i64, limit: i64) -> i64 {
    if accepts(probe, seeds, field.0, field.1, limit) {
        return limit;
    }
    let (mut good, mut bad) = (good, limit);
    while good.abs_diff(bad) > 1 {
        let middle = good + (bad - good) / 2;
        if accepts(probe, seeds, field.0, field.1, middle) { good = middle } else { bad = middle }
    }
    good
}
