// SPDX-License-Identifier: GPL-2.0-or-later
//! Diamonds and triangles: a conditional jump whose sides compute one register each and meet again.

use std::ops::Range;

use kop_ops::Flow;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand, Reg, RegSet, Width};
use kop_ops::program::NOWHERE;

use crate::rewrite::plan::Reason;
use crate::rewrite::value::is_pure;

/// The most instructions of a side: both are computed every time.
const LONGEST: usize = 4;

/// The numbers that `select` has room for.
const NUMBERS: Range<i32> = -32..32;

/// A branch whose sides meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diamond {
    /// The index of the conditional jump.
    pub branch: usize,
    /// What runs where it is not taken, less the jump over the other side.
    pub falls: Range<usize>,
    /// What runs where it is taken; nothing in a triangle.
    pub taken: Range<usize>,
    /// Where they meet.
    pub join: usize,
}

/// What a select has to do, and what comes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// What both sides compute.
    pub code: Vec<Insn>,
    /// The form of `select`.
    pub form: &'static str,
    /// Its operands by name.
    pub operands: Vec<(&'static str, i64)>,
    /// A move behind it.
    pub after: Option<Insn>,
}

impl Diamond {
    /// The diamond of the conditional jump at `branch`, if it has one with sides that are short enough to be looked at.
    pub fn new(flow: &Flow, branch: usize) -> Option<Self> {
        let insns = flow.insns();
        let Insn::Jump { .. } = insns[branch] else { return None };
        let target = flow.target(branch).filter(|target| *target > branch + 1)?;
        let jumps_on = matches!(insns[target - 1], Insn::Ja { .. } | Insn::Gotol { .. });
        let diamond = match flow.target(target - 1).filter(|_| jumps_on) {
            Some(join) if join > target => {
                Self { branch, falls: branch + 1..target - 1, taken: target..join, join }
            }
            Some(_) => return None,
            None => Self { branch, falls: branch + 1..target, taken: target..target, join: target },
        };
        let short = |side: &Range<usize>| side.len() <= LONGEST;
        let pure = |side: &Range<usize>| insns[side.clone()].iter().all(is_pure);
        let sides = [&diamond.falls, &diamond.taken];
        sides.iter().all(|side| short(side) && pure(side)).then_some(diamond)
    }

    /// All of it.
    pub fn range(&self) -> Range<usize> {
        self.branch..self.join
    }

    /// Whether something else jumps into it.
    pub fn entered(&self, flow: &Flow) -> Option<usize> {
        let targets = flow.targets().iter().enumerate();
        let others = targets.filter(|(from, target)| *from != self.branch && **target != NOWHERE);
        let mut inside = others.map(|(_, target)| *target as usize);
        inside.find(|target| (self.branch + 1..self.join).contains(target))
    }

    /// What a select does in its place, where `live` are the registers that matter behind it, of which `kept` are left alone; with
    /// both values exchanged where they are `swapped`, which is a mistake.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choice(
        &self,
        flow: &Flow,
        (live, kept): (RegSet, RegSet),
        swapped: bool,
    ) -> Result<Choice, Reason> {
        let insns = flow.insns();
        let [falls, taken] = [&self.falls, &self.taken].map(|side| &insns[side.clone()]);
        for insn in falls.iter().chain(taken) {
            computes(insn)?;
        }
        let Insn::Jump { cond, width, dst: left, src: right, .. } = insns[self.branch] else {
            unreachable!("a diamond starts with a conditional jump")
        };
        let result = result(falls, taken, live)?;
        let compared = right.registers().union(left.into());
        let mut free = free(flow, kept.union(compared).union(result.into()).union(named(falls, taken)));
        let mut code = Vec::new();
        let mut values = [result; 2];
        for (value, (side, other)) in values.iter_mut().zip([(falls, taken), (taken, falls)]) {
            *value = compute(side, result, (other, compared), &mut free, &mut code)?;
        }
        let may_be_null = right == Operand::Imm(0) && matches!(cond, Cond::Eq | Cond::Ne);
        if may_be_null && code.iter().any(|insn| insn.reads().has(left)) {
            // The verifier lets no one compute with what may be null before it is compared.
            return Err(format!("what a side computes of {left} would come before the comparison of it"));
        }
        let [otherwise, holds] = if swapped { [values[1], values[0]] } else { values };
        let chosen = Chosen { cond, width, left, right, result, holds, otherwise };
        chosen.select(code, &mut free)
    }
}

/// Whether a side may have this instruction.
pub(super) fn computes(insn: &Insn) -> Result<(), Reason> {
    match insn {
        Insn::Alu { op: AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod, .. } => {
            Err(format!("`{insn}` takes longer than a wrong prediction"))
        }
        Insn::LoadImm64 { kind: 1.., .. } => Err(format!("`{insn}` is the address of a map")),
        _ => Ok(()),
    }
}

/// The one register of `live` that the sides write.
fn result(falls: &[Insn], taken: &[Insn], live: RegSet) -> Result<Reg, Reason> {
    let all = falls.iter().chain(taken).map(Insn::writes).fold(RegSet::EMPTY, RegSet::union);
    let results = all.intersect(live);
    match (results.iter().next(), results.len()) {
        (Some(only), 1) => Ok(only),
        (_, 0) => Err("nothing of what its sides compute is needed".to_owned()),
        _ => Err(format!("its sides compute {results}, and one register is selected at a time")),
    }
}

fn named(falls: &[Insn], taken: &[Insn]) -> RegSet {
    falls.iter().chain(taken).fold(RegSet::EMPTY, |set, insn| set.union(insn.reads()).union(insn.writes()))
}

/// The registers that may hold anything, those first that the program uses anyway.
pub(super) fn free(flow: &Flow, taken: RegSet) -> std::vec::IntoIter<Reg> {
    let mut free: Vec<Reg> = Reg::WRITABLE.into_iter().filter(|register| !taken.has(*register)).collect();
    let used = flow.effects().iter().fold(RegSet::EMPTY, |set, effects| set.union(effects.writes));
    free.sort_by_key(|register| (!used.has(*register), *register as u8 > 5));
    free.into_iter()
}

/// The register that holds what a side leaves in `result`, once `code` has run.
fn compute(
    side: &[Insn],
    result: Reg,
    (other, compared): (&[Insn], RegSet),
    free: &mut impl Iterator<Item = Reg>,
    code: &mut Vec<Insn>,
) -> Result<Reg, Reason> {
    let writes = side.iter().map(Insn::writes).fold(RegSet::EMPTY, RegSet::union);
    if !writes.has(result) {
        return Ok(result);
    }
    let elsewhere =
        other.iter().fold(RegSet::EMPTY, |set, insn| set.union(insn.reads()).union(insn.writes()));
    if let [Insn::Alu { op: AluOp::Mov, width: Width::W64, src: Operand::Reg(value), .. }] = side
        && !other.iter().any(|insn| insn.writes().has(*value))
    {
        return Ok(*value);
    }
    let garbage = writes.minus(result.into()).intersect(compared.union(elsewhere));
    if let Some(register) = garbage.iter().next() {
        return Err(format!("a side changes {register}, which is needed to the end"));
    }
    let value = free.next().ok_or_else(no_register)?;
    let first = side.iter().find(|insn| insn.reads().union(insn.writes()).has(result));
    if first.is_some_and(|insn| insn.reads().has(result)) {
        code.push(Insn::mov64(value, result));
    }
    code.extend(side.iter().map(|insn| renamed(*insn, result, value)));
    Ok(value)
}

fn no_register() -> Reason {
    "no register is free for what its sides compute".to_owned()
}

/// The instruction with `to` in place of `from`.
fn renamed(insn: Insn, from: Reg, to: Reg) -> Insn {
    let name = |register: Reg| if register == from { to } else { register };
    match insn {
        Insn::Alu { op, width, dst, src } => {
            let src = match src {
                Operand::Reg(register) => Operand::Reg(name(register)),
                number => number,
            };
            Insn::Alu { op, width, dst: name(dst), src }
        }
        Insn::Neg { width, dst } => Insn::Neg { width, dst: name(dst) },
        Insn::End { kind, bits, dst } => Insn::End { kind, bits, dst: name(dst) },
        Insn::LoadImm64 { dst, kind, imm } => Insn::LoadImm64 { dst: name(dst), kind, imm },
        other => other,
    }
}

/// `result = left cond right ? holds : otherwise`.
struct Chosen {
    cond: Cond,
    width: Width,
    left: Reg,
    right: Operand,
    result: Reg,
    holds: Reg,
    otherwise: Reg,
}

impl Chosen {
    /// The form that says it, with moves before it and behind it where the form has no room.
    fn select(&self, mut code: Vec<Insn>, free: &mut impl Iterator<Item = Reg>) -> Result<Choice, Reason> {
        let Self { cond, left, right, result, holds, otherwise, .. } = *self;
        if right == Operand::Imm(0) && matches!(cond, Cond::Ne | Cond::Eq) {
            let [a, b] = if cond == Cond::Ne { [holds, otherwise] } else { [otherwise, holds] };
            let operands = [("dst", result), ("cond", left), ("a", a), ("b", b)];
            let operands = operands.map(|(name, register)| (name, register as i64)).into();
            return Ok(Choice { code, form: self.form("test"), operands, after: None });
        }
        let right = match right {
            Operand::Imm(number) if !NUMBERS.contains(&number) => {
                let side = free.next().ok_or_else(no_register)?;
                code.push(Insn::mov64(side, number));
                Operand::Reg(side)
            }
            right => right,
        };
        let is_compared = right.registers().union(left.into()).has(result);
        let (dst, a, when, after) = match inverse(cond) {
            _ if otherwise == result => (result, holds, cond, None),
            Some(inverse) if holds == result => (result, otherwise, inverse, None),
            _ if holds != result && !is_compared => {
                code.push(Insn::mov64(result, otherwise));
                (result, holds, cond, None)
            }
            _ => {
                let selected = free.next().ok_or_else(no_register)?;
                code.push(Insn::mov64(selected, otherwise));
                (selected, holds, cond, Some(Insn::mov64(result, selected)))
            }
        };
        let (form, side) = match right {
            Operand::Reg(right) => (self.form("compare"), ("right", right as i64)),
            Operand::Imm(number) => (self.form("number"), ("number", i64::from(number))),
        };
        let operands =
            vec![("dst", dst as i64), ("left", left as i64), side, ("a", a as i64), ("when", code_of(when))];
        Ok(Choice { code, form, operands, after })
    }

    fn form(&self, kind: &str) -> &'static str {
        match (kind, self.width) {
            ("test", Width::W64) => "test64",
            ("test", Width::W32) => "test32",
            ("number", Width::W64) => "number64",
            ("number", Width::W32) => "number32",
            (_, Width::W64) => "compare64",
            (_, Width::W32) => "compare32",
        }
    }
}

/// The number of a condition in a payload of `select`.
fn code_of(cond: Cond) -> i64 {
    Cond::ALL.iter().position(|known| *known == cond).expect("every condition is listed") as i64
}

/// The condition that holds where this one does not; there is none for `&`.
pub(super) fn inverse(cond: Cond) -> Option<Cond> {
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
