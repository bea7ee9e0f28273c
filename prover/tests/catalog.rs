// SPDX-License-Identifier: GPL-2.0-or-later
//! Every operation of the catalog is proved on both architectures: a part of the payloads here, all of them by `kop prove`.

use std::time::{Duration, Instant};

use kop_ops::Catalog;
use kop_prover::statement::Options;
use kop_prover::sweep::{Claims, Row, Tally, Uninspected};
use rayon::prelude::*;

fn prove(mut row_of: impl FnMut(&Claims, Row) -> Tally) {
    let claims = Claims::new(Options { limit: Duration::from_secs(60), ..Options::default() });
    let catalog = Catalog::einsn();
    let only = std::env::var("KOP_PROVE").unwrap_or_default();
    let mut failed = false;
    for (kop, form) in catalog.forms().filter(|(kop, _)| kop.name().contains(&only)) {
        for &arch in kop.archs(form) {
            let start = Instant::now();
            let tally = row_of(&claims, Row { kop, form, arch });
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{:<13} {:<11} {arch:<8} {:>8} of {:>8} payloads {:>8} codes {:>6} claims {:>6} formulas {seconds:>7.2} s {:?}",
                kop.name(),
                form.name,
                tally.payloads,
                tally.payloads_total,
                tally.codes,
                tally.claims,
                tally.formulas,
                tally.algebra,
            );
            if let Some(failure) = &tally.failure {
                println!("    {failure:?}");
            }
            failed |= !tally.is_proved();
        }
    }
    assert!(!failed, "every row is proved");
}

/// Payloads at a stride that meets every field's values.
#[test]
fn a_part_of_all_payloads_is_proved() {
    prove(|claims, row| {
        let layout = &row.form.layout;
        let total = layout.combinations();
        let stride = (total / 1500) | 1;
        let chosen: Vec<u64> = (0..total)
            .step_by(stride as usize)
            .filter_map(|number| layout.encode(&layout.combination(number)).ok())
            .collect();
        claims.prove_payloads(
            row,
            &row.kop.features(row.arch).subsets(),
            &Uninspected,
            chosen.into_par_iter(),
        )
    });
}
