// SPDX-License-Identifier: GPL-2.0-or-later
//! Finding valid payloads among 2^52, nearly all of which are refused.
//!
//! Decoders look at fields: tags, register numbers, lengths, bits that must be zero. So payloads are made of nibbles that
//! are small or zero, of every length, and what is found is changed field by field. Only what needs a constant of many
//! bits stays out of reach.

use std::collections::HashSet;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::PAYLOAD_BITS;

use super::probe::Probe;

/// The nibbles of a payload.
pub(super) const NIBBLES: u32 = PAYLOAD_BITS / 4;

/// All bits that a payload has.
pub(super) const PAYLOAD_MASK: u64 = (1 << PAYLOAD_BITS) - 1;

/// How many valid payloads are kept.
const MOST_KEPT: usize = 24_000;

/// How many payloads of each length are drawn.
const DRAWN_PER_LENGTH: usize = 6000;

/// How many times what was found is changed to find more, and how many changes each time.
const SPREADS: usize = 16;
const CHANGES: usize = 4096;

/// The valid payloads that were found.
#[derive(Default)]
pub(super) struct Found {
    payloads: Vec<u64>,
    known: HashSet<u64>,
}

impl Found {
    pub(super) fn payloads(&self) -> &[u64] {
        &self.payloads
    }

    /// Keeps `payloads`, which are valid.
    pub(super) fn extend(&mut self, payloads: impl IntoIterator<Item = u64>) {
        for payload in payloads {
            if self.payloads.len() < MOST_KEPT && self.known.insert(payload) {
                self.payloads.push(payload);
            }
        }
    }

    /// Keeps `payload` even when there are many already.
    pub(super) fn insist(&mut self, payload: u64) {
        if self.known.insert(payload) {
            self.payloads.push(payload);
        }
    }

    /// The bits that are not the same in all of them.
    pub(super) fn varying(&self) -> u64 {
        let (ones, all) = self.payloads.iter().fold((0, PAYLOAD_MASK), |(or, and), p| (or | p, and & p));
        ones & !all
    }

    /// `count` of them, such that each value of each nibble has the same chance: what a rare tag selects is not outnumbered.
    pub(super) fn stratified(&self, count: usize, choices: &mut impl Choices) -> Vec<u64> {
        let strata: Vec<Vec<Vec<u64>>> = (0..NIBBLES).map(|nibble| self.by_value(nibble)).collect();
        let strata: Vec<&Vec<Vec<u64>>> = strata.iter().filter(|values| values.len() > 1).collect();
        if strata.is_empty() {
            return self.payloads.iter().copied().take(count).collect();
        }
        let mut one = || {
            let values = *choices.pick(&strata);
            let members = choices.pick(values);
            *choices.pick(members)
        };
        (0..count).map(|_| one()).collect()
    }

    fn by_value(&self, nibble: u32) -> Vec<Vec<u64>> {
        let mut values = vec![Vec::new(); 16];
        for &payload in &self.payloads {
            values[(payload >> (4 * nibble) & 0xf) as usize].push(payload);
        }
        values.retain(|members| !members.is_empty());
        values
    }
}

/// Looks for valid payloads; `hints` are tried first. Nothing found is an empty answer.
pub(super) fn search(probe: &mut Probe, hints: &[u64], choices: &mut Seeded) -> Found {
    let mut found = Found::default();
    found.extend(probe.screen(hints));
    for candidates in [sparse(), (0..1 << 16).collect(), overlaid(1), drawn(DRAWN_PER_LENGTH, choices)] {
        found.extend(probe.screen(&candidates));
    }
    if found.payloads.is_empty() {
        // The costly attempts: most operations never get here.
        for attempt in 0..4 {
            let candidates = match attempt {
                0 => overlaid(2),
                1 => triples(),
                _ => drawn(40_000, choices),
            };
            found.extend(probe.screen(&candidates));
            if !found.payloads.is_empty() {
                break;
            }
        }
    }
    for _ in 0..SPREADS {
        if found.payloads.is_empty() || probe.is_spent() {
            break;
        }
        let changed = changed(&found, CHANGES, choices);
        found.extend(probe.screen(&changed));
    }
    found
}

/// Zero, and everything with up to three bits set.
fn sparse() -> Vec<u64> {
    let bits: Vec<u64> = (0..PAYLOAD_BITS).map(|bit| 1 << bit).collect();
    let mut sparse = vec![0];
    for (i, &a) in bits.iter().enumerate() {
        sparse.push(a);
        for (j, &b) in bits.iter().enumerate().skip(i + 1) {
            sparse.push(a | b);
            sparse.extend(bits.iter().skip(j + 1).map(|c| a | b | c));
        }
    }
    sparse
}

/// Plain patterns of register numbers, of every length, with up to `many` nibbles replaced by every value.
fn overlaid(many: usize) -> Vec<u64> {
    const PATTERNS: [u64; 7] = [
        0,
        0x1_1111_1111_1111,
        0x2_1098_7654_3210,
        0x3_2198_7654_3210,
        0x3_2109_8765_4321,
        0x5_6789_0123_4567,
        0x0_1010_1010_1010,
    ];
    let mut overlaid = Vec::new();
    for pattern in &PATTERNS[..if many > 1 { 3 } else { PATTERNS.len() }] {
        for length in 0..=NIBBLES {
            let base = pattern & ((1 << (4 * length)) - 1);
            overlay(base, 0, many, &mut overlaid);
        }
    }
    overlaid
}

fn overlay(base: u64, from: u32, many: usize, overlaid: &mut Vec<u64>) {
    overlaid.push(base);
    if many == 0 {
        return;
    }
    for nibble in from..NIBBLES {
        for value in 0..16 {
            overlay(replaced(base, 4 * nibble, 4, value), nibble + 1, many - 1, overlaid);
        }
    }
}

/// All with three nibbles that are not zero.
fn triples() -> Vec<u64> {
    let mut triples = Vec::new();
    overlay(0, 0, 3, &mut triples);
    triples
}

/// `count` payloads of each length in nibbles: register numbers, zeros, and some fields with any value.
fn drawn(count: usize, choices: &mut impl Choices) -> Vec<u64> {
    let mut drawn = Vec::with_capacity(count * NIBBLES as usize);
    for length in 1..=NIBBLES {
        drawn.extend((0..count).map(|_| draw(length, choices)));
    }
    drawn
}

fn draw(length: u32, choices: &mut impl Choices) -> u64 {
    let zeros = choices.below(4);
    let mut payload = 0;
    for nibble in 0..length {
        let value = match choices.below(8) {
            part if part < 2 * zeros => 0,
            7 => choices.below(16),
            _ => choices.below(11),
        };
        payload |= value << (4 * nibble);
    }
    if choices.one_in(4) {
        // Fields that begin at no multiple of four.
        payload = payload << (1 + choices.below(3)) | choices.below(8);
    }
    if choices.one_in(4) {
        payload = any_change(payload, choices);
    }
    payload & ((1 << (4 * length)) - 1)
}

/// Some field of `payload` with some other value.
fn any_change(payload: u64, choices: &mut impl Choices) -> u64 {
    let low = choices.below(u64::from(PAYLOAD_BITS)) as u32;
    let aligned = low & !3;
    match choices.below(8) {
        0 => payload ^ 1 << low,
        1 => replaced(payload, low, 4, choices.bits()),
        2 => replaced(payload, aligned, 8, choices.bits()),
        3 if choices.one_in(2) => {
            // A small negative number.
            let width = *choices.pick(&[8, 16, 32]);
            replaced(payload, aligned, width, !choices.below(64))
        }
        3 => replaced(payload, aligned, 4, 0),
        4 => replaced(payload, aligned, [16, 32][choices.below(2) as usize], choices.bits()),
        _ => replaced(payload, aligned, 4, choices.bits()),
    }
}

/// `count` changes of what was found: up to three fields, or the upper part of another one.
pub(super) fn changed(found: &Found, count: usize, choices: &mut impl Choices) -> Vec<u64> {
    let from = found.stratified(count, choices);
    let others = found.stratified(count, choices);
    from.into_iter()
        .zip(others)
        .map(|(payload, other)| {
            if choices.one_in(8) {
                let low = choices.below(u64::from(PAYLOAD_BITS)) as u32;
                return replaced(payload, low, PAYLOAD_BITS - low, other >> low);
            }
            (0..1 + choices.below(3)).fold(payload, |payload, _| any_change(payload, choices))
        })
        .collect()
}

/// `payload` with the `width` bits from bit `low` replaced by those of `value`.
pub(super) fn replaced(payload: u64, low: u32, width: u32, value: u64) -> u64 {
    let mask = ((1u64 << width) - 1) << low & PAYLOAD_MASK;
    payload & !mask | value << low & mask
}
