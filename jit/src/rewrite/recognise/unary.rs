// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations on one value.

use super::{Match, samples};
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
pub(super) fn recognise(graph: &Graph, function: &Function, input: Value) -> Vec<Match> {
    let trial = Trial { function, input, mask: graph.mask(input) };
    if trial.mask == 0 || trial.is(|x| x) {
        return Vec::new();
    }
    let mut found: Vec<Match> = trial.swapped_load(graph).into_iter().collect();
    if function.steps() > 1 {
        found.extend([trial.rotate(), trial.extract(), trial.count()].into_iter().flatten());
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

    fn found(&self, kop: &'static str, form: &'static str, immediates: Vec<(&'static str, i64)>) -> Match {
        let inputs = vec![("src", self.input)];
        Match {
            kop,
            form,
            inputs,
            immediates,
            loads: Vec::new(),
            least: 2,
            parts: self.function.parts.clone(),
        }
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

    fn count(&self) -> Option<Match> {
        /// An operation, a form, and what it makes of a number.
        type Model = (&'static str, &'static str, fn(u64) -> u64);
        let models: [Model; 6] = [
            ("popcount", "pop64", |x| x.count_ones().into()),
            ("popcount", "pop32", |x| (x as u32).count_ones().into()),
            ("count_zeros", "leading64", |x| x.leading_zeros().into()),
            ("count_zeros", "leading32", |x| (x as u32).leading_zeros().into()),
            ("count_zeros", "trailing64", |x| x.trailing_zeros().into()),
            ("count_zeros", "trailing32", |x| (x as u32).trailing_zeros().into()),
        ];
        let found = models.into_iter().find(|(.., model)| self.is(model));
        found.map(|(kop, form, _)| self.found(kop, form, Vec::new()))
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
