// SPDX-License-Identifier: GPL-2.0-or-later
//! One instruction over many points as a template: which bits are constant, which are copied from a register's number or
//! from a sum of immediates, and which have to be looked up in a table.

use std::cmp::Reverse;

use kop_ops::{Arch, Field};

use super::target::{Item, Point, Target};
use super::value::{Sum, Value};

/// The most entries of a table.
const MAX_TABLE: u64 = 256;

/// How far sums are shifted right: for offsets in units of an access, and for the parts of wide immediates.
const SHIFTS: [u32; 7] = [0, 1, 2, 3, 4, 8, 16];

/// Neighbouring bits with one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The lowest bit.
    pub low: u32,
    /// How many bits.
    pub width: u32,
    /// Where they come from.
    pub source: Source,
}

/// Where bits come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Bits of a number.
    Value {
        /// The number.
        value: Value,
        /// Its lowest bit that is copied.
        from: u32,
        /// Whether the bits are inverted.
        invert: bool,
    },
    /// A table over one field.
    Table {
        /// The field.
        field: usize,
        /// The value of the field that the first entry is for.
        first: i64,
        /// The bits.
        entries: Vec<u64>,
    },
}

impl Source {
    /// The number whose low bits are the run, at `point`; zero where a table has no entry.
    pub fn at(&self, point: &Point, target: Target) -> u64 {
        match self {
            Source::Value { value, from, invert } => {
                let bits = (value.at(point, target) >> from) as u64;
                if *invert { !bits } else { bits }
            }
            Source::Table { field, first, entries } => {
                let index = usize::try_from(point.value(*field) - first).ok();
                index.and_then(|index| entries.get(index)).copied().unwrap_or_default()
            }
        }
    }

    /// The fields that it depends on.
    pub fn fields(&self) -> Vec<usize> {
        match self {
            Source::Value { value, .. } => value.fields(),
            Source::Table { field, .. } => vec![*field],
        }
    }
}

/// When an x86-64 instruction has a REX prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RexRule {
    /// Always.
    Always,
    /// Where it is not 0x40, which says nothing.
    IfNeeded,
    /// There, and where the register operand with this index is one whose low byte exists only under the prefix.
    IfNeededOrByte(usize),
}

/// An instruction as a function of the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The number of bytes, a REX prefix included.
    pub len: u32,
    /// The constant bits.
    pub constant: u128,
    /// The other bits, lowest first; no two overlap.
    pub runs: Vec<Run>,
    /// Where the REX prefix is, and when.
    pub rex: Option<(u32, RexRule)>,
}

/// The numbers of low registers whose byte operand needs a REX prefix: spl, bpl, sil, dil.
const BYTE_NEEDS_REX: std::ops::Range<u64> = 4..8;

impl Template {
    /// The instruction at `point`.
    pub fn at(&self, point: &Point, target: Target) -> Item {
        let bits = self.runs.iter().fold(self.constant, |bits, run| {
            bits | (u128::from(run.source.at(point, target)) & ones(run.width)) << run.low
        });
        let rex = self.rex.map(|(at, rule)| {
            let needed = (bits >> (8 * at)) as u8 != 0x40;
            let byte = |field| BYTE_NEEDS_REX.contains(&target.number(point.value(field)));
            let present = match rule {
                RexRule::Always => true,
                RexRule::IfNeeded => needed,
                RexRule::IfNeededOrByte(field) => needed || byte(field),
            };
            super::target::RexSlot { at, present }
        });
        Item { bits, len: self.len, rex, text: String::new() }
    }

    /// Whether the template gives each of the items.
    pub fn covers(&self, examples: &[Example], target: Target) -> bool {
        examples.iter().all(|&(point, item)| {
            let own = self.at(point, target);
            (own.bits, own.len, own.rex) == (item.bits, item.len, item.rex)
        })
    }
}

/// A point and the instruction there.
pub type Example<'a> = (&'a Point, &'a Item);

/// Why there is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The instructions differ in length.
    Length,
    /// No rule says when the REX prefix is there.
    Rex,
    /// Nothing explains this bit.
    Bit(u32),
}

/// What templates are made from.
#[derive(Clone, Copy, Debug)]
pub struct Fitter<'a> {
    /// The target.
    pub target: Target,
    /// The form's fields.
    pub fields: &'a [Field],
    /// Whether tables may be used.
    pub tables: bool,
}

impl Fitter<'_> {
    /// The template that gives every example.
    ///
    /// # Errors
    /// [`Misfit`] when there is none.
    pub fn fit(&self, examples: &[Example]) -> Result<Template, Misfit> {
        let (_, first) = examples.first().ok_or(Misfit::Length)?;
        let slot = |item: &Item| (item.len, item.rex.map(|rex| rex.at));
        if examples.iter().any(|(_, item)| slot(item) != slot(first)) {
            return Err(Misfit::Length);
        }
        let varying = examples.iter().fold(0, |bits, (_, item)| bits | (item.bits ^ first.bits));
        let mut runs = Vec::new();
        let mut left = varying;
        while left != 0 {
            let bit = left.trailing_zeros();
            let run = self.run(examples, bit, left, varying).ok_or(Misfit::Bit(bit))?;
            left &= !(ones(run.width) << run.low);
            runs.push(run);
        }
        runs.sort_by_key(|run| run.low);
        let covered = runs.iter().fold(0, |bits, run| bits | ones(run.width) << run.low);
        let rex = match first.rex {
            None => None,
            Some(slot) => Some((slot.at, self.rex_rule(examples, slot.at).ok_or(Misfit::Rex)?)),
        };
        Ok(Template { len: first.len, constant: first.bits & !covered, runs, rex })
    }

    /// The longest run that explains `bit`, the lowest of those that are `left`.
    fn run(&self, examples: &[Example], bit: u32, left: u128, varying: u128) -> Option<Run> {
        let (first, end) = self.section(bit, examples[0].1.len);
        // Bits that are explained already belong to others.
        let taken = varying & !left;
        let low = (first..bit).rev().take_while(|at| taken >> at & 1 == 0).last().unwrap_or(bit);
        let high = (bit..end).take_while(|at| taken >> at & 1 == 0).last().unwrap_or(bit) + 1;
        self.register_run(examples, bit, low, high)
            .or_else(|| self.sum_run(examples, bit, low, high, varying))
            .or_else(|| self.table_run(examples, bit, high, left))
    }

    /// The bits that a run with `bit` must not leave.
    fn section(&self, bit: u32, len: u32) -> (u32, u32) {
        const SLOT: [u32; 5] = [0, 8, 12, 16, 32];
        match self.target {
            Target::Proof => {
                let (slot, at) = (bit / 64 * 64, bit % 64);
                let end = SLOT.into_iter().find(|&start| start > at).unwrap_or(64);
                let start = SLOT.into_iter().rfind(|&start| start <= at).unwrap_or(0);
                (slot + start, slot + end)
            }
            Target::Native(_) => (0, 8 * len),
        }
    }

    fn register_run(&self, examples: &[Example], bit: u32, low: u32, high: u32) -> Option<Run> {
        let target = self.target;
        let (low, high) = match target {
            Target::Native(Arch::X86_64) => (low.max(bit / 8 * 8), high.min(bit / 8 * 8 + 8)),
            _ => (low, high),
        };
        let inverts: &[bool] = if target == Target::Native(Arch::X86_64) { &[false, true] } else { &[false] };
        let mut best: Option<Run> = None;
        for field in (0..self.fields.len()).filter(|&field| self.fields[field].is_register()) {
            for from in 0..target.register_bits() {
                for &invert in inverts {
                    let agrees = |at: u32, place: u32| {
                        examples.iter().all(|(point, item)| {
                            let number = target.number(point.value(field)) >> place & 1;
                            (item.bits >> at & 1) as u64 == number ^ u64::from(invert)
                        })
                    };
                    if !agrees(bit, from) {
                        continue;
                    }
                    let down = (1..=from.min(bit - low)).take_while(|n| agrees(bit - n, from - n)).count();
                    let room = (target.register_bits() - from).min(high - bit);
                    let up = (1..room).take_while(|n| agrees(bit + n, from + n)).count();
                    let width = (down + 1 + up) as u32;
                    if best.as_ref().is_none_or(|best| best.width < width) {
                        let source =
                            Source::Value { value: Value::Register(field), from: from - down as u32, invert };
                        best = Some(Run { low: bit - down as u32, width, source });
                    }
                }
            }
        }
        best
    }

    fn sum_run(&self, examples: &[Example], bit: u32, low: u32, high: u32, varying: u128) -> Option<Run> {
        let immediates: Vec<usize> =
            (0..self.fields.len()).filter(|&field| !self.fields[field].is_register()).collect();
        // A number that does not start at a byte of x86-64 code stays within that byte.
        let ends_at = |start: u32| match self.target {
            Target::Native(Arch::X86_64) if !start.is_multiple_of(8) => high.min(start.next_multiple_of(8)),
            _ => high,
        };
        let sums: Vec<(Sum, Vec<i64>)> = Sum::candidates(&immediates)
            .into_iter()
            .flat_map(|sum| SHIFTS.map(|shift| Sum { shift, ..sum.clone() }))
            .map(|sum| {
                let values = examples.iter().map(|(point, _)| sum.at(point)).collect();
                (sum, values)
            })
            .collect();
        // The run that reaches highest; among those the simplest; then the one that starts at the lowest bit that varies.
        let mut best: Option<((u32, Reverse<u32>), Run)> = None;
        for start in (low.max(bit.saturating_sub(5))..=bit).rev().filter(|&start| ends_at(start) > bit) {
            for (sum, values) in &sums {
                let width = common_width(examples, values, start).min(ends_at(start) - start).min(64);
                let top = varying & (ones(width) << start);
                let end = 128 - top.leading_zeros();
                if top >> bit & 1 == 0 || best.as_ref().is_some_and(|best| end < best.0.0) {
                    continue;
                }
                let width = self.rounded(start, end - start, width);
                let (value, add) = with_constant(examples, sum, values, start, width);
                let rank = (end, Reverse(u32::from(add != 0) + u32::from(sum.shift != 0)));
                if best.as_ref().is_none_or(|best| best.0 < rank) {
                    let source = Source::Value { value, from: 0, invert: false };
                    best = Some((rank, Run { low: start, width, source }));
                }
            }
        }
        best.map(|best| best.1)
    }

    /// The width of a run of which `needed` bits vary and `most` agree: displacements and immediates of several bytes
    /// are taken whole.
    fn rounded(&self, start: u32, needed: u32, most: u32) -> u32 {
        let whole = match self.target {
            Target::Native(Arch::X86_64) if start.is_multiple_of(8) => {
                [8, 32, 16, 64].into_iter().find(|&width| needed <= width && width <= most)
            }
            Target::Proof => [4, 16, 32].into_iter().find(|&width| needed <= width && width == most),
            _ => None,
        };
        whole.unwrap_or(needed)
    }

    /// A table over one field for the bits that are `left` from `bit` on.
    fn table_run(&self, examples: &[Example], bit: u32, high: u32, left: u128) -> Option<Run> {
        if !self.tables {
            return None;
        }
        let width = (bit..high).take_while(|at| left >> at & 1 == 1).count().min(64) as u32;
        (0..self.fields.len()).filter(|&field| self.fields[field].count() <= MAX_TABLE).find_map(|field| {
            let first = self.fields[field].range().0;
            let mut entries = vec![None; self.fields[field].count() as usize];
            for (point, item) in examples {
                let bits = (item.bits >> bit & ones(width)) as u64;
                let entry = entries.get_mut((point.value(field) - first) as usize)?;
                if entry.is_some_and(|entry| entry != bits) {
                    return None;
                }
                *entry = Some(bits);
            }
            let entries = entries.into_iter().map(Option::unwrap_or_default).collect();
            Some(Run { low: bit, width, source: Source::Table { field, first, entries } })
        })
    }

    fn rex_rule(&self, examples: &[Example], at: u32) -> Option<RexRule> {
        let present = |item: &Item| item.rex.is_some_and(|rex| rex.present);
        let needed = |item: &Item| (item.bits >> (8 * at)) as u8 != 0x40;
        if examples.iter().all(|(_, item)| present(item) == needed(item)) {
            // With REX.W it is there in any case, which reads better.
            let always = examples.iter().all(|(_, item)| item.bits >> (8 * at + 3) & 1 == 1);
            return Some(if always { RexRule::Always } else { RexRule::IfNeeded });
        }
        let byte = |field: usize| {
            let holds = |point: &Point| BYTE_NEEDS_REX.contains(&self.target.number(point.value(field)));
            examples.iter().all(|(point, item)| present(item) == (needed(item) || holds(point)))
        };
        let field = (0..self.fields.len()).find(|&field| self.fields[field].is_register() && byte(field));
        match field {
            Some(field) => Some(RexRule::IfNeededOrByte(field)),
            None => examples.iter().all(|(_, item)| present(item)).then_some(RexRule::Always),
        }
    }
}

/// `width` ones, at most 128.
pub fn ones(width: u32) -> u128 {
    if width >= 128 { u128::MAX } else { (1 << width) - 1 }
}

/// How many bits from `start` on differ from `values` by one constant.
fn common_width(examples: &[Example], values: &[i64], start: u32) -> u32 {
    let difference = |n: usize| ((examples[n].1.bits >> start) as u64).wrapping_sub(values[n] as u64);
    let first = difference(0);
    (1..examples.len()).map(|n| (difference(n) ^ first).trailing_zeros()).min().unwrap_or(64)
}

/// The sum with the constant that makes its low `width` bits those from `start` on: one for which the sum fits the
/// bits unsigned or signed, where there is one. The constant is given besides.
fn with_constant(examples: &[Example], sum: &Sum, values: &[i64], start: u32, width: u32) -> (Value, i64) {
    let modulus = 1i128 << width;
    let bits = i128::from((examples[0].1.bits >> start) as u64) & (modulus - 1);
    let add = (bits - i128::from(values[0])).rem_euclid(modulus);
    let (min, max) = values.iter().fold((i64::MAX, i64::MIN), |(min, max), &v| (min.min(v), max.max(v)));
    let fits =
        |add: i128, low: i128, high: i128| i128::from(min) + add >= low && i128::from(max) + add < high;
    let choices = [add, add - modulus];
    let unsigned = choices.into_iter().find(|&add| fits(add, 0, modulus));
    let signed = || choices.into_iter().find(|&add| fits(add, -modulus / 2, modulus / 2));
    let nearest = if add > modulus / 2 { add - modulus } else { add };
    let add = unsigned.or_else(signed).unwrap_or(nearest) as i64;
    (Value::Sum(sum.clone(), add), add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::{Features, Layout, Role};

    const ARM: Target = Target::Native(Arch::Aarch64);
    const X86: Target = Target::Native(Arch::X86_64);

    fn points(layout: &Layout) -> Vec<Point> {
        (0..layout.combinations())
            .map(|index| Point { operands: layout.combination(index), features: Features::NONE })
            .collect()
    }

    fn check(
        target: Target,
        layout: &Layout,
        tables: bool,
        bits: impl Fn(&Point) -> u128,
    ) -> Result<Template, Misfit> {
        let points = points(layout);
        let items: Vec<Item> =
            points.iter().map(|p| Item { bits: bits(p), len: 4, rex: None, text: String::new() }).collect();
        let examples: Vec<Example> = points.iter().zip(&items).collect();
        let template = Fitter { target, fields: layout.fields(), tables }.fit(&examples)?;
        assert!(template.covers(&examples, target), "{template:?}");
        Ok(template)
    }

    #[test]
    fn registers_and_immediates_are_told_apart() {
        let layout = Layout::new()
            .register("dst", Role::Destination)
            .register("src", Role::Source)
            .unsigned("n", 0, 31);
        let word = |p: &Point| {
            let (rd, rn) = (ARM.number(p.value(0)), ARM.number(p.value(1)));
            u128::from(
                0x5300_0000
                    | rd
                    | rn << 5
                    | (31 - p.value(2) as u64) << 10
                    | ((32 - p.value(2) as u64) & 31) << 16,
            )
        };
        let template = check(ARM, &layout, false, word).expect("fits");
        assert_eq!((template.constant, template.runs.len()), (0x5300_0000, 4));
        assert_eq!((template.runs[1].low, template.runs[1].width), (5, 5));
    }

    #[test]
    fn what_is_no_sum_takes_a_table() {
        let layout = Layout::new().register("dst", Role::Destination).unsigned("n", 1, 20);
        let word = |p: &Point| {
            u128::from(
                0x9200_0000 | ARM.number(p.value(0)) | (p.value(1) as u64 * p.value(1) as u64 % 61) << 10,
            )
        };
        assert!(check(ARM, &layout, false, word).is_err());
        assert!(check(ARM, &layout, true, word).is_ok());
    }

    #[test]
    fn inverted_and_scattered_register_bits_are_found() {
        let layout = Layout::new().register("dst", Role::Destination).register("src", Role::Source);
        let vex = |p: &Point| {
            let (dst, src) = (X86.number(p.value(0)), X86.number(p.value(1)));
            let second = 0x43 | (!(dst >> 3) & 1) << 7 | (!(src >> 3) & 1) << 5;
            u128::from(0xc4 | second << 8 | 0xf0 << 16 | (0xc0 | (dst & 7) << 3 | (src & 7)) << 24)
        };
        assert_eq!(check(X86, &layout, false, vex).expect("fits").runs.len(), 4);
    }
}
