// SPDX-License-Identifier: GPL-2.0-or-later
//! Counts of zeros in place of searches for a bit.

use std::collections::HashSet;

use kop_ops::ebpf::{Insn, RegSet};

use super::bits::{Counted, Search};
use super::diamond::free;
use super::linear::owned;
use super::{Branching, Made, Splice, proved};
use crate::load::operation;
use crate::rewrite::constants::Constants;
use crate::rewrite::liveness::Liveness;
use crate::rewrite::plan::Reason;
use crate::rewrite::{Claim, Miss, Planted};

/// Cycles of a count with what is before and behind it.
const CYCLES: u64 = 6;

impl Branching<'_, '_> {
    /// Makes the counts that there are.
    pub(super) fn searches(&mut self) {
        let mut looked_at = HashSet::new();
        while let Some((search, count)) = self.next_search(&mut looked_at) {
            let at = self.origins[search.order[0]];
            let (form, made) = (count.form.to_owned(), self.searched(&search, count));
            if let Err(reason) = made.and_then(|made| self.apply(made)) {
                let kop = "count_zeros".to_owned();
                self.misses.push(Miss { program: self.number, at, kop, form, reason });
            }
        }
    }

    /// The next code, from a branch on that was not looked at, that may be a count.
    fn next_search(&self, looked_at: &mut HashSet<usize>) -> Option<(Search, Counted)> {
        let flow = &self.program.flow;
        let lives = Liveness::with_sites(flow, self.options.catalog, &self.operations);
        let constants = Constants::new(flow);
        (0..flow.insns().len()).find_map(|head| {
            if !matches!(flow.insns()[head], Insn::Jump { .. }) || !looked_at.insert(self.origins[head]) {
                return None;
            }
            let all = Search::all(flow, head, &lives, &constants);
            all.into_iter().find_map(|search| {
                let count = search.count(flow, &mut self.unused(&search, &lives)).ok()?;
                Some((search, count))
            })
        })
    }

    /// The registers that may hold anything around a search.
    fn unused(&self, search: &Search, lives: &Liveness) -> std::vec::IntoIter<kop_ops::ebpf::Reg> {
        let live = match self.options.planted {
            Some(Planted::IgnoredLiveness) => RegSet::EMPTY,
            _ => lives.before(search.join),
        };
        free(&self.program.flow, live.union(search.from.into()).union(search.result.into()))
    }

    fn searched(&mut self, search: &Search, count: Counted) -> Result<Made, Reason> {
        let flow = &self.program.flow;
        if !search.is_long(flow) {
            let branches: Vec<usize> =
                search.branches(flow).iter().map(|branch| self.origins[*branch]).collect();
            self.options.branches.allow_all(self.number, (branches[0], &branches), CYCLES)?;
        }
        let lives = Liveness::with_sites(flow, self.options.catalog, &self.operations);
        let at = search.order[0];
        let mut behind = count.behind;
        if self.options.planted == Some(Planted::WrongStep) {
            behind.push(Insn::alu64(kop_ops::ebpf::AluOp::Add, search.result, 1));
        }
        let site = self.site(at, ("count_zeros", count.form), &count.operands)?;
        let mut replacement = search.facts();
        replacement.extend(count.before.iter().chain(&site.proof).chain(&behind));
        let claim = Claim { fragment: search.fragment(flow)?, replacement, live: lives.before(search.join) };
        let proved = proved(self.options, self.validator, &claim)?;
        let gone = owned(flow, at, &search.order);
        let mut code = count.before;
        let id = operation(&mut self.operations, site.kop.name(), &site.form.name);
        code.extend(Insn::kop_site(site.payload, id, 0));
        code.extend(behind);
        let found = self.found(at, &site, &gone, (claim, proved));
        let splice = Splice { at, gone, code, leaves: Vec::new(), next: Some(search.join) };
        Ok(Made { splice, found: vec![found] })
    }
}
