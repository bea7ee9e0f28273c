// SPDX-License-Identifier: GPL-2.0-or-later
//! What was counted for a form, and what was found, as rows of a record.

use std::collections::BTreeMap;
use std::path::Path;

use kop_emulators::inspect::Written;
use kop_ops::{Arch, Form, Kop};
use kop_reports as reports;

use super::Settings;
use super::classes::possible_classes;
use super::tally::Tally;
use crate::describe;
use crate::finding::Finding;
use crate::place;
use crate::rig::Rig;

/// What is known of a row without asking the prover.
fn known_proof(payloads: u64, payloads_total: u64) -> reports::Proof {
    let whole = payloads == payloads_total;
    reports::Proof {
        verdict: if whole { reports::ProofVerdict::Proved } else { reports::ProofVerdict::Partial },
        payloads,
        payloads_total,
        formulas: 0,
        solved: 0,
        recalled: payloads,
        algebra: Vec::new(),
        reason: None,
        seconds: 0.0,
    }
}

/// The remark that some classes never occurred.
pub(crate) fn missing_classes(classes: &BTreeMap<String, u64>) -> Option<String> {
    let missing: Vec<&str> =
        classes.iter().filter(|(_, count)| **count == 0).map(|(class, _)| class.as_str()).collect();
    let shown = missing.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let dots = if missing.len() > 3 { ", .." } else { "" };
    let told = || format!("{} of {} classes never occurred: {shown}{dots}", missing.len(), classes.len());
    (!missing.is_empty()).then(told)
}

/// What a check found of a form.
pub(crate) struct FormResult<'a> {
    pub kop: &'a dyn Kop,
    pub form: &'a Form,
    pub findings: Vec<(Finding, u64)>,
    pub(super) tally: Tally,
}

/// What the rows of a form have in common.
pub(super) struct Shared {
    pub payloads_total: u64,
    pub classes: BTreeMap<String, u64>,
}

impl FormResult<'_> {
    /// The rows of the counts alone, without what depends on the form and not on the round.
    pub fn counted(&self, settings: &Settings) -> Vec<reports::Row> {
        // What did not occur in a round may occur in another.
        let possible = self.tally.state_classes.by_name(self.tally.possible);
        let mut classes = self.tally.operand_classes.clone();
        classes.extend(possible.clone().into_iter().filter(|(_, count)| *count > 0));
        let shared = Shared { payloads_total: 0, classes };
        let row = |arch| {
            let mut row = self.row(arch, &shared, settings, Vec::new());
            row.classes.extend(possible.clone());
            row
        };
        self.archs(settings).into_iter().map(row).collect()
    }

    /// The architectures that have a row. What has no emit at all is named once: its proof alone may be wrong.
    pub fn archs(&self, settings: &Settings) -> Vec<Option<Arch>> {
        let bare = self.kop.archs(self.form).is_empty();
        let archs = settings.scope.archs_of(self.kop, self.form).into_iter().map(Some);
        archs.chain(bare.then_some(None)).collect()
    }

    /// What is counted once for all rows.
    pub(super) fn shared(&self) -> Shared {
        Shared { payloads_total: describe::payloads_total(self.kop, self.form), classes: self.classes() }
    }

    /// The row of an architecture, or of an operation that has no emit for any.
    pub(super) fn row(
        &self,
        arch: Option<Arch>,
        shared: &Shared,
        settings: &Settings,
        divergences: Vec<reports::Divergence>,
    ) -> reports::Row {
        let tally = &self.tally;
        let count = |counts: &BTreeMap<Arch, u64>| arch.and_then(|arch| counts.get(&arch)).copied();
        let states = count(&tally.states).unwrap_or(0);
        let untested = (states == 0).then(|| self.why_untested(arch));
        let verdict = if !divergences.is_empty() {
            reports::RowVerdict::Divergent
        } else if untested.is_some() {
            reports::RowVerdict::Untested
        } else {
            reports::RowVerdict::Equivalent
        };
        let is_engine_of = |name| arch.is_some_and(|arch| tally.engines.contains(&(arch, name)));
        reports::Row {
            name: self.kop.name().to_owned(),
            form: self.form.name.to_string(),
            arch: arch.map_or("none", Arch::name).to_owned(),
            engines: settings
                .engines
                .iter()
                .filter(|engine| is_engine_of(engine.name))
                .map(|engine| engine.name.to_owned())
                .collect(),
            payloads: count(&tally.payloads).unwrap_or(0),
            payloads_total: shared.payloads_total,
            payloads_inspected: tally.inspected,
            states,
            observed: tally.observed,
            verdict,
            untested,
            variants: arch.map_or_else(Vec::new, |arch| self.variants(arch, settings)),
            contract: self.kop.declared_contract().to_vec(),
            unseen_purpose: self.kop.unseen_purpose().map(str::to_owned),
            clobbers: arch.map_or_else(Vec::new, |arch| self.clobbers(arch)),
            warnings: self.warnings(arch, &shared.classes),
            divergences,
            classes: shared.classes.clone(),
            proof: count(&tally.proved).map(|proved| known_proof(proved, shared.payloads_total)),
            source: place::source(self.kop, arch),
        }
    }

    /// What was found, in the row of an architecture, with every finding minimised.
    ///
    /// # Errors
    /// Why an engine cannot be made or a case cannot be written, in one line.
    pub fn divergences(
        &self,
        arch: Option<Arch>,
        settings: &Settings,
        save: Option<&Path>,
        rig: &mut Option<Rig>,
    ) -> Result<Vec<reports::Divergence>, String> {
        let concerns = |finding: &Finding| match arch {
            Some(arch) => finding.concerns(arch),
            None => finding.arch.is_none(),
        };
        let mut divergences = Vec::new();
        for (finding, count) in self.findings.iter().filter(|(finding, _)| concerns(finding)) {
            let rig = match rig {
                Some(rig) => rig,
                None => rig.insert(Rig::new(&settings.engines)?),
            };
            let (kop, form, scope) = (self.kop, self.form, &settings.scope);
            let arch = arch.unwrap_or(Arch::X86_64);
            divergences.push(describe::divergence(rig, kop, form, finding, *count, arch, scope, save)?);
        }
        Ok(divergences)
    }

    /// The names of what native code writes beyond the eBPF registers.
    fn clobbers(&self, arch: Arch) -> Vec<String> {
        let broken = |written: &Written| {
            self.findings.iter().any(|(finding, _)| {
                finding.kind == reports::Kind::Frame
                    && finding.concerns(arch)
                    && finding.place == written.name
            })
        };
        let writes = self.tally.writes.get(&arch).copied().unwrap_or_default();
        writes
            .others(arch)
            .into_iter()
            .map(|written| match written.preserved && !broken(&written) {
                true => format!("{} (restored)", written.name),
                false => written.name,
            })
            .collect()
    }

    fn variants(&self, arch: Arch, settings: &Settings) -> Vec<reports::Variant> {
        settings
            .scope
            .feature_sets(self.kop, arch)
            .into_iter()
            .filter_map(|features| {
                let key = (arch, features);
                let states = self.tally.variants.get(&key).copied().unwrap_or(0);
                let untested = match (self.tally.absent.get(&key), self.tally.unable.get(&key)) {
                    (Some(_), _) => Some("no emit: the proof sequence is compiled".to_owned()),
                    (None, Some(reason)) => Some(reason.clone()),
                    // The same bytes as for a fuller set of features.
                    (None, None) if states == 0 => return None,
                    (None, None) => None,
                };
                Some(reports::Variant { features: features.to_string(), states, untested })
            })
            .collect()
    }

    fn why_untested(&self, arch: Option<Arch>) -> String {
        let tally = &self.tally;
        let Some(arch) = arch else {
            return "it registers no emit: the proof sequence is compiled".to_owned();
        };
        if let Some(reason) =
            tally.unable.iter().find_map(|((own, _), reason)| (*own == arch).then_some(reason))
        {
            return reason.clone();
        }
        if let Some(reason) = tally.unreferenced.first() {
            return reason.clone();
        }
        if tally.absent.keys().any(|(own, _)| *own == arch) {
            return "there is no emit for these features: the proof sequence is compiled".to_owned();
        }
        format!("no reference engine, or none that executes {arch} code, was asked for or is here")
    }

    fn classes(&self) -> BTreeMap<String, u64> {
        let mut classes: BTreeMap<String, u64> =
            possible_classes(self.kop, self.form).into_iter().map(|class| (class, 0)).collect();
        for (class, count) in &self.tally.operand_classes {
            *classes.entry(class.clone()).or_default() += count;
        }
        classes.extend(self.tally.state_classes.by_name(self.tally.possible));
        classes
    }

    fn warnings(&self, arch: Option<Arch>, classes: &BTreeMap<String, u64>) -> Vec<String> {
        let mut warnings = self.kop.remarks(self.form);
        let ran = arch.is_some_and(|arch| self.tally.states.get(&arch).is_some_and(|&states| states > 0));
        warnings.extend(missing_classes(classes).filter(|_| ran));
        if self.tally.ignored != 0 {
            warnings.push(format!(
                "payload bits {:#x} are ignored: several encodings of one site",
                self.tally.ignored
            ));
        }
        let counts = self.tally.uninvestigated.iter();
        let count: u64 =
            counts.filter(|(own, _)| own.is_none() || **own == arch).map(|(_, count)| count).sum();
        if count > 0 {
            warnings.push(format!(
                "{count} further states of the form went wrong and were counted, not investigated"
            ));
        }
        for ((own, features), reason) in &self.tally.unable {
            if Some(*own) == arch {
                warnings.push(format!("the code for features {features} did not run: {reason}"));
            }
        }
        for (&(own, name), reason) in &self.tally.refused {
            if Some(own) == arch {
                warnings.push(format!("{name} does not run all code: {reason}"));
            }
        }
        for (&(own, name), count) in &self.tally.unjudged {
            if Some(own) == arch {
                warnings.push(format!(
                    "{name} is not judged in {count} states: the proof faults where {name} has memory of its own"
                ));
            }
        }
        if ran {
            warnings.extend(self.tally.unreferenced.iter().cloned());
        }
        warnings
    }
}
