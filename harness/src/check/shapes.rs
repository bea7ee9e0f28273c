// SPDX-License-Identifier: GPL-2.0-or-later
//! More states for code that few payloads have. An emit chooses its instructions by operands: a `test` in place of a comparison
//! with zero, a `mov` less where registers coincide. What is wrong in such a branch shows on its payloads alone, and a plan that
//! covers pairs of operands has few of some.

use std::collections::BTreeMap;
use std::sync::Arc;

use kop_ops::kop::{EmitRequest, Pass};
use kop_ops::{Arch, Features, Form, Kop};

use crate::generate::{Planned, constants};
use crate::mutate::{shape_of_code, shape_of_proof};
use crate::subject::Scope;

/// How many states each sequence of instructions gets.
const WANTED: usize = 640;

/// How many it gets where a branch depends on bits: each of 64 comes alone several times.
const WANTED_OF_MASKS: usize = 2560;

/// A plan gets no more than so many times its states.
const MOST_TIMES: usize = 4;

/// How many payloads are asked about at once.
const ASKED_AT_ONCE: usize = 1024;

/// A sequence of instructions apart from the values of operands; of a proof where there is no architecture.
type Shape = (Option<(Arch, Features)>, Arc<[u64]>);

/// Plans further states for payloads whose code, or whose proof sequence, few others have.
pub(super) fn extend(kop: &dyn Kop, form: &Form, planned: &mut [Planned], scope: &Scope) {
    let members = members(kop, form, planned, scope);
    let budget: usize = planned.iter().map(|own| own.states).sum();
    let most = budget * MOST_TIMES / members.len().max(1);
    for members in members.values() {
        let first = form.layout.pack(&planned[members[0]].operands);
        let proof = kop.instantiate(form, first).unwrap_or_default();
        let has_mask = constants(&proof).iter().any(|constant| constant.is_mask);
        let wanted = most.min(if has_mask { WANTED_OF_MASKS } else { WANTED });
        let states: usize = members.iter().map(|&index| planned[index].states).sum();
        let missing = wanted.saturating_sub(states).div_ceil(members.len());
        // An even number, so that odd stays odd.
        members.iter().for_each(|&index| planned[index].states += missing.next_multiple_of(2));
    }
}

/// The payloads of each shape, by their numbers.
fn members(kop: &dyn Kop, form: &Form, planned: &[Planned], scope: &Scope) -> BTreeMap<Shape, Vec<usize>> {
    let mut members: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
    let payloads: Vec<u64> = planned.iter().map(|own| form.layout.pack(&own.operands)).collect();
    for (chunk, payloads) in payloads.chunks(ASKED_AT_ONCE).enumerate() {
        kop.expect(payloads, &scope.all_feature_sets(kop));
        for (index, &payload) in payloads.iter().enumerate() {
            for shape in shapes(kop, form, payload, scope) {
                members.entry(shape).or_default().push(chunk * ASKED_AT_ONCE + index);
            }
        }
    }
    members
}

fn shapes(kop: &dyn Kop, form: &Form, payload: u64, scope: &Scope) -> Vec<Shape> {
    let proof = kop.instantiate(form, payload).ok().and_then(|proof| shape_of_proof(&proof));
    let mut shapes: Vec<Shape> = proof.map(|shape| (None, shape)).into_iter().collect();
    for arch in scope.archs_of(kop, form) {
        for features in scope.feature_sets(kop, arch) {
            let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
            let code = kop.emit(form, &request).ok();
            let shape = code.and_then(|emission| shape_of_code(arch, &emission.bytes));
            shapes.extend(shape.map(|shape| (Some((arch, features)), shape)));
        }
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::DEFAULT_STATES;
    use crate::generate::plan;
    use kop_ops::Catalog;
    use kop_ops::choices::Seeded;

    #[test]
    fn code_of_few_payloads_runs_on_as_many_states_as_other_code() {
        let catalog = Catalog::einsn();
        let kop = catalog.get("select").expect("it is in the catalog");
        let form = kop.forms().iter().find(|form| form.name == "number64").expect("it has the form");
        let scope = Scope::default();
        let mut planned = plan(kop, form, DEFAULT_STATES, &mut Seeded::new(0));
        let before: usize = planned.iter().map(|own| own.states).sum();
        extend(kop, form, &mut planned, &scope);
        let after: usize = planned.iter().map(|own| own.states).sum();
        assert!(after > before && after <= (MOST_TIMES + 1) * before, "{before} {after}");
        for (shape, members) in members(kop, form, &planned, &scope) {
            let states: usize = members.iter().map(|&index| planned[index].states).sum();
            assert!(states >= WANTED.min(before * MOST_TIMES / 400), "{states} of {shape:?}");
        }
        assert!(planned.iter().all(|own| own.states % 2 == 1 || own == planned.last().expect("not empty")));
    }
}
