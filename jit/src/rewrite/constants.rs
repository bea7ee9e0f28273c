// SPDX-License-Identifier: GPL-2.0-or-later
//! The numbers that registers hold whatever the way there: masks that a compiler loads once, before a loop.

use kop_ops::Flow;
use kop_ops::ebpf::{CallTarget, Insn, Operand, Reg, RegSet, Width};

use super::value::run;

const CALLER_SAVED: RegSet = RegSet::of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing leads there, as far as was looked.
    Unreached,
    /// One number on every way.
    Number(u64),
    /// Anything.
    Any,
}

impl Known {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Known::Unreached, known) | (known, Known::Unreached) => known,
            (Known::Number(one), Known::Number(two)) if one == two => self,
            _ => Known::Any,
        }
    }
}

/// What is known of every register before each instruction.
#[derive(Clone, Debug)]
pub(super) struct Constants {
    before: Vec<[Known; 11]>,
}

impl Constants {
    /// Looks at a program: the least solution, in which each register goes from one number to any at most.
    pub fn new(flow: &Flow) -> Self {
        let count = flow.insns().len();
        let mut this = Self { before: vec![[Known::Unreached; 11]; count] };
        // Functions may be given anything.
        for &start in flow.functions() {
            this.before[start as usize] = [Known::Any; 11];
        }
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for index in 0..count {
                let insn = &flow.insns()[index];
                let after = through(insn, this.before[index]);
                let target = flow.target(index).filter(|_| !insn.is_call());
                let falls = (!insn.is_terminator() && index + 1 < count).then_some(index + 1);
                for next in target.into_iter().chain(falls) {
                    for (known, now) in this.before[next].iter_mut().zip(after) {
                        let joined = known.join(now);
                        changed |= joined != *known;
                        *known = joined;
                    }
                }
            }
        }
        this
    }

    /// The number that the register holds behind the instruction `index`, if it is one.
    pub fn after(&self, flow: &Flow, index: usize, register: Reg) -> Option<u64> {
        match through(&flow.insns()[index], self.before[index])[register.index()] {
            Known::Number(number) => Some(number),
            Known::Unreached | Known::Any => None,
        }
    }

    /// The number that the register holds before the instruction `index`, if it is one.
    pub fn before(&self, index: usize, register: Reg) -> Option<u64> {
        match self.before[index][register.index()] {
            Known::Number(number) => Some(number),
            Known::Unreached | Known::Any => None,
        }
    }
}

fn through(insn: &Insn, before: [Known; 11]) -> [Known; 11] {
    let mut after = before;
    if before == [Known::Unreached; 11] {
        return after;
    }
    let number = |register: Reg| match before[register.index()] {
        Known::Number(number) => Some(number),
        _ => None,
    };
    let result = match *insn {
        Insn::Alu { op, width, dst, src } => {
            let right = match src {
                Operand::Reg(register) => number(register),
                Operand::Imm(imm) => Some(match width {
                    Width::W64 => imm as i64 as u64,
                    Width::W32 => u64::from(imm as u32),
                }),
            };
            let left = if op.is_move() { right } else { number(dst) };
            let computed = Insn::alu(op, width, Reg::R0, Reg::R1);
            Some((dst, left.zip(right).map(|(left, right)| run(&computed, left, right))))
        }
        Insn::Neg { width, dst } => {
            Some((dst, number(dst).map(|left| run(&Insn::Neg { width, dst: Reg::R0 }, left, left))))
        }
        Insn::End { kind, bits, dst } => {
            let computed = Insn::End { kind, bits, dst: Reg::R0 };
            Some((dst, number(dst).map(|left| run(&computed, left, left))))
        }
        Insn::LoadImm64 { dst, kind: 0, imm } => Some((dst, Some(imm))),
        _ => None,
    };
    match result {
        Some((dst, number)) => after[dst.index()] = number.map_or(Known::Any, Known::Number),
        None => {
            let written = match insn {
                Insn::Call { target: CallTarget::Kop { .. } } => RegSet::ALL,
                Insn::Call { .. } => CALLER_SAVED,
                insn => insn.writes(),
            };
            for register in written.iter() {
                after[register.index()] = Known::Any;
            }
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::program;

    fn before(text: &str, index: usize, register: Reg) -> Option<u64> {
        Constants::new(&program(text).flow).before(index, register)
    }

    #[test]
    fn what_is_loaded_before_a_loop_is_known_in_it() {
        let text = "r5 = 0x3333333333333333 ll\nr0 = 0\nr0 += r5\nr1 -= 1\nif r1 != 0 goto -3\nexit";
        assert_eq!(before(text, 2, Reg::R5), Some(0x3333_3333_3333_3333));
        assert_eq!(before(text, 2, Reg::R0), None, "it changes in the loop");
    }

    #[test]
    fn ways_have_to_agree() {
        let text = "r2 = 5\nif r1 == 0 goto +1\nr2 = 6\nr2 += 1\nr0 = r2\nexit";
        assert_eq!((before(text, 1, Reg::R2), before(text, 3, Reg::R2)), (Some(5), None));
        let text = "r2 = 5\nif r1 == 0 goto +1\nr2 = 5\nr2 += 1\nr0 = r2\nexit";
        assert_eq!(before(text, 4, Reg::R2), Some(6));
    }

    #[test]
    fn calls_keep_what_they_have_to() {
        let text = "r2 = 5\nr6 = 7\ncall 5\nr0 = r6\nexit";
        assert_eq!((before(text, 3, Reg::R2), before(text, 3, Reg::R6)), (None, Some(7)));
        let text = "r6 = 7\nr1 = 1\ncall pc+1\nexit\nr0 = r1\nr0 += r6\nexit";
        assert_eq!((before(text, 4, Reg::R1), before(text, 4, Reg::R6)), (None, None), "callers may differ");
        assert_eq!(before(text, 3, Reg::R6), Some(7));
    }

    #[test]
    fn narrow_and_swapped_numbers_are_those_that_the_instructions_compute() {
        let text = "w2 = -1\nr3 = -1\nr3 = be16 r3\nw2 += 2\nr0 = r2\nexit";
        assert_eq!(before(text, 1, Reg::R2), Some(0xffff_ffff));
        assert_eq!((before(text, 3, Reg::R3), before(text, 4, Reg::R2)), (Some(0xffff), Some(1)));
    }
}
