// SPDX-License-Identifier: GPL-2.0-or-later
//! Replaying regression cases: `cargo test`, `kop replay` and the fuzz targets ask the same question of them.

use kop_ops::Catalog;

use crate::case::Case;
use crate::finding::Finding;
use crate::rig::Rig;
use crate::subject::{Scope, prepare};

/// What replaying a case says.
#[derive(Debug)]
pub struct Replayed {
    /// What is wrong; empty for a case that holds.
    pub findings: Vec<Finding>,
    /// How many native codes ran.
    pub codes: usize,
}

/// Checks one case on a rig: its callbacks, and its state on every engine.
///
/// A payload that both sides refuse holds.
///
/// # Errors
/// [`kop_ops::catalog::UnknownKop`] when the catalog has no such operation.
pub fn replay(
    rig: &mut Rig,
    catalog: &Catalog,
    case: &Case,
) -> Result<Replayed, kop_ops::catalog::UnknownKop> {
    let kop = catalog.get(&case.kop)?;
    let form = kop.forms().iter().find(|form| form.name == case.form.name).unwrap_or(&case.form);
    let mut scope = Scope::default();
    scope.archs.retain(|&arch| case.is_about(arch));
    let prepared = prepare(kop, form, case.payload, &scope);
    let mut findings = prepared.findings;
    let mut codes = 0;
    if let Some(mut subject) = prepared.subject {
        if let Some(features) = case.features {
            let wanted = subject.variants.iter().position(|variant| variant.features == features);
            if let Some(index) = wanted {
                subject.variants = vec![subject.variants.swap_remove(index)];
            }
        }
        codes = subject.variants.len();
        findings.extend(rig.judge(&subject, &case.state, case.garbage));
    }
    Ok(Replayed { findings, codes })
}
