// SPDX-License-Identifier: GPL-2.0-or-later
//! Ladders: comparisons of one register with numbers, whose ways set registers to numbers and meet. A switch over small constants is
//! compiled to one, as eBPF has no jumps through tables.
//!
//! What a ladder does depends on the one register alone, and is the same for all of its values between two numbers that are compared
//! with. So it is walked once for each such range ([`Way`]); what it leaves in each register is a table ([`table`]), which lookups
//! read ([`code`]). Its instructions may lie anywhere, in any order: a claim has them laid out anew.

mod code;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use kop_ops::Flow;
use kop_ops::ebpf::{AluOp, Cond, Insn, Operand, Reg, RegSet, Width};

use super::linear::{laid_out, ordered, owned, successors};
use crate::rewrite::plan::Reason;

pub(super) use code::{Part, Plan};
pub(super) use table::Column;

/// The most instructions of a ladder.
const LONGEST: usize = 256;

/// The fewest comparisons: with one there is a branch that selects.
const FEWEST: usize = 2;

/// The comparisons from which on it is said why there is no table.
const TOLD: usize = 3;

/// Comparisons of one register with numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ladder {
    /// The first comparison.
    pub head: usize,
    /// What is compared, and on which width.
    pub compared: Reg,
    pub width: Width,
    /// All comparisons, ascending.
    pub branches: Vec<usize>,
}

/// Where the ways of a ladder meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// At this instruction.
    At(usize),
    /// Each leaves, with r0.
    Exit,
}

/// What a ladder does where the number compared is in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The range; on 32 bits, of the low half.
    pub first: u64,
    pub last: u64,
    /// What runs, in order.
    pub nodes: Vec<usize>,
    /// What it leaves in registers.
    pub sets: [Option<u64>; 11],
}

/// A ladder that was walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub ways: Vec<Way>,
    pub join: Join,
    /// The ways out, where they do not meet.
    exits: Vec<usize>,
}

impl Ladder {
    /// The ladder that starts with the comparison at `head`, if there are more that it leads to.
    pub fn new(flow: &Flow, head: usize) -> Option<Self> {
        let Insn::Jump { dst: compared, width, .. } = flow.insns()[head] else { return None };
        let mut ladder = Self { head, compared, width, branches: Vec::new() };
        if !ladder.compares(flow, head) {
            return None;
        }
        let (mut seen, mut waiting) = (HashSet::new(), vec![head]);
        while let Some(node) = waiting.pop() {
            let is_part = ladder.compares(flow, node) || moves_on(flow, node);
            if !is_part || !seen.insert(node) {
                continue;
            }
            if seen.len() > LONGEST {
                return None;
            }
            if ladder.compares(flow, node) {
                ladder.branches.push(node);
            }
            waiting.extend(successors(flow, node));
        }
        ladder.branches.sort_unstable();
        // What is compared with 0 alone may be a pointer, which is looked up by nobody.
        let is_number =
            |branch: &usize| ladder.comparison(flow, *branch).is_some_and(|(_, number)| number != 0);
        (ladder.branches.len() >= FEWEST && ladder.branches.iter().any(is_number)).then_some(ladder)
    }

    /// Whether it looks so much like a table that it is said why it is none.
    pub fn is_told(&self) -> bool {
        self.branches.len() >= TOLD
    }

    fn compares(&self, flow: &Flow, node: usize) -> bool {
        self.comparison(flow, node).is_some()
    }

    fn comparison(&self, flow: &Flow, node: usize) -> Option<(Cond, u64)> {
        match flow.insns()[node] {
            Insn::Jump { cond, width, dst, src: Operand::Imm(number), .. }
                if (dst, width) == (self.compared, self.width) && cond != Cond::Set =>
            {
                Some((cond, self.narrow(number as i64 as u64)))
            }
            _ => None,
        }
    }

    fn narrow(&self, number: u64) -> u64 {
        number & mask(self.width)
    }

    /// Walks it for each range of numbers.
    ///
    /// # Errors
    /// Why it is no table: ways that do not meet.
    pub fn walk(&self, flow: &Flow) -> Result<Walked, Reason> {
        let mut ends: Vec<u64> = vec![0, 1 << (self.width.bits() - 1)];
        for &branch in &self.branches {
            let (_, number) = self.comparison(flow, branch).expect("it is a comparison");
            ends.extend([number, self.narrow(number.wrapping_add(1))]);
        }
        ends.sort_unstable();
        ends.dedup();
        let mut ways = Vec::with_capacity(ends.len());
        for (at, &first) in ends.iter().enumerate() {
            let last = ends.get(at + 1).map_or(mask(self.width), |next| next - 1);
            ways.push(Way { first, last, nodes: self.nodes(flow, first)?, sets: [None; 11] });
        }
        let join = self.join(flow, &ways)?;
        let mut exits = Vec::new();
        for way in &mut ways {
            if join == Join::Exit {
                exits.extend(way.nodes.last());
            }
            let end = match join {
                Join::At(index) => way.nodes.iter().position(|node| *node == index),
                Join::Exit => Some(way.nodes.len() - 1),
            };
            way.nodes.truncate(end.expect("every way comes to where they meet"));
            for &node in &way.nodes {
                if let Some((register, number)) = constant(&flow.insns()[node]) {
                    way.sets[register.index()] = Some(number);
                }
            }
        }
        let walked = Walked { ways, join, exits };
        match walked.branches(self).len() {
            ..FEWEST => Err("its ways meet behind one comparison".to_owned()),
            _ => Ok(walked),
        }
    }

    /// The first instruction that all ways come to and compare no more behind; where there is none, the first that they come to.
    fn join(&self, flow: &Flow, ways: &[Way]) -> Result<Join, Reason> {
        let has_passed = |node: usize| {
            ways.iter().all(|way| {
                let at = way.nodes.iter().position(|other| *other == node);
                at.is_some_and(|at| !way.nodes[at..].iter().any(|node| self.compares(flow, *node)))
            })
        };
        let common = |node: &&usize| ways.iter().all(|way| way.nodes.contains(node));
        let mut meet = ways[0].nodes.iter().skip(1).filter(common).copied();
        if let Some(last) = meet.clone().find(|node| has_passed(*node)).or_else(|| meet.next()) {
            return Ok(Join::At(last));
        }
        let end = |way: &Way| *way.nodes.last().expect("a way has its comparison");
        match ways.iter().map(end).find(|end| flow.insns()[*end] != Insn::Exit) {
            None => Ok(Join::Exit),
            Some(end) => {
                let insn = &flow.insns()[end];
                Err(format!("its ways do not only set registers and meet: `{insn}`, instruction {end}"))
            }
        }
    }

    /// What runs where the register holds `number`, with the instruction behind that is no part of a ladder.
    fn nodes(&self, flow: &Flow, number: u64) -> Result<Vec<usize>, Reason> {
        let (mut nodes, mut at, mut compared) = (Vec::new(), self.head, number);
        while nodes.len() < LONGEST {
            nodes.push(at);
            let insn = &flow.insns()[at];
            at = if let Some((cond, other)) = self.comparison(flow, at) {
                let holds = holds(cond, compared, other, self.width);
                if holds { flow.target(at).expect("a jump goes somewhere") } else { at + 1 }
            } else if let Some((register, number)) = constant(insn) {
                if register == self.compared {
                    compared = self.narrow(number);
                }
                at + 1
            } else if let Some(target) = always(flow, at) {
                target
            } else {
                return Ok(nodes);
            };
        }
        Err("it goes round in a loop".to_owned())
    }
}

impl Walked {
    /// The registers that it sets.
    pub fn written(&self) -> RegSet {
        let is_set = |register: &Reg| self.ways.iter().any(|way| way.sets[register.index()].is_some());
        Reg::WRITABLE.into_iter().filter(is_set).collect()
    }

    /// The comparisons that run before its ways meet.
    pub fn branches(&self, ladder: &Ladder) -> Vec<usize> {
        let runs = |branch: &usize| self.ways.iter().any(|way| way.nodes.contains(branch));
        ladder.branches.iter().copied().filter(runs).collect()
    }

    /// Its instructions up to where its ways meet, in an order in which jumps go forward.
    ///
    /// # Errors
    /// That there is no such order.
    pub fn order(&self, flow: &Flow, head: usize) -> Result<Vec<usize>, Reason> {
        let nodes: HashSet<usize> = self.ways.iter().flat_map(|way| way.nodes.iter().copied()).collect();
        ordered(flow, head, &nodes)
    }

    /// Those of them that may go, ascending.
    pub fn gone(&self, flow: &Flow, head: usize, order: &[usize]) -> Vec<usize> {
        let all: Vec<usize> = order.iter().chain(&self.exits).copied().collect();
        owned(flow, head, &all)
    }

    /// These instructions as code with one end.
    ///
    /// # Errors
    /// That they cannot be laid out.
    pub fn fragment(&self, flow: &Flow, order: &[usize]) -> Result<Vec<Insn>, Reason> {
        let ends = match self.join {
            Join::At(index) => vec![index],
            Join::Exit => self.exits.clone(),
        };
        laid_out(flow, order, &[(ends, Vec::new())])
    }
}

/// Whether an instruction only sets a register to a number, or only jumps.
fn moves_on(flow: &Flow, node: usize) -> bool {
    constant(&flow.insns()[node]).is_some() || always(flow, node).is_some()
}

/// Where an instruction goes that does nothing but jump.
pub(super) fn always(flow: &Flow, node: usize) -> Option<usize> {
    match flow.insns()[node] {
        Insn::Ja { .. } | Insn::Gotol { .. } => flow.target(node),
        _ => None,
    }
}

/// The register that an instruction sets to a number, and the number.
pub(super) fn constant(insn: &Insn) -> Option<(Reg, u64)> {
    match *insn {
        Insn::Alu { op: AluOp::Mov, width, dst, src: Operand::Imm(number) } => {
            Some((dst, number as i64 as u64 & mask(width)))
        }
        Insn::LoadImm64 { dst, kind: 0, imm } => Some((dst, imm)),
        _ => None,
    }
}

/// The numbers of a width.
const fn mask(width: Width) -> u64 {
    match width {
        Width::W64 => u64::MAX,
        Width::W32 => 0xffff_ffff,
    }
}

/// Whether a jump is taken, where both numbers are of its width: RFC 9669 section 4.3.
pub(super) fn holds(cond: Cond, left: u64, right: u64, width: Width) -> bool {
    let signed = |number: u64| if width == Width::W64 { number as i64 } else { i64::from(number as i32) };
    match cond {
        Cond::Eq => left == right,
        Cond::Ne => left != right,
        Cond::Gt => left > right,
        Cond::Ge => left >= right,
        Cond::Lt => left < right,
        Cond::Le => left <= right,
        Cond::SGt => signed(left) > signed(right),
        Cond::SGe => signed(left) >= signed(right),
        Cond::SLt => signed(left) < signed(right),
        Cond::SLe => signed(left) <= signed(right),
        Cond::Set => left & right != 0,
    }
}
