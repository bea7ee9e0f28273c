// SPDX-License-Identifier: GPL-2.0-or-later
//! Where one field ends and the next one begins, when the values that are accepted are all that tells.

use std::collections::BTreeSet;

use super::group::Group;
use super::probe::Probe;
use super::range::accepted_values;

/// The widest run of bits that is understood; a wider one is cut at bytes.
const WIDEST: u32 = 14;

/// The widest field in which every value means something of its own, so that more bits are taken for several.
const NIBBLE: u32 = 4;

/// Whether the numbers follow each other without a gap.
pub(super) fn is_interval(values: &BTreeSet<u64>) -> bool {
    match (values.first(), values.last()) {
        (Some(first), Some(last)) => last - first + 1 == values.len() as u64,
        _ => false,
    }
}

/// Cuts a run of bits into fields (low bit, width): each takes the values of an interval, whatever the others are.
pub(super) fn cuts(
    probe: &mut Probe,
    group: &Group,
    members: &[u64],
    low: u32,
    width: u32,
) -> Vec<(u32, u32)> {
    if width == 1 {
        return vec![(low, width)];
    }
    if width > WIDEST {
        let first = 8 - low % 8;
        let mut parts = cuts(probe, group, members, low, first);
        parts.extend(cuts(probe, group, members, low + first, width - first));
        return parts;
    }
    let joint = accepted_values(probe, group, members, low, width);
    if width > NIBBLE && joint.len() == 1 << width {
        // Any cut would do.
        return nibbles(low, width);
    }
    best_cuts(&joint, low, width)
}

/// A run of bits cut at multiples of four.
fn nibbles(low: u32, width: u32) -> Vec<(u32, u32)> {
    let mut parts = Vec::new();
    let mut at = low;
    while at < low + width {
        let part = (NIBBLE - at % NIBBLE).min(low + width - at);
        parts.push((at, part));
        at += part;
    }
    parts
}

/// The fewest parts of which `joint` is the product, each an interval; cuts at multiples of four where there is a choice.
fn best_cuts(joint: &BTreeSet<u64>, low: u32, width: u32) -> Vec<(u32, u32)> {
    let placed = |parts: Vec<(u32, u32)>| parts.into_iter().map(|(at, part)| (low + at, part)).collect();
    if is_interval(joint) {
        return vec![(low, width)];
    }
    for many in 1..=3u32 {
        let mut best: Option<(usize, Vec<(u32, u32)>)> = None;
        for cuts in (1u32..1 << (width - 1)).filter(|cuts| cuts.count_ones() == many) {
            let parts = cut_at(cuts, width);
            let uneven = parts.iter().filter(|(at, _)| !(low + at).is_multiple_of(NIBBLE)).count();
            if best.as_ref().is_none_or(|(least, _)| uneven < *least) && is_product(joint, &parts) {
                best = Some((uneven, parts));
            }
        }
        if let Some((_, parts)) = best {
            return placed(parts);
        }
    }
    vec![(low, width)]
}

fn cut_at(cuts: u32, width: u32) -> Vec<(u32, u32)> {
    let mut parts = Vec::new();
    let mut from = 0;
    for at in 1..=width {
        if at == width || cuts >> (at - 1) & 1 == 1 {
            parts.push((from, at - from));
            from = at;
        }
    }
    parts
}

/// Whether the values are all combinations of what the parts hold, each of which holds an interval.
pub(super) fn is_product(joint: &BTreeSet<u64>, parts: &[(u32, u32)]) -> bool {
    let mut size = 1;
    for &(at, width) in parts {
        let values: BTreeSet<u64> = joint.iter().map(|value| value >> at & ((1 << width) - 1)).collect();
        if !is_interval(&values) {
            return false;
        }
        size *= values.len();
    }
    size == joint.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_into_intervals() {
        let product = |a: std::ops::RangeInclusive<u64>, b: std::ops::RangeInclusive<u64>, at: u32| {
            a.flat_map(|a| b.clone().map(move |b| a | b << at)).collect::<BTreeSet<u64>>()
        };
        assert_eq!(best_cuts(&product(1..=20, 1..=10, 5), 4, 9), [(4, 5), (9, 4)]);
        assert_eq!(best_cuts(&product(0..=2, 0..=3, 2), 4, 4), [(4, 2), (6, 2)]);
        assert_eq!(best_cuts(&(1..=64).collect(), 14, 7), [(14, 7)]);
        assert_eq!(best_cuts(&[1, 2, 4, 8].into_iter().collect(), 0, 4), [(0, 4)]);
        assert_eq!(nibbles(3, 7), [(3, 1), (4, 4), (8, 2)]);
    }
}
