// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known before an operation: of registers, and of words of the stack.

use std::collections::BTreeMap;

use kop_ops::ebpf::{Cond, Operand, Reg, Size, Width};

use crate::flat::{Flat, REGISTERS};
use crate::known::{Known, Range};

/// What is known before an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Of each register, by [`Flat::register`].
    pub registers: [Known; REGISTERS],
    /// Of aligned words of eight bytes in the stack that were stored as such, by their distance from r10. Any other holds no
    /// address of the stack.
    pub words: BTreeMap<i32, Known>,
}

impl State {
    /// Where a program starts: it knows its own stack alone.
    pub fn start() -> Self {
        Self { registers: [Known::NUMBER; REGISTERS], words: BTreeMap::new() }
    }

    /// What is known of a register of the function `frame`.
    pub fn get(&self, flat: &Flat, frame: u32, register: Reg) -> Known {
        match flat.register(frame, register) {
            Some(number) => self.registers[number],
            None => {
                let at = flat.frame_offset(frame);
                Known::Stack { low: at, high: at }
            }
        }
    }

    /// What is known of an operand.
    pub fn operand(&self, flat: &Flat, frame: u32, operand: Operand) -> Known {
        match operand {
            Operand::Reg(register) => self.get(flat, frame, register),
            Operand::Imm(imm) => Known::Number(Range::exactly(i64::from(imm) as u64)),
        }
    }

    /// Sets what is known of a register.
    pub fn set(&mut self, flat: &Flat, frame: u32, register: Reg, known: Known) {
        let number = flat.register(frame, register).expect("a program does not write r10");
        self.registers[number] = known;
    }

    /// Joins what is known on another way to the same operation.
    pub fn join(&mut self, other: &State) {
        for (known, other) in self.registers.iter_mut().zip(&other.registers) {
            *known = known.join(*other);
        }
        self.words.retain(|at, known| match other.words.get(at) {
            Some(other) => {
                *known = known.join(*other);
                true
            }
            None => false,
        });
    }

    /// Replaces what still grew since `before` by the next of `steps`, so that it ends.
    pub fn widen(&mut self, before: &State, steps: &[u64]) {
        for (known, before) in self.registers.iter_mut().zip(&before.registers) {
            *known = widened(*known, *before, steps);
        }
        for (at, known) in &mut self.words {
            if let Some(before) = before.words.get(at) {
                *known = widened(*known, *before, steps);
            }
        }
    }

    /// Forgets the words that any byte between two distances is in.
    pub fn forget(&mut self, low: i32, end: i32) {
        self.words.retain(|at, _| *at + 8 <= low || *at >= end);
    }

    /// Whether a word that any byte between two distances is in may hold an address of the stack.
    pub fn holds_address(&self, low: i32, end: i32) -> bool {
        let words = self.words.range(low.saturating_sub(7)..end);
        words.into_iter().any(|(_, known)| !matches!(known, Known::Number(_)))
    }

    /// What is known once `dst cond src` holds, or does not.
    ///
    /// `None` when that cannot be.
    pub fn refined(&self, flat: &Flat, frame: u32, test: &Test, holds: bool) -> Option<State> {
        let mut state = self.clone();
        let (a, b) = (self.get(flat, frame, test.dst), self.operand(flat, frame, test.src));
        let (Known::Number(a), Known::Number(b)) = (a, b) else { return Some(state) };
        if test.width == Width::W32 && !(a.is_word() && b.word() == b || a.is_word() && b.exact().is_some()) {
            return Some(state);
        }
        // A comparison of 32 bits says nothing of the upper half.
        let is_whole = test.width == Width::W64 || b.is_word();
        let b = if test.width == Width::W32 { b.word() } else { b };
        let cond = if holds { Some(test.cond) } else { opposite(test.cond) };
        let Some(cond) = cond else { return Some(state) };
        let (a, b) = limited(cond, test.width, a, b)?;
        if flat.register(frame, test.dst).is_some() {
            state.set(flat, frame, test.dst, Known::Number(a));
        }
        if let Operand::Reg(src) = test.src
            && is_whole
            && flat.register(frame, src).is_some()
        {
            state.set(flat, frame, src, Known::Number(b));
        }
        Some(state)
    }
}

/// What a conditional jump compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    /// The condition.
    pub cond: Cond,
    /// Whether 32 or 64 bits are compared.
    pub width: Width,
    /// The left operand.
    pub dst: Reg,
    /// The right operand.
    pub src: Operand,
}

/// What holds when `cond` does not; `None` for a test of bits.
fn opposite(cond: Cond) -> Option<Cond> {
    Some(match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Gt => Cond::Le,
        Cond::Le => Cond::Gt,
        Cond::Ge => Cond::Lt,
        Cond::Lt => Cond::Ge,
        Cond::SGt => Cond::SLe,
        Cond::SLe => Cond::SGt,
        Cond::SGe => Cond::SLt,
        Cond::SLt => Cond::SGe,
        Cond::Set => return None,
    })
}

/// The numbers on both sides for which the condition holds; `None` where there are none.
fn limited(cond: Cond, width: Width, a: Range, b: Range) -> Option<(Range, Range)> {
    let sign = 1u64 << (width.bits() - 1);
    let cond = match cond {
        Cond::SGt | Cond::SGe | Cond::SLt | Cond::SLe if a.high >= sign || b.high >= sign => {
            return Some((a, b));
        }
        Cond::SGt => Cond::Gt,
        Cond::SGe => Cond::Ge,
        Cond::SLt => Cond::Lt,
        Cond::SLe => Cond::Le,
        other => other,
    };
    let below = |range: Range, high: u64| Range { high: range.high.min(high), ..range }.tightened();
    let above = |range: Range, low: u64| Range { low: range.low.max(low), ..range }.tightened();
    Some(match cond {
        Cond::Eq => {
            let zeros = a.zeros.max(b.zeros);
            let both = Range { low: a.low.max(b.low), high: a.high.min(b.high), zeros }.tightened()?;
            (both, both)
        }
        Cond::Ne => (without(a, b)?, without(b, a)?),
        Cond::Lt => (below(a, b.high.checked_sub(1)?)?, above(b, a.low.checked_add(1)?)?),
        Cond::Le => (below(a, b.high)?, above(b, a.low)?),
        Cond::Gt => (above(a, b.low.checked_add(1)?)?, below(b, a.high.checked_sub(1)?)?),
        Cond::Ge => (above(a, b.low)?, below(b, a.high)?),
        Cond::Set if a.exact() == Some(0) || b.exact() == Some(0) => return None,
        _ => (a, b),
    })
}

/// A range without the one number that the other is.
fn without(range: Range, other: Range) -> Option<Range> {
    match other.exact() {
        Some(value) if range.exact() == Some(value) => None,
        Some(value) if range.low == value => Range { low: value + 1, ..range }.tightened(),
        Some(value) if range.high == value => Range { high: value - 1, ..range }.tightened(),
        _ => Some(range),
    }
}

/// Whether a jump surely goes on or surely jumps.
pub(crate) fn outcome(state: &State, flat: &Flat, frame: u32, test: &Test) -> Option<bool> {
    match [true, false].map(|holds| state.refined(flat, frame, test, holds).is_some()) {
        [true, false] => Some(true),
        [false, true] => Some(false),
        _ => None,
    }
}

fn widened(known: Known, before: Known, steps: &[u64]) -> Known {
    match (known, before) {
        (Known::Number(now), Known::Number(was)) => {
            let mut range = now;
            if now.low < was.low {
                let step = steps.partition_point(|step| *step <= now.low);
                range.low = step.checked_sub(1).map_or(0, |step| steps[step]);
            }
            if now.high > was.high {
                let step = steps.partition_point(|step| *step < now.high);
                range.high = steps.get(step).copied().unwrap_or(u64::MAX);
            }
            if range != now {
                // The steps are no multiples.
                let zeros = if range.zeros >= 64 { 0 } else { range.zeros };
                let mask = (1u64 << zeros) - 1;
                range = Range { low: range.low & !mask, high: range.high | mask, zeros };
                range = range.tightened().unwrap_or(Range::FULL);
            }
            Known::Number(range)
        }
        (Known::Stack { .. }, Known::Stack { .. }) if known != before => {
            if Known::STACK.join(known) == Known::STACK { Known::STACK } else { Known::NEAR_STACK }
        }
        _ => known,
    }
}

/// The size of an access in bytes, as distances are.
pub(crate) fn bytes(size: Size) -> i32 {
    size.bytes() as i32
}

#[cfg(test)]
mod tests {
    use kop_ops::choices::{Choices, Seeded};
    use kop_ops::ebpf::AluOp;

    use super::*;
    use crate::known::tests::{has, sample};

    fn holds(cond: Cond, width: Width, a: u64, b: u64) -> bool {
        let (s, t) = match width {
            Width::W32 => (i64::from(a as i32), i64::from(b as i32)),
            Width::W64 => (a as i64, b as i64),
        };
        match cond {
            Cond::Eq => a == b,
            Cond::Ne => a != b,
            Cond::Gt => a > b,
            Cond::Ge => a >= b,
            Cond::Lt => a < b,
            Cond::Le => a <= b,
            Cond::Set => a & b != 0,
            Cond::SGt => s > t,
            Cond::SGe => s >= t,
            Cond::SLt => s < t,
            Cond::SLe => s <= t,
        }
    }

    #[test]
    fn a_pointer_that_moves_through_the_stack_comes_to_rest_in_three_steps() {
        let stack = |low, high| Known::Stack { low, high };
        assert_eq!(widened(stack(-200, -199), stack(-200, -200), &[]), Known::STACK);
        let moved = Known::STACK.alu(AluOp::Add, Width::W64, Known::Number(Range::exactly(1)));
        let joined = Known::STACK.join(moved);
        assert_eq!(widened(joined, Known::STACK, &[]), Known::NEAR_STACK);
        let moved = Known::NEAR_STACK.alu(AluOp::Add, Width::W64, Known::Number(Range::exactly(1)));
        assert_eq!(Known::NEAR_STACK.join(moved), Known::NEAR_STACK);
    }

    #[test]
    fn what_holds_is_among_what_may() {
        let mut choices = Seeded::derived(0x6c69, &[1]);
        for _ in 0..200_000 {
            let ((left, a), (right, b)) = (sample(&mut choices), sample(&mut choices));
            let (cond, width) = (*choices.pick(&Cond::ALL), *choices.pick(&Width::ALL));
            if width == Width::W32 && !(left.is_word() && right.is_word()) || !holds(cond, width, a, b) {
                continue;
            }
            let found = limited(cond, width, left, right);
            let (one, other) = found.unwrap_or_else(|| panic!("{cond:?} {left:x?} {right:x?}: {a:x} {b:x}"));
            assert!(
                has(one, a) && has(other, b),
                "{cond:?} {left:x?} {right:x?}: {a:x} {b:x} {one:x?} {other:x?}"
            );
        }
    }
}
