// SPDX-License-Identifier: GPL-2.0-or-later
//! What fuzz targets of operations do with an input, without libFuzzer around it: decode, run, compare, tell the feedback.

use kop_harness::fuzz::Target;
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Catalog, Kop};

use crate::report::Report;
use crate::sites::Site;
use crate::turns::{Rounds, Way, measure as take_turns};

/// How many different inputs a target is given.
const INPUTS: usize = 512;

/// The bytes of an input.
const LENGTH: usize = 64;

/// Measures the target of every operation.
pub fn measure(catalog: &Catalog, sites: &[Site], names: &[String], rounds: Rounds, report: &mut Report) {
    let chosen = |kop: &&&dyn Kop| names.is_empty() || names.iter().any(|name| name == kop.name());
    for &kop in catalog.kops().iter().filter(chosen) {
        let target = Target::Operation(kop);
        let mut choices = Seeded::new(4);
        let inputs: Vec<Vec<u8>> =
            (0..INPUTS).map(|_| (0..LENGTH).map(|_| choices.bits() as u8).collect()).collect();
        // Payloads that are to be refused run none.
        let states: usize = inputs.iter().map(|bytes| target.states(catalog, bytes)).sum();
        let per_input = states as f64 / INPUTS as f64;
        let mut all = inputs.iter().cycle();
        let run = |_| target.run(catalog, all.next().expect("there are inputs"), &|_| ());
        let mut ways = [Way { name: "input", states: 1, run: Box::new(run) }];
        let inputs_per_s = take_turns(&mut ways, rounds).remove(0);
        let counts = sites.iter().filter(|site| site.subject.kop.name() == kop.name()).all(Site::counts);
        report.fuzz(
            (kop.name(), counts),
            per_input,
            inputs_per_s.iter().map(|rate| rate * per_input).collect(),
        );
    }
}
