// SPDX-License-Identifier: GPL-2.0-or-later
//! Chains: two comparisons that go on to one place where both hold and else to another, as `&&` is compiled to, and `||` with the
//! places exchanged.

use std::ops::Range;

use kop_ops::Flow;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand, Reg, RegSet, Size, Width};

use super::diamond::{computes, inverse};
use super::ladder::{always, constant};
use super::linear::{laid_out, predecessors, successors};
use crate::rewrite::context::Contexts;
use crate::rewrite::plan::Reason;
use crate::rewrite::value::is_pure;

/// The most instructions between the comparisons: they run every time.
const LONGEST: usize = 4;

/// How far back is looked for what makes a register a number.
const FAR: usize = 24;

/// Two comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// The first comparison, and the second.
    pub branches: [usize; 2],
    /// What runs in between.
    pub between: Range<usize>,
    /// Where it goes on where both hold, and where the first or the second does not.
    pub both: usize,
    pub others: [usize; 2],
    /// The comparisons that hold where they are taken.
    pub taken: [bool; 2],
}

/// One relation of `compare_chain`: its number and its sides.
struct Relation {
    code: i64,
    sides: [Side; 2],
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Register(Reg),
    Number(u64),
    /// The bits of a register that another operand has.
    Common(Reg, Operand),
}

/// What stands in place of a chain: the result is 1 where both hold, else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chained {
    pub code: Vec<Insn>,
    pub form: &'static str,
    pub operands: Vec<(&'static str, i64)>,
    pub result: Reg,
}

impl Chain {
    /// The chain that starts with the conditional jump at `first`, if it has one, where `before` has what leads to each instruction.
    pub fn new(flow: &Flow, first: usize, before: &[Vec<usize>]) -> Option<Self> {
        let Insn::Jump { .. } = flow.insns()[first] else { return None };
        let edges = [first + 1, flow.target(first)?];
        [false, true].into_iter().find_map(|taken| {
            let start = edges[usize::from(taken)];
            let second = (start..flow.insns().len())
                .take(LONGEST + 1)
                .find(|index| !is_pure(&flow.insns()[*index]))?;
            let Insn::Jump { .. } = flow.insns()[second] else { return None };
            let is_alone = |index: usize| before[index].len() == 1 && !is_entry(flow, index);
            if !(start..=second).all(is_alone) {
                return None;
            }
            let other = edges[usize::from(!taken)];
            let ways = [second + 1, flow.target(second)?];
            let meets = |way: usize| resolved(flow, way) == resolved(flow, other);
            let (both, second_taken) = match ways.map(meets) {
                [true, false] => (ways[1], true),
                [false, true] => (ways[0], false),
                _ => return None,
            };
            let others = [other, ways[usize::from(!second_taken)]];
            let branches = [first, second];
            Some(Self { branches, between: start..second, both, others, taken: [taken, second_taken] })
        })
    }

    /// All of it that may go; the first is the first comparison.
    pub fn nodes(&self) -> Vec<usize> {
        let [first, second] = self.branches;
        [first].into_iter().chain(self.between.clone()).chain([second]).collect()
    }

    /// What computes both relations into `result`, or into a register of its own, where `other` are the registers that matter where not
    /// both hold.
    ///
    /// # Errors
    /// Why nothing does.
    pub fn chained(
        &self,
        flow: &Flow,
        other: RegSet,
        (contexts, result): (&Contexts, Option<Reg>),
        free: &mut dyn Iterator<Item = Reg>,
    ) -> Result<Chained, Reason> {
        let between = &flow.insns()[self.between.clone()];
        between.iter().try_for_each(computes)?;
        let written = between.iter().map(Insn::writes).fold(RegSet::EMPTY, RegSet::union);
        let first_reads = flow.insns()[self.branches[0]].reads();
        let kept = written.intersect(other.union(first_reads));
        if let Some(register) = kept.iter().next() {
            return Err(format!("{register} is written between the comparisons, and is needed before"));
        }
        let (first, width) = self.relation(flow, 0, contexts)?;
        let (second, other_width) = self.relation(flow, 1, contexts)?;
        if width != other_width {
            return Err("one comparison is of 64 bits and the other of 32".to_owned());
        }
        let result = result.or_else(|| free.next()).ok_or_else(no_register)?;
        let mut sides = Sides { width, code: between.to_vec(), numbers: Vec::new(), free };
        let [a, b] = first.ordered();
        sides.put(result, a);
        let b = sides.register(b)?;
        let [c, d] = second.sides;
        let (c, d) = (sides.register(c)?, sides.register(d)?);
        let operands = vec![
            ("dst", result as i64),
            ("b", b as i64),
            ("c", c as i64),
            ("d", d as i64),
            ("first", first.code),
            ("second", second.code),
        ];
        let form = if width == Width::W64 { "both64" } else { "both32" };
        Ok(Chained { code: sides.code, form, operands, result })
    }

    /// The relation that is to hold for the comparison with this number, and its width.
    fn relation(&self, flow: &Flow, number: usize, contexts: &Contexts) -> Result<(Relation, Width), Reason> {
        let index = self.branches[number];
        let Insn::Jump { cond, width, dst, src, .. } = flow.insns()[index] else {
            unreachable!("a chain has conditional jumps")
        };
        if width == Width::W64 {
            for register in src.registers().union(dst.into()).iter() {
                if !is_number(flow, index, register, contexts) {
                    return Err(format!("{register} may be a pointer"));
                }
            }
        }
        if cond == Cond::Set {
            let code = if self.taken[number] { 1 } else { 0 };
            let sides = [Side::Common(dst, src), Side::Number(0)];
            return Ok((Relation { code, sides }, width));
        }
        let holds = if self.taken[number] { cond } else { inverse(cond).expect("every other has one") };
        let relation = Relation::new(holds, dst, src, width);
        let none = || format!("there is no relation for `{}`", flow.insns()[index]);
        Ok((relation.ok_or_else(none)?, width))
    }

    /// Its instructions as code with one end, where `result` says whether both hold, and `garbage` is 0 where they do not.
    ///
    /// # Errors
    /// That they cannot be laid out.
    pub fn fragment(&self, flow: &Flow, result: Reg, garbage: RegSet) -> Result<Vec<Insn>, Reason> {
        let zeros = RegSet::from(result).union(garbage);
        let other = zeros.iter().map(|register| Insn::mov64(register, 0)).collect();
        let ends = [(self.others.to_vec(), other), (vec![self.both], vec![Insn::mov64(result, 1)])];
        laid_out(flow, &self.nodes(), &ends)
    }

    /// The flag that it is for, if it sets one and does nothing else. `known` has the numbers that registers hold before.
    pub fn flag(&self, flow: &Flow, known: impl Fn(Reg) -> Option<u64>) -> Option<Flag> {
        let arms = [self.both, self.others[0], self.others[1]].map(|index| Arm::new(flow, index));
        let join = *arms[0].nodes.iter().find(|node| arms.iter().all(|arm| arm.nodes.contains(node)))?;
        let arms = arms.map(|arm| arm.until(join));
        let register = arms.iter().find_map(|arm| Some(arm.sets(flow).first()?.0))?;
        let values = arms.each_ref().map(|arm| match arm.sets(flow)[..] {
            [] => known(register),
            [(one, number)] if one == register => Some(number),
            _ => None,
        });
        let is_set = match values.map(|value| value.unwrap_or(u64::MAX)) {
            [1, 0, 0] => true,
            [0, 1, 1] => false,
            _ => return None,
        };
        let mut nodes: Vec<usize> = arms.into_iter().flat_map(|arm| arm.nodes).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Some(Flag { register, join, is_set, nodes })
    }

    /// What it writes in between.
    pub fn written(&self, flow: &Flow) -> RegSet {
        flow.insns()[self.between.clone()].iter().map(Insn::writes).fold(RegSet::EMPTY, RegSet::union)
    }

    /// Every register that it names.
    pub fn named(&self, flow: &Flow) -> RegSet {
        let insns = self.nodes().into_iter().map(|node| &flow.insns()[node]);
        insns.fold(RegSet::EMPTY, |all, insn| all.union(insn.reads()).union(insn.writes()))
    }
}

/// What a chain sets where nothing else depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub register: Reg,
    /// Where it goes on.
    pub join: usize,
    /// Whether it is 1 where both hold and else 0, or the other way round.
    pub is_set: bool,
    /// What sets it.
    pub nodes: Vec<usize>,
}

/// Instructions that only set registers to numbers, and jumps, with what is behind.
struct Arm {
    nodes: Vec<usize>,
}

impl Arm {
    fn new(flow: &Flow, start: usize) -> Self {
        let mut nodes = vec![start];
        while nodes.len() <= LONGEST {
            let at = nodes[nodes.len() - 1];
            match (constant(&flow.insns()[at]), always(flow, at)) {
                (Some(_), _) => nodes.push(at + 1),
                (None, Some(target)) => nodes.push(target),
                (None, None) => break,
            }
        }
        Self { nodes }
    }

    fn until(mut self, join: usize) -> Self {
        let end = self.nodes.iter().position(|node| *node == join);
        self.nodes.truncate(end.unwrap_or(self.nodes.len()));
        self
    }

    fn sets(&self, flow: &Flow) -> Vec<(Reg, u64)> {
        self.nodes.iter().filter_map(|node| constant(&flow.insns()[*node])).collect()
    }
}

impl Relation {
    /// `dst cond src`, if there is a relation for it, perhaps with the sides exchanged, or with the number beside.
    fn new(cond: Cond, dst: Reg, src: Operand, width: Width) -> Option<Self> {
        let mask = if width == Width::W64 { u64::MAX } else { 0xffff_ffff };
        let left = Side::Register(dst);
        let right = match src {
            Operand::Reg(register) => Side::Register(register),
            Operand::Imm(number) => Side::Number(number as i64 as u64 & mask),
        };
        // The number above, or below, unless there is none.
        let beside = |by: u64, last: u64| match right {
            Side::Number(number) if number != last => Some(Side::Number(number.wrapping_add(by) & mask)),
            _ => None,
        };
        let (least, greatest) = (mask / 2 + 1, mask / 2);
        let (code, sides) = match cond {
            Cond::Eq => (0, [left, right]),
            Cond::Ne => (1, [left, right]),
            Cond::Lt => (2, [left, right]),
            Cond::Gt => (2, [right, left]),
            Cond::Le => (2, [left, beside(1, mask)?]),
            Cond::Ge => (2, [beside(u64::MAX, 0)?, left]),
            Cond::SLt => (3, [left, right]),
            Cond::SGt => (3, [right, left]),
            Cond::SLe => (3, [left, beside(1, greatest)?]),
            Cond::SGe => (3, [beside(u64::MAX, least)?, left]),
            Cond::Set => return None,
        };
        Some(Self { code, sides })
    }

    /// Its sides; a number comes first where that is the same.
    fn ordered(&self) -> [Side; 2] {
        match (self.code, self.sides) {
            (0 | 1, [left @ Side::Register(_), right @ Side::Number(_)]) => [right, left],
            (_, sides) => sides,
        }
    }
}

/// What is compared, as it is put into registers.
struct Sides<'f> {
    width: Width,
    code: Vec<Insn>,
    /// The numbers that are in registers.
    numbers: Vec<(u64, Reg)>,
    free: &'f mut dyn Iterator<Item = Reg>,
}

impl Sides<'_> {
    /// The register that has a side.
    fn register(&mut self, side: Side) -> Result<Reg, Reason> {
        if let Side::Register(register) = side {
            return Ok(register);
        }
        if let Side::Number(number) = side
            && let Some((_, register)) = self.numbers.iter().find(|(known, _)| *known == number)
        {
            return Ok(*register);
        }
        let register = self.free.next().ok_or_else(no_register)?;
        self.put(register, side);
        if let Side::Number(number) = side {
            self.numbers.push((number, register));
        }
        Ok(register)
    }

    /// Puts a side into a register.
    fn put(&mut self, into: Reg, side: Side) {
        match side {
            Side::Register(register) => self.code.push(Insn::alu(AluOp::Mov, self.width, into, register)),
            Side::Number(number) => self.code.push(match (self.width, i32::try_from(number as i64)) {
                (Width::W32, _) => Insn::mov32(into, number as i32),
                (Width::W64, Ok(number)) => Insn::mov64(into, number),
                (Width::W64, Err(_)) => Insn::load_imm64(into, number),
            }),
            Side::Common(register, bits) => self.code.extend([
                Insn::alu(AluOp::Mov, self.width, into, register),
                Insn::Alu { op: AluOp::And, width: self.width, dst: into, src: bits },
            ]),
        }
    }
}

/// Where control gets from `index` by jumps that are always taken.
fn resolved(flow: &Flow, index: usize) -> usize {
    let mut at = index;
    for _ in 0..LONGEST {
        at = always(flow, at).unwrap_or(at);
    }
    at
}

fn is_entry(flow: &Flow, index: usize) -> bool {
    flow.functions().contains(&(index as u32))
}

/// Whether a register is known to be no pointer: what computed it, a few instructions before on the only way there, makes numbers.
fn is_number(flow: &Flow, at: usize, register: Reg, contexts: &Contexts) -> bool {
    let before = predecessors(flow);
    let mut index = at;
    for _ in 0..FAR {
        let [only] = before[index][..] else { return false };
        if is_entry(flow, index) || !successors(flow, only).any(|next| next == index) {
            return false;
        }
        index = only;
        let insn = &flow.insns()[index];
        if !insn.writes().has(register) {
            continue;
        }
        return match *insn {
            // Sums and differences may be pointers, and so may copies be.
            Insn::Alu { width: Width::W64, op: AluOp::Add | AluOp::Sub, .. } => false,
            Insn::Alu { width: Width::W64, op: AluOp::Mov, src: Operand::Reg(_), .. } => false,
            Insn::Alu { .. } | Insn::Neg { .. } | Insn::End { .. } | Insn::LoadImm64 { kind: 0, .. } => true,
            // What has fewer bits than a pointer is none, but for fields of contexts.
            Insn::Load { size: Size::B8, .. } => false,
            Insn::Load { .. } => contexts.allows(index).is_ok(),
            _ => false,
        };
    }
    false
}

fn no_register() -> Reason {
    "no register is free for what is compared".to_owned()
}
