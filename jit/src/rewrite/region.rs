// SPDX-License-Identifier: GPL-2.0-or-later
//! Straight code: instructions that run one after another, with ways out and no way in but the first.

use std::ops::Range;

use kop_ops::Flow;
use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};
use kop_ops::program::NOWHERE;

use super::liveness::Liveness;
use super::site::NewSite;
use super::value::is_pure;

/// The most instructions of a region. Longer code is cut: the work on a region grows with the square of its length.
const LONGEST: usize = 1024;

/// What stands at a place of a region.
#[derive(Clone, Debug)]
pub(super) enum Item<'a> {
    /// An instruction of the program, by its index there.
    Kept(usize),
    /// A site that was made.
    Site(Box<NewSite<'a>>),
    /// A move from where a site has left its result, in place of the instruction at this index of the program.
    Move {
        /// Where the result is wanted.
        to: Reg,
        /// Where it is.
        from: Reg,
        /// The index.
        at: usize,
    },
}

impl Item<'_> {
    /// The index in the program of the instruction, or of the one whose place the site took.
    pub fn origin(&self) -> usize {
        match self {
            Item::Kept(origin) => *origin,
            Item::Site(site) => site.at,
            Item::Move { at, .. } => *at,
        }
    }
}

/// A region of a program, as far as it has been rewritten.
#[derive(Clone, Debug)]
pub(super) struct Region<'a> {
    /// The program as it was.
    pub flow: &'a Flow,
    /// The program's liveness.
    pub live: &'a Liveness,
    /// What stands there.
    pub items: Vec<Item<'a>>,
    /// What matters behind the last item, where it falls through.
    pub live_out: RegSet,
}

impl<'a> Region<'a> {
    /// The instructions of `range`, as they are.
    pub fn new(flow: &'a Flow, live: &'a Liveness, range: Range<usize>) -> Self {
        let falls = flow.insns()[..range.end].last().is_some_and(|insn| !insn.is_terminator());
        let live_out = if falls { live.before(range.end) } else { RegSet::EMPTY };
        Self { flow, live, items: range.map(Item::Kept).collect(), live_out }
    }

    /// The instruction of the program at a place, unless something else stands there.
    pub fn insn(&self, place: usize) -> Option<&'a Insn> {
        match self.items[place] {
            Item::Kept(origin) => Some(&self.flow.insns()[origin]),
            Item::Site(_) | Item::Move { .. } => None,
        }
    }

    /// What an item reads.
    pub fn reads(&self, item: &Item) -> RegSet {
        match item {
            Item::Kept(origin) => self.live.reads(self.flow, *origin),
            Item::Site(site) => site.reads(),
            Item::Move { from, .. } => (*from).into(),
        }
    }

    /// What an item writes or leaves undefined.
    pub fn writes(&self, item: &Item) -> RegSet {
        match item {
            Item::Kept(origin) => self.flow.insns()[*origin].writes(),
            Item::Site(site) => site.writes(),
            Item::Move { to, .. } => (*to).into(),
        }
    }

    /// The registers with addresses that an item accesses, and whether it writes there.
    pub fn accesses(&self, place: usize) -> Vec<(Reg, bool)> {
        let access = |insn: &Insn| match *insn {
            Insn::Load { base, .. } => Some((base, false)),
            Insn::Store { base, .. } | Insn::Atomic { base, .. } => Some((base, true)),
            _ => None,
        };
        match &self.items[place] {
            Item::Kept(origin) => access(&self.flow.insns()[*origin]).into_iter().collect(),
            Item::Site(site) => site.proof.iter().filter_map(access).collect(),
            Item::Move { .. } => Vec::new(),
        }
    }

    /// What matters before an item, when `after` is what matters behind it.
    pub fn through(&self, item: &Item, after: RegSet) -> RegSet {
        match item {
            Item::Kept(origin) => self.live.through(self.flow, *origin, after),
            item => after.minus(self.writes(item)).union(self.reads(item)),
        }
    }

    /// What matters behind the item at `place`.
    pub fn live_behind(&self, place: usize) -> RegSet {
        self.items[place + 1..].iter().rev().fold(self.live_out, |after, item| self.through(item, after))
    }
}

/// For each instruction whether a jump or a call of the program goes to it.
pub(super) fn targets(flow: &Flow) -> Vec<bool> {
    let mut is_target = vec![false; flow.insns().len()];
    for &target in flow.targets().iter().filter(|target| **target != NOWHERE) {
        is_target[target as usize] = true;
    }
    is_target
}

/// Short loops of pure instructions, jumps aside: as a whole they may count something.
pub(super) fn turns(flow: &Flow) -> Vec<Range<usize>> {
    /// The most instructions of one.
    const SHORT: usize = 9;
    let back = |last: usize| {
        let head = flow.target(last).filter(|head| *head <= last && last - head < SHORT)?;
        let stays = |insn: &Insn| is_pure(insn) || matches!(insn, Insn::Jump { .. });
        flow.insns()[head..=last].iter().all(stays).then_some(head..last + 1)
    };
    (0..flow.insns().len()).filter_map(back).collect()
}

/// Cuts a program into regions: before everything that `is_target` is true of, behind what does not go on, and around Kop sites.
pub(super) fn regions(flow: &Flow, is_target: &[bool]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (index, insn) in flow.insns().iter().enumerate() {
        let is_site = matches!(insn, Insn::Sidecar { .. } | Insn::Call { target: CallTarget::Kop { .. } });
        if start < index && (is_target[index] || is_site || index - start == LONGEST) {
            found.push(start..index);
            start = index;
        }
        if insn.is_terminator() || is_site {
            found.push(start..index + 1);
            start = index + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::program;

    #[test]
    fn regions_end_at_targets_and_go_on_over_ways_out() {
        let text =
            "r0 = 0\nr0 += 1\nif r1 == 7 goto +2\nr1 += 1\nif r1 < 9 goto -4\nr0 += 2\nexit\nr0 = 5\nexit";
        let flow = program(text).flow;
        assert_eq!(regions(&flow, &targets(&flow)), [0..1, 1..5, 5..7, 7..9]);
        assert_eq!(regions(&flow, &[false; 9]), [0..7, 7..9]);
    }

    #[test]
    fn sites_stand_apart_and_long_code_is_cut() {
        let flow = program("r1 = 1\nsidecar 0x10\ncall kop 1 slot 0\nr0 = 0\nexit").flow;
        assert_eq!(regions(&flow, &targets(&flow)), [0..1, 1..2, 2..3, 3..5]);
        let flow = program(&format!("{}exit", "r0 += 1\n".repeat(LONGEST + 5))).flow;
        assert_eq!(regions(&flow, &targets(&flow)), [0..LONGEST, LONGEST..LONGEST + 6]);
    }
}
