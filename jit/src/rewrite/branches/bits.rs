// SPDX-License-Identifier: GPL-2.0-or-later
//! Code with branches that finds the highest or the lowest one of a number: a binary search, as `log2` and `ffs` are written where
//! there is no instruction for it.
//!
//! Such code is pure, jumps forward, has one way in and one out, takes one number and leaves one. What it leaves for the powers of two
//! and for 0 says which count it could be, if any; that it is one for every number is proved then. Where several of its branches run
//! every time, a count takes less whatever a predictor foresees; else a profile decides.

use std::collections::{HashMap, HashSet};

use kop_ops::Flow;
use kop_ops::ebpf::{AluOp, Insn, Operand, Reg, RegSet, Width};

use super::ladder::{always, holds};
use super::linear::{laid_out, ordered, successors};
use crate::rewrite::constants::Constants;
use crate::rewrite::liveness::Liveness;
use crate::rewrite::plan::Reason;
use crate::rewrite::value::{is_pure, run};

/// The most instructions.
const LONGEST: usize = 128;

/// How many instructions before the first branch may belong to it.
const BEFORE: usize = 8;

/// The fewest branches of a search: with fewer it is no faster.
const FEWEST: usize = 4;

/// Code that may find a bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// Its instructions in an order in which jumps go forward.
    pub order: Vec<usize>,
    /// Where it goes on.
    pub join: usize,
    /// The number that it takes, and what it leaves.
    pub from: Reg,
    pub result: Reg,
    /// What other registers hold before.
    pub known: Vec<(Reg, u64)>,
}

/// What stands in place of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub before: Vec<Insn>,
    pub form: &'static str,
    pub operands: [(&'static str, i64); 3],
    pub behind: Vec<Insn>,
}

impl Search {
    /// The searches that the branch at `head` may be the first of, the longest first.
    pub fn all(flow: &Flow, head: usize, lives: &Liveness, constants: &Constants) -> Vec<Self> {
        let mut starts = vec![head];
        for start in (head.saturating_sub(BEFORE)..head).rev() {
            if flow.targets().contains(&(start as u32 + 1)) || !is_pure(&flow.insns()[start]) {
                break;
            }
            starts.push(start);
        }
        starts.into_iter().rev().flat_map(|start| Self::from(flow, start, lives, constants)).collect()
    }

    fn from(flow: &Flow, start: usize, lives: &Liveness, constants: &Constants) -> Vec<Self> {
        let Some(nodes) = reached(flow, start, None) else { return Vec::new() };
        if branches(flow, nodes.iter()) < FEWEST {
            return Vec::new();
        }
        let Ok(order) = ordered(flow, start, &nodes) else { return Vec::new() };
        let joins = joins(flow, &order, &nodes);
        let searches = joins.into_iter().rev().filter_map(|join| {
            let nodes = reached(flow, start, Some(join))?;
            let order = ordered(flow, start, &nodes).ok()?;
            Self::of(flow, order, join, (lives, constants))
        });
        searches.collect()
    }

    fn of(
        flow: &Flow,
        order: Vec<usize>,
        join: usize,
        (lives, constants): (&Liveness, &Constants),
    ) -> Option<Self> {
        let insns = order.iter().map(|node| &flow.insns()[*node]);
        if branches(flow, order.iter()) < FEWEST {
            return None;
        }
        let written = insns.map(Insn::writes).fold(RegSet::EMPTY, RegSet::union);
        let results = written.intersect(lives.before(join));
        let taken = taken(flow, &order, join, results);
        let known = |register| constants.before(order[0], register);
        let mut inputs = taken.iter().filter(|register| known(*register).is_none());
        let (from, None) = (inputs.next()?, inputs.next()) else { return None };
        let numbers = taken.iter().filter_map(|register| Some((register, known(register)?))).collect();
        let (1, Some(result)) = (results.len(), results.iter().next()) else { return None };
        Some(Self { order, join, from, result, known: numbers })
    }

    /// Its branches.
    pub fn branches(&self, flow: &Flow) -> Vec<usize> {
        let is_branch = |node: &usize| matches!(flow.insns()[*node], Insn::Jump { .. });
        self.order.iter().copied().filter(is_branch).collect()
    }

    /// Whether so many branches run, whatever the number, that a count is faster whatever is foreseen.
    pub fn is_long(&self, flow: &Flow) -> bool {
        let passed = |number: u64| self.passed(flow, number).is_some_and(|(_, branches)| branches >= FEWEST);
        passed(0) && (0..64).all(|bit| passed(1 << bit))
    }

    /// What it leaves where it takes `number`.
    fn value(&self, flow: &Flow, number: u64) -> Option<u64> {
        Some(self.passed(flow, number)?.0)
    }

    /// The same with how many branches run.
    fn passed(&self, flow: &Flow, number: u64) -> Option<(u64, usize)> {
        let mut registers = [0u64; 11];
        for (register, known) in &self.known {
            registers[register.index()] = *known;
        }
        registers[self.from.index()] = number;
        let (mut at, mut branches) = (self.order[0], 0);
        for _ in 0..LONGEST {
            if at == self.join {
                return Some((registers[self.result.index()], branches));
            }
            branches += usize::from(matches!(flow.insns()[at], Insn::Jump { .. }));
            at = stepped(flow, at, &mut registers)?;
        }
        None
    }

    /// The count that it may be.
    ///
    /// # Errors
    /// Why it is none.
    pub fn count(&self, flow: &Flow, free: &mut dyn Iterator<Item = Reg>) -> Result<Counted, Reason> {
        let none = || "what it finds of a number is no place of a bit".to_owned();
        let at = |bit: u32| self.value(flow, 1 << bit).ok_or_else(none);
        let (zero, one) = (self.value(flow, 0).ok_or_else(none)?, at(0)?);
        let up = at(1)?.wrapping_sub(one);
        if up != 1 && up != u64::MAX {
            return Err(none());
        }
        let width = [Width::W64, Width::W32].into_iter().find(|width| {
            let affine = |bit: u32| at(bit) == Ok(one.wrapping_add(up.wrapping_mul(bit.into())));
            (0..width.bits()).all(affine)
        });
        let width = width.ok_or_else(none)?;
        let last = u64::from(width.bits()) - 1;
        let (garbage, tmp) = free.next().zip(free.next()).ok_or("no two registers are free to count in")?;
        let is_high = self.value(flow, 3) == Some(at(1)?);
        // What it is where all bits are 0: as for the bit beside the last, or as for the last one searched.
        let (beside, mark) = match is_high {
            true => (one.wrapping_sub(up), 1),
            false => (one.wrapping_add(up.wrapping_mul(last + 1)), 1u64 << last),
        };
        let marked = match zero {
            zero if zero == beside => None,
            zero if Ok(zero) == at(if is_high { 0 } else { last as u32 }) => Some(mark),
            _ => return Err(format!("what it finds of 0 is {zero}")),
        };
        // A leading count goes down where the place of the bit goes up.
        let (base, falls) = match is_high {
            true => (one.wrapping_add(up.wrapping_mul(last)), up == 1),
            false => (one, up != 1),
        };
        Ok(self.counted((width, is_high), marked, (base, falls), [garbage, tmp]))
    }

    fn counted(
        &self,
        (width, is_high): (Width, bool),
        marked: Option<u64>,
        (base, falls): (u64, bool),
        [garbage, tmp]: [Reg; 2],
    ) -> Counted {
        let result = self.result;
        let mut before = Vec::new();
        let mut src = self.from;
        if let Some(mark) = marked {
            src = garbage;
            before.push(Insn::alu(AluOp::Mov, width, garbage, self.from));
            match i32::try_from(mark as i64) {
                Ok(mark) => before.push(Insn::alu(AluOp::Or, width, garbage, mark)),
                Err(_) if width == Width::W32 => {
                    before.push(Insn::alu(AluOp::Or, width, garbage, mark as i32));
                }
                Err(_) => before.extend([Insn::load_imm64(tmp, mark), Insn::alu64(AluOp::Or, garbage, tmp)]),
            }
        }
        let form = match (is_high, width) {
            (true, Width::W64) => "leading64",
            (true, Width::W32) => "leading32",
            (false, Width::W64) => "trailing64",
            (false, Width::W32) => "trailing32",
        };
        let mut behind = Vec::new();
        if falls {
            behind.push(Insn::neg64(result));
        }
        match i32::try_from(base as i64) {
            Ok(0) => {}
            Ok(base) => behind.push(Insn::alu64(AluOp::Add, result, base)),
            Err(_) => behind.extend([Insn::load_imm64(tmp, base), Insn::alu64(AluOp::Add, result, tmp)]),
        }
        let operands = [("dst", result as i64), ("src", src as i64), ("tmp", tmp as i64)];
        Counted { before, form, operands, behind }
    }

    /// Its instructions as code with one end, behind what is known.
    ///
    /// # Errors
    /// That they cannot be laid out.
    pub fn fragment(&self, flow: &Flow) -> Result<Vec<Insn>, Reason> {
        let mut code = self.facts();
        code.extend(laid_out(flow, &self.order, &[(vec![self.join], Vec::new())])?);
        Ok(code)
    }

    /// What is known of registers, as instructions.
    pub fn facts(&self) -> Vec<Insn> {
        self.known.iter().map(|(register, number)| Insn::load_imm64(*register, *number)).collect()
    }
}

/// How many of these instructions are branches.
fn branches<'n>(flow: &Flow, nodes: impl Iterator<Item = &'n usize>) -> usize {
    nodes.filter(|node| matches!(flow.insns()[**node], Insn::Jump { .. })).count()
}

/// What is reached from `start` by pure instructions and jumps, up to `join`; nothing where that is too much.
fn reached(flow: &Flow, start: usize, join: Option<usize>) -> Option<HashSet<usize>> {
    let (mut nodes, mut waiting) = (HashSet::new(), vec![start]);
    while let Some(node) = waiting.pop() {
        let goes_on = |insn: &Insn| is_pure(insn) || matches!(insn, Insn::Jump { .. } | Insn::Ja { .. });
        if Some(node) == join || !goes_on(&flow.insns()[node]) || !nodes.insert(node) {
            continue;
        }
        if nodes.len() > LONGEST {
            return None;
        }
        waiting.extend(successors(flow, node));
    }
    Some(nodes)
}

/// The instructions that are on every way from the first to where it is left, in order.
fn joins(flow: &Flow, order: &[usize], nodes: &HashSet<usize>) -> Vec<usize> {
    // How many ways lead to each, and from each; modulo a power of two, as what is wrong is seen later.
    let mut to: HashMap<usize, u64> = HashMap::from([(order[0], 1)]);
    let mut outside = Vec::new();
    for &node in order {
        let ways = to[&node];
        for next in successors(flow, node) {
            let all = to.entry(next).or_insert(0);
            *all = all.wrapping_add(ways);
            if !nodes.contains(&next) {
                outside.push(next);
            }
        }
    }
    outside.sort_unstable();
    outside.dedup();
    let mut from: HashMap<usize, u64> = outside.iter().map(|node| (*node, 1)).collect();
    for &node in order.iter().rev() {
        let ways = successors(flow, node).fold(0u64, |ways, next| ways.wrapping_add(from[&next]));
        from.insert(node, ways);
    }
    let total = from[&order[0]];
    let last = if outside.len() == 1 { outside } else { Vec::new() };
    let inside = order.iter().skip(1).copied().filter(|node| to[node].wrapping_mul(from[node]) == total);
    inside.chain(last).collect()
}

/// The registers that decide what is in `results` at the end.
fn taken(flow: &Flow, order: &[usize], join: usize, results: RegSet) -> RegSet {
    let mut before: HashMap<usize, RegSet> = HashMap::from([(join, results)]);
    for &node in order.iter().rev() {
        let insn = &flow.insns()[node];
        let after = successors(flow, node)
            .fold(RegSet::EMPTY, |all, next| all.union(before.get(&next).copied().unwrap_or(RegSet::EMPTY)));
        let needed = matches!(insn, Insn::Jump { .. }) || !insn.writes().intersect(after).is_empty();
        let reads = if needed { insn.reads() } else { RegSet::EMPTY };
        before.insert(node, after.minus(insn.writes()).union(reads));
    }
    before[&order[0]]
}

/// Runs one instruction: where it goes on.
fn stepped(flow: &Flow, at: usize, registers: &mut [u64; 11]) -> Option<usize> {
    let insn = &flow.insns()[at];
    let operand = |src: Operand, registers: &[u64; 11], width: Width| match src {
        Operand::Reg(register) => registers[register.index()],
        Operand::Imm(number) if width == Width::W64 => number as i64 as u64,
        Operand::Imm(number) => u64::from(number as u32),
    };
    match *insn {
        Insn::Jump { cond, width, dst, src, .. } => {
            let [left, right] = [registers[dst.index()], operand(src, registers, width)];
            let narrow = |number: u64| if width == Width::W64 { number } else { number & 0xffff_ffff };
            let taken = holds(cond, narrow(left), narrow(right), width);
            if taken { flow.target(at) } else { Some(at + 1) }
        }
        Insn::Alu { op, width, dst, src } => {
            let computed = Insn::alu(op, width, Reg::R0, Reg::R1);
            registers[dst.index()] = run(&computed, registers[dst.index()], operand(src, registers, width));
            Some(at + 1)
        }
        Insn::Neg { width, dst } => {
            let left = registers[dst.index()];
            registers[dst.index()] = run(&Insn::Neg { width, dst: Reg::R0 }, left, left);
            Some(at + 1)
        }
        Insn::LoadImm64 { dst, kind: 0, imm } => {
            registers[dst.index()] = imm;
            Some(at + 1)
        }
        _ => always(flow, at),
    }
}
