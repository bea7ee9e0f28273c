// SPDX-License-Identifier: GPL-2.0-or-later
//! Lookups in place of ladders, the largest ladder first: what is inside of one is a ladder, too.

use std::collections::HashSet;

use kop_ops::ebpf::{Insn, RegSet};

use super::diamond::free;
use super::ladder::{Column, Join, Ladder, Part, Plan, Walked};
use super::{Branching, Made, Splice, proved};
use crate::load::operation;
use crate::rewrite::constants::Constants;
use crate::rewrite::liveness::Liveness;
use crate::rewrite::plan::Reason;
use crate::rewrite::site;
use crate::rewrite::{Claim, Miss, Planted};

/// The operation, and the form that a near miss names.
const OPERATION: (&str, &str) = ("table_lookup", "nibble64");

impl Branching<'_, '_> {
    /// Makes the lookups that there are.
    pub(super) fn ladders(&mut self) {
        let mut looked_at = HashSet::new();
        let mut told = HashSet::new();
        while let Some(ladder) = self.next_ladder(&looked_at) {
            let at = self.origins[ladder.head];
            looked_at.insert(at);
            let branches: Vec<usize> = ladder.branches.iter().map(|branch| self.origins[*branch]).collect();
            let made = self.looked_up(&ladder).and_then(|made| self.apply(made));
            let Err(reason) = made else { continue };
            if ladder.is_told() && !told.contains(&at) {
                let (kop, form) = (OPERATION.0.to_owned(), OPERATION.1.to_owned());
                self.misses.push(Miss { program: self.number, at, kop, form, reason });
            }
            told.extend(branches);
        }
    }

    /// The ladder with the most comparisons whose first was not looked at yet.
    fn next_ladder(&self, looked_at: &HashSet<usize>) -> Option<Ladder> {
        let flow = &self.program.flow;
        let heads = (0..flow.insns().len()).filter(|head| !looked_at.contains(&self.origins[*head]));
        let ladders = heads.filter_map(|head| Ladder::new(flow, head));
        ladders.max_by_key(|ladder| (ladder.branches.len(), usize::MAX - ladder.head))
    }

    fn looked_up(&mut self, ladder: &Ladder) -> Result<Made, Reason> {
        let flow = &self.program.flow;
        let walked = ladder.walk(flow)?;
        let live = match walked.join {
            Join::At(index) => {
                Liveness::with_sites(flow, self.options.catalog, &self.operations).before(index)
            }
            Join::Exit => Insn::Exit.reads(),
        };
        let kept = if self.options.planted == Some(Planted::IgnoredLiveness) { RegSet::EMPTY } else { live };
        let constants = Constants::new(flow);
        let known = |register| constants.before(ladder.head, register);
        let results = walked.written().intersect(live);
        let columns = results.iter().map(|register| Column::new(&walked, register, known(register)));
        let columns = columns.collect::<Result<Vec<Column>, Reason>>()?;
        let rotates = site::find(self.options.catalog, "rotate", "imm64").is_some();
        let plan = Plan::new(ladder, columns, kept, rotates)?;
        let mut free = free(flow, kept.union(results).union(ladder.compared.into()));
        let code = plan.code(&mut free)?;
        self.pays(ladder, &walked, plan.cycles(&code))?;
        let numbers: Vec<Insn> = results
            .iter()
            .filter_map(|register| Some(Insn::load_imm64(register, known(register)?)))
            .collect();
        self.replaced(ladder, &walked, (&code, numbers), live)
    }

    /// Whether it pays to do without the branches of a ladder.
    fn pays(&self, ladder: &Ladder, walked: &Walked, cycles: u64) -> Result<(), Reason> {
        let branches: Vec<usize> =
            walked.branches(ladder).iter().map(|branch| self.origins[*branch]).collect();
        let head = self.origins[ladder.head];
        self.options.branches.allow_all(self.number, (head, &branches), cycles)
    }

    /// The code in place of a ladder, where registers hold the numbers of `known` before it.
    fn replaced(
        &mut self,
        ladder: &Ladder,
        walked: &Walked,
        (code, known): (&[Part], Vec<Insn>),
        live: RegSet,
    ) -> Result<Made, Reason> {
        let flow = &self.program.flow;
        let order = walked.order(flow, ladder.head)?;
        let fragment: Vec<Insn> = known.iter().copied().chain(walked.fragment(flow, &order)?).collect();
        let gone = walked.gone(flow, ladder.head, &order);
        let (mut replacement, mut sites) = (known, Vec::new());
        for part in code {
            match part {
                Part::Insn(insn) => replacement.push(*insn),
                Part::Site(kop, form, operands) => {
                    let site = self.site(ladder.head, (kop, form), &self.mistaken(operands))?;
                    replacement.extend(&site.proof);
                    sites.push(site);
                }
            }
        }
        let claim = Claim { fragment, replacement, live };
        let proved = proved(self.options, self.validator, &claim)?;
        let mut insns = Vec::new();
        let mut next_site = sites.iter();
        for part in code {
            match part {
                Part::Insn(insn) => insns.push(*insn),
                Part::Site(kop, form, _) => {
                    let site = next_site.next().expect("each has its site");
                    let id = operation(&mut self.operations, kop, form);
                    insns.extend(Insn::kop_site(site.payload, id, 0));
                }
            }
        }
        let next = match walked.join {
            Join::At(index) => Some(index),
            Join::Exit => {
                insns.push(Insn::Exit);
                None
            }
        };
        let found = sites.iter().enumerate().map(|(number, site)| {
            // The first of them stands for all that went.
            let gone = if number == 0 { &gone } else { &vec![ladder.head] };
            self.found(ladder.head, site, gone, (claim.clone(), proved.clone()))
        });
        let found = found.collect();
        Ok(Made { splice: Splice { at: ladder.head, gone, code: insns, leaves: Vec::new(), next }, found })
    }

    /// The operands of a site, of which a lookup's index is another where that mistake is planted.
    fn mistaken(&self, operands: &[(&'static str, i64)]) -> Vec<(&'static str, i64)> {
        let mut operands = operands.to_vec();
        if self.options.planted == Some(Planted::WrongDefault) {
            for (_, value) in operands.iter_mut().filter(|(name, _)| *name == "other") {
                *value ^= 1;
            }
        }
        operands
    }
}
