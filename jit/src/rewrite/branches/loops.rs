// SPDX-License-Identifier: GPL-2.0-or-later
//! Loops that count bits: `x &= x - 1` and `x >>= 1` until nothing is left, with a count that goes up by one each turn.
//!
//! A loop is no straight code, of which a formula could be made. What is proved is one turn: it does to the bits, the count and the
//! question whether there is a next turn what the turn in this file does, from every state. The rest is induction.
//!
//! Let b(x) be the number of ones of x, or the number of bits up to its highest one. A turn takes x to x' with b(x') = b(x) - 1, or
//! from 0 to 0; it adds one to the count, and it is the last if x' = 0. So there are max(1, b(x)) turns, after which the count is
//! that much higher, modulo its width.
//!
//! Loops that the verifier takes have a second way out: the count is at a bound. Then a turn is proved where the count is below the width less
//! one, or is that and x' = 0. If the count starts from 0 this is so in each turn, since count + b(x) stays b of the first x, which is
//! at most the width: the count is below the width while b(x) is not 0, and if it is the width less one, then b(x) = 1 and x' = 0.

use std::ops::Range;

use kop_ops::Flow;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand, Reg, RegSet, Width};
use kop_ops::program::NOWHERE;

use crate::rewrite::constants::Constants;
use crate::rewrite::plan::Reason;
use crate::rewrite::value::is_pure;

/// The most instructions of a turn.
const LONGEST: usize = 9;

/// A loop of pure instructions whose ways out all lead behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loop {
    /// Its instructions; the last is the conditional jump back to the first.
    pub range: Range<usize>,
}

/// What a loop counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bits {
    /// Ones.
    Ones,
    /// Those up to the highest one.
    Length,
}

/// A loop as it is to be proved and replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub bits: Bits,
    /// The width on which the bits are taken.
    pub width: Width,
    /// The bits that are left.
    pub left: Reg,
    /// A register that holds the same where a turn begins.
    pub mirror: Option<Reg>,
    /// The count, and the width of the addition to it.
    pub count: Reg,
    pub added: Width,
    /// Whether the count starts from 0, so that a bound of it may be a way out.
    pub bounded: bool,
    /// A register for what a site counts, and one for garbage.
    pub temporaries: [Reg; 2],
}

impl Loop {
    /// The loop whose jump back is the instruction at `last`.
    pub fn new(flow: &Flow, last: usize) -> Option<Self> {
        let insns = flow.insns();
        let Insn::Jump { .. } = insns[last] else { return None };
        let head = flow.target(last).filter(|head| *head <= last && last - head < LONGEST)?;
        let is_sound = (head..last).all(|index| match insns[index] {
            Insn::Jump { .. } => flow.target(index) == Some(last + 1),
            ref insn => is_pure(insn),
        });
        is_sound.then_some(Self { range: head..last + 1 })
    }

    /// Whether something else jumps into it, behind its first instruction.
    pub fn entered(&self, flow: &Flow) -> Option<usize> {
        let targets = flow.targets().iter().filter(|target| **target != NOWHERE);
        let mut inside = targets.map(|target| *target as usize);
        inside.find(|target| (self.range.start + 1..self.range.end).contains(target))
    }

    /// Which bit each turn seems to take away, and on which width.
    fn taker(&self, flow: &Flow) -> Option<(Bits, Width)> {
        let insns = &flow.insns()[self.range.clone()];
        let of = |wanted: &dyn Fn(AluOp, Operand) -> bool| {
            insns.iter().find_map(|insn| match *insn {
                Insn::Alu { op, width, src, .. } if wanted(op, src) => Some(width),
                _ => None,
            })
        };
        let ones = of(&|op, src| op == AluOp::And && matches!(src, Operand::Reg(_)));
        let length = of(&|op, src| op == AluOp::Rsh && src == Operand::Imm(1));
        ones.map(|width| (Bits::Ones, width)).or(length.map(|width| (Bits::Length, width)))
    }

    /// Whether it may be a loop that counts bits.
    pub fn takes_bits(&self, flow: &Flow) -> bool {
        self.taker(flow).is_some()
    }

    /// The operation that it would become, and the form.
    pub fn operation(&self, flow: &Flow) -> (&'static str, &'static str) {
        let (bits, width) = self.taker(flow).unwrap_or((Bits::Ones, Width::W64));
        operation(bits, width)
    }

    /// What it may count, where `live` are the registers that matter before it and behind it.
    ///
    /// # Errors
    /// Why it counts nothing, as far as can be said without proving it.
    pub fn counts(
        &self,
        flow: &Flow,
        [before, behind]: [RegSet; 2],
        any_step: bool,
    ) -> Result<Vec<Count>, Reason> {
        let insns = &flow.insns()[self.range.clone()];
        let step = |insn: &Insn| match *insn {
            Insn::Alu { op: AluOp::Add, width, dst, src: Operand::Imm(by) }
                if by == 1 || any_step && by > 0 =>
            {
                Some((dst, width))
            }
            _ => None,
        };
        let (bits, width) = self.taker(flow).ok_or("it takes no bit away")?;
        let (named, written) = self.names(flow);
        let mut counts = Vec::new();
        for (count, added) in insns.iter().filter_map(step) {
            let changed = written.intersect(behind).minus(count.into());
            if let Some(register) = changed.iter().next() {
                return Err(format!("{register}, which the loop changes, is needed behind it"));
            }
            let mut free = Reg::WRITABLE
                .into_iter()
                .filter(|register| !named.union(before).union(behind).has(*register));
            let temporaries = free.next().zip(free.next());
            let temporaries = temporaries.ok_or("no two registers are free to count in")?.into();
            let carried = before.intersect(written).minus(count.into());
            for left in carried.iter() {
                let mirror = match carried.minus(left.into()) {
                    none if none.is_empty() => None,
                    one if one.len() == 1 => one.iter().next(),
                    _ => return Err(format!("it carries {carried} from turn to turn")),
                };
                for bounded in [false, true] {
                    counts.push(Count { bits, width, left, mirror, count, added, bounded, temporaries });
                }
            }
        }
        if counts.is_empty() { Err("it counts nothing".to_owned()) } else { Ok(counts) }
    }

    /// The registers that it names, and those that it writes.
    fn names(&self, flow: &Flow) -> (RegSet, RegSet) {
        flow.insns()[self.range.clone()].iter().fold(
            (RegSet::EMPTY, RegSet::EMPTY),
            |(all, written), insn| {
                (all.union(insn.reads()).union(insn.writes()), written.union(insn.writes()))
            },
        )
    }

    /// What runs before it on each way in.
    fn ways(&self, flow: &Flow) -> Vec<usize> {
        let (head, last) = (self.range.start, self.range.end - 1);
        let jumps = (0..flow.insns().len()).filter(|index| {
            *index != last && flow.target(*index) == Some(head) && !flow.insns()[*index].is_call()
        });
        let falls = head.checked_sub(1).filter(|index| !flow.insns()[*index].is_terminator());
        jumps.chain(falls).collect()
    }

    /// Whether what the turn takes for granted holds on every way in: a count of 0 where there is a bound, and equal registers.
    pub fn starts(&self, flow: &Flow, constants: &Constants, count: &Count) -> bool {
        let ways = self.ways(flow);
        let from_zero = |way: &usize| constants.after(flow, *way, count.count) == Some(0);
        let equal =
            |way: &usize| count.mirror.is_none_or(|mirror| is_copied(flow, *way, [count.left, mirror]));
        let is_entry = flow.functions().contains(&(self.range.start as u32));
        (!is_entry || !count.bounded && count.mirror.is_none())
            && ways.iter().all(|way| (!count.bounded || from_zero(way)) && equal(way))
    }

    /// The registers that one turn may not change otherwise than the turn in this file does, where `live` are those that matter before
    /// the loop and behind it.
    pub fn kept(&self, flow: &Flow, count: &Count, live: [RegSet; 2]) -> RegSet {
        let (_, written) = self.names(flow);
        let others = live[0].union(live[1]).minus(written);
        let mirror = count.mirror.map_or(RegSet::EMPTY, RegSet::from);
        others.union(mirror).union(RegSet::of(&[count.left, count.count, count.temporaries[0]]))
    }

    /// One turn of it, with whether there is another in the first temporary, and no bits left where there is none.
    pub fn turn(&self, flow: &Flow, count: &Count) -> Vec<Insn> {
        let insns = &flow.insns()[self.range.clone()];
        let slots: usize = insns.iter().map(Insn::slots).sum();
        let mut turn = Vec::new();
        let mut at = 0;
        for (index, insn) in insns.iter().enumerate() {
            at += insn.slots();
            let off = match index + 1 == insns.len() {
                // Back to the start is to the end of `end`; else it falls into it.
                true => end(count).len() as i32 - 1,
                false => (slots - at) as i32,
            };
            let jumps = insn.branch_offset().is_some();
            let insn = if jumps { insn.with_branch_offset(off).expect("turns are short") } else { *insn };
            turn.push(insn);
        }
        turn.extend(end(count));
        turn.splice(0..0, count.mirrored());
        guarded(count, turn)
    }
}

/// Where there is no next turn; then, as the last instruction, where there is one.
fn end(count: &Count) -> Vec<Insn> {
    let next = count.temporaries[0];
    let mut end = vec![Insn::mov64(next, 0), Insn::mov64(count.left, 0)];
    end.extend(count.mirror.map(|mirror| Insn::mov64(mirror, 0)));
    end.extend([Insn::ja(1), Insn::mov64(next, 1)]);
    end
}

/// Whether two registers hold the same behind the instruction `at`: one is a copy of the other, made a few instructions before in code
/// that nothing jumps into.
fn is_copied(flow: &Flow, at: usize, [one, other]: [Reg; 2]) -> bool {
    /// How far back is looked.
    const FAR: usize = 8;
    for index in (at.saturating_sub(FAR)..=at).rev() {
        match flow.insns()[index] {
            Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src: Operand::Reg(src) }
                if [dst, src] == [one, other] || [dst, src] == [other, one] =>
            {
                return true;
            }
            insn if insn.writes().has(one) || insn.writes().has(other) => return false,
            insn if index != at && insn.is_terminator() => return false,
            Insn::Call { .. } => return false,
            _ => {}
        }
        if flow.targets().contains(&(index as u32)) {
            return false;
        }
    }
    false
}

/// A turn, where a count with a bound is such that there is one.
fn guarded(count: &Count, turn: Vec<Insn>) -> Vec<Insn> {
    if !count.bounded {
        return turn;
    }
    let (over, garbage) = (turn.iter().map(Insn::slots).sum::<usize>() as i16, count.temporaries[1]);
    let last = count.width.bits() as i32 - 1;
    let mut next = vec![Insn::mov64(garbage, count.left)];
    next.extend(count.taken(garbage, count.temporaries[0]));
    let rest = next.len() as i16;
    let mut all = vec![
        Insn::jump(Cond::Gt, count.count, last, rest + 2 + over),
        Insn::jump(Cond::Ne, count.count, last, rest + 1),
    ];
    all.extend(next);
    all.push(count.jump(Cond::Ne, garbage, over));
    all.extend(turn);
    // What is used for that is garbage on both sides.
    all.insert(0, Insn::mov64(count.temporaries[0], 0));
    all
}

impl Count {
    fn jump(&self, cond: Cond, register: Reg, off: i16) -> Insn {
        Insn::Jump { cond, width: self.width, dst: register, src: Operand::Imm(0), off }
    }

    /// The mirror becomes what it mirrors.
    fn mirrored(&self) -> Option<Insn> {
        self.mirror.map(|mirror| Insn::mov64(mirror, self.left))
    }

    /// Takes a bit from `bits`.
    fn taken(&self, bits: Reg, garbage: Reg) -> Vec<Insn> {
        let width = self.width;
        match self.bits {
            Bits::Ones => vec![
                Insn::mov64(garbage, bits),
                Insn::alu(AluOp::Add, width, garbage, -1),
                Insn::alu(AluOp::And, width, bits, garbage),
            ],
            Bits::Length => vec![Insn::alu(AluOp::Rsh, width, bits, 1)],
        }
    }

    /// The turn that every turn is proved to be.
    pub fn turn(&self) -> Vec<Insn> {
        let mut turn = self.taken(self.left, self.temporaries[1]);
        turn.extend(self.mirrored());
        turn.push(Insn::alu(AluOp::Add, self.added, self.count, 1));
        turn.push(self.jump(Cond::Ne, self.left, end(self).len() as i16 - 1));
        turn.extend(end(self));
        guarded(self, turn)
    }

    /// The operation and its form.
    pub fn operation(&self) -> (&'static str, &'static str) {
        operation(self.bits, self.width)
    }

    /// What stands behind the site: what it counted becomes the number of turns, which is added.
    pub fn rest(&self) -> Vec<Insn> {
        let turns = self.temporaries[0];
        let mut rest = Vec::new();
        if self.bits == Bits::Length {
            rest.extend([Insn::neg64(turns), Insn::alu64(AluOp::Add, turns, self.width.bits() as i32)]);
        }
        rest.extend([
            self.jump(Cond::Ne, self.left, 1),
            Insn::mov64(turns, 1),
            Insn::alu(AluOp::Add, self.added, self.count, turns),
        ]);
        rest
    }
}

fn operation(bits: Bits, width: Width) -> (&'static str, &'static str) {
    match (bits, width) {
        (Bits::Ones, Width::W64) => ("popcount", "pop64"),
        (Bits::Ones, Width::W32) => ("popcount", "pop32"),
        (Bits::Length, Width::W64) => ("count_zeros", "leading64"),
        (Bits::Length, Width::W32) => ("count_zeros", "leading32"),
    }
}
