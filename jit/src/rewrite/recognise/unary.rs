// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations on one value.

use kop_ops::ebpf::Width;

use super::{Match, by_width, samples, width};
use crate::rewrite::function::Function;
use crate::rewrite::value::{Graph, Node, Value, low};

/// A function as it is tried.
struct Trial<'a> {
    function: &'a Function,
    input: Value,
    /// The bits that the input may have.
    mask: u64,
}

/// The operations that `function` of `input` may be. What changes nothing, and what is one instruction already, is none.
pub(super) fn recognise(graph: &Graph, (root, function): (Value, &Function), input: Value) -> Vec<Match> {
    let trial = Trial { function, input, mask: graph.mask(input) };
    if trial.mask == 0 || trial.is(|x| x) {
        return Vec::new();
    }
    let mut found: Vec<Match> = trial.swapped_load(graph).into_iter().collect();
    if function.steps() > 1 {
        // Each of those that move bits alone asks for many numbers.
        let moves = trial.is_linear();
        if moves {
            found.extend([trial.rotate(), trial.extract()].into_iter().flatten());
        }
        found.extend(trial.named(width(graph, root)));
        if moves {
            found.extend(trial.strided());
        }
    }
    found
}

impl Trial<'_> {
    fn of(&self, number: u64) -> u64 {
        self.function.of(&[number])
    }

    /// Whether it is what `model` says, as far as samples tell.
    fn is(&self, model: impl Fn(u64) -> u64) -> bool {
        samples().map(|sample| sample & self.mask).all(|sample| self.of(sample) == model(sample))
    }

    /// Whether it can move and copy bits alone: what it makes of all is what it makes of every second, and of the others.
    fn is_linear(&self) -> bool {
        let some = self.mask & 0x5555_5555_5555_5555;
        self.of(0) == 0 && self.of(self.mask) == self.of(some) ^ self.of(self.mask ^ some)
    }

    fn found(&self, kop: &'static str, form: &'static str, immediates: Vec<(&'static str, i64)>) -> Match {
        let inputs = vec![("src", self.input)];
        Match { inputs, immediates, ..Match::new(kop, form, 2, self.function.parts.clone()) }
    }

    fn rotate(&self) -> Option<Match> {
        let bit = self.mask.trailing_zeros();
        let moved = self.of(1 << bit);
        if moved.count_ones() != 1 {
            return None;
        }
        let distance = moved.trailing_zeros() + 64 - bit;
        let (wide, narrow) = (distance % 64, distance % 32);
        let found = |form, amount: u32| {
            Some(Match { least: 3, ..self.found("rotate", form, vec![("amount", amount.into())]) })
        };
        if self.is(|x| x.rotate_left(wide)) {
            // Of a number with room at its top, a shift.
            return if self.is(|x| x << wide) { None } else { found("imm64", wide) };
        }
        if self.is(|x| u64::from((x as u32).rotate_left(narrow))) {
            return found("imm32", narrow);
        }
        None
    }

    fn extract(&self) -> Option<Match> {
        let start = (0..64).find(|bit| self.mask >> bit & 1 == 1 && self.of(1 << bit) == 1)?;
        let found = |form, length: u32| {
            let found = self.found("extract", form, vec![("start", start.into()), ("length", length.into())]);
            // Fields that x86-64 does not move at once take it two instructions.
            let moves = start == 0 && matches!(length, 8 | 16 | 32);
            Some(Match { least: if moves { 2 } else { 3 }, ..found })
        };
        let all = self.of(self.mask);
        let length = all.trailing_ones();
        if (1..64).contains(&length) && all == low(length) && self.is(|x| x >> start & low(length)) {
            return found("unsigned", length);
        }
        // A field with a sign: its highest bit sets all above.
        let highest = (start..64).find(|bit| (self.of(1 << bit & self.mask) as i64) < 0)?;
        let length = highest - start + 1;
        let above = 64 - length;
        let is_signed = self.is(|x| ((x >> start << above) as i64 >> above) as u64);
        if is_signed { found("signed", length) } else { None }
    }

    /// The operations without immediates.
    fn named(&self, width: Width) -> Option<Match> {
        /// An operation, a form, how many instructions have to go, and what it makes of a number.
        type Model = (&'static str, &'static str, usize, fn(u64) -> u64);
        let models: [Model; 14] = [
            ("popcount", "pop64", 2, |x| x.count_ones().into()),
            ("popcount", "pop32", 2, |x| (x as u32).count_ones().into()),
            ("count_zeros", "leading64", 2, |x| x.leading_zeros().into()),
            ("count_zeros", "leading32", 2, |x| (x as u32).leading_zeros().into()),
            ("count_zeros", "trailing64", 2, |x| x.trailing_zeros().into()),
            ("count_zeros", "trailing32", 2, |x| (x as u32).trailing_zeros().into()),
            // Where no instruction does it, NEG or LEA, and AND or XOR, and perhaps a copy.
            ("lowest_bit", "isolate64", 3, |x| x & x.wrapping_neg()),
            ("lowest_bit", "isolate32", 3, |x| u64::from(x as u32 & (x as u32).wrapping_neg())),
            ("lowest_bit", "clear64", 3, |x| x & x.wrapping_sub(1)),
            ("lowest_bit", "clear32", 3, |x| u64::from(x as u32 & (x as u32).wrapping_sub(1))),
            ("lowest_bit", "mask64", 3, |x| x ^ x.wrapping_sub(1)),
            ("lowest_bit", "mask32", 3, |x| u64::from(x as u32 ^ (x as u32).wrapping_sub(1))),
            // A copy, NEG and a conditional move.
            ("absolute", "abs64", 4, |x| (x as i64).unsigned_abs()),
            ("absolute", "abs32", 4, |x| u64::from((x as i32).unsigned_abs())),
        ];
        // Of numbers of few bits, everything is something.
        if self.mask.count_ones() < 4 {
            return None;
        }
        let mut models = by_width(&models, |model| model.1, width).into_iter();
        let found = models.find(|(.., model)| self.is(model));
        found.map(|(kop, form, least, _)| Match { least, ..self.found(kop, form, Vec::new()) })
    }

    /// Bits that are put apart, to every second, fourth or eighth place, or together again.
    fn strided(&self) -> Option<Match> {
        if self.mask.count_ones() < 4 {
            return None;
        }
        let strides = (1..=3_u32).flat_map(|log| (0..1_u32 << log).map(move |offset| (log, offset)));
        strides.into_iter().find_map(|(log, offset)| {
            let (distance, count) = (1 << log, 64 >> log);
            let apart =
                |x: u64| (0..count).fold(0, |all, bit| all | (x >> bit & 1) << (offset + bit * distance));
            let together =
                |x: u64| (0..count).fold(0, |all, bit| all | (x >> (offset + bit * distance) & 1) << bit);
            let kop = if self.is(apart) {
                "bit_deposit"
            } else if self.is(together) {
                "bit_extract"
            } else {
                return None;
            };
            let found = self.found(kop, "stride", vec![("log", log.into()), ("offset", offset.into())]);
            // Without an instruction for it, the proof sequence is compiled.
            Some(Match { least: self.function.steps().max(8), ..found })
        })
    }

    fn swapped_load(&self, graph: &Graph) -> Option<Match> {
        let Node::Load { at, size, signed: false, .. } = graph.node(self.input) else { return None };
        let bits = size.bits();
        let form = match bits {
            16 => "be16",
            32 => "be32",
            64 => "be64",
            _ => return None,
        };
        let is_swapped = self.is(|x| x.swap_bytes() >> (64 - bits));
        let found =
            Match { inputs: Vec::new(), loads: vec![at], ..self.found("swapped_load", form, Vec::new()) };
        is_swapped.then_some(found)
    }
}
