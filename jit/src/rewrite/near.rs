// SPDX-License-Identifier: GPL-2.0-or-later
//! Near misses; where a jump goes into the middle of what would be an operation, code is cut, so that no value goes over it.

use super::claim::entered;
use super::plan::{Planner, Reason};
use super::recognise::Match;
use super::region::{Region, regions};
use super::value::{Registers, Value};
use super::{Miss, Rewriter};

impl Rewriter<'_, '_> {
    /// What is computed at an index, or stored there, is no site.
    pub(super) fn missed(&mut self, (at, value): (usize, Option<Value>), found: &Match, reason: Reason) {
        // Moves leave a value where it is said of the first already. Of adjacent loads and stores, it is said of the last.
        let is_known = value.is_some() && self.misses.iter().any(|(known, _)| *known == value)
            || self.told.contains(&(found.kop, at));
        if found.is_weighed {
            self.told.extend(found.loads.iter().chain(&found.stores).map(|access| (found.kop, *access)));
        }
        if is_known {
            return;
        }
        let (kop, form) = (found.kop.to_owned(), found.form.to_owned());
        self.misses.push((value, Miss { program: self.number, at, kop, form, reason }));
    }

    /// Looks at code that was cut as if nothing went into it.
    pub(super) fn entered_misses(&mut self) {
        let flow = &self.program.flow;
        let cut = regions(flow, &self.is_target);
        for range in regions(flow, &vec![false; flow.insns().len()]) {
            if cut.contains(&range) {
                continue;
            }
            let region = Region::new(flow, self.live, range);
            let start = self.start(&region);
            let states = self.graph.states(&region, start);
            for place in (0..region.items.len()).rev() {
                self.entered_miss((&region, &states), place);
            }
        }
    }

    fn entered_miss(&mut self, (region, states): (&Region, &[Registers]), place: usize) {
        let at = region.items[place].origin();
        let (value, all) = self.matches((region, states), place);
        let known = value.is_some() && self.misses.iter().any(|(known, _)| *known == value)
            || self.misses.iter().any(|(_, miss)| miss.at == at)
            || self.found.iter().any(|found| found.removed.contains(&at));
        if known {
            return;
        }
        let planner = Planner {
            catalog: self.options.catalog,
            region,
            graph: &self.graph,
            states,
            arch: self.options.arch,
            planted: None,
            refused: Vec::new(),
        };
        let reason = |found: &Match| {
            let edit = planner.plan(place, found).ok()?;
            let (first, last) = edit.span();
            entered(region, first..last + 1, &self.is_target).err()
        };
        let Some((found, reason)) = all.iter().find_map(|found| Some((found, reason(found)?))) else {
            return;
        };
        self.missed((at, value), found, reason);
    }
}
