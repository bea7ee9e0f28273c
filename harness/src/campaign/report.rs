// SPDX-License-Identifier: GPL-2.0-or-later
//! What a campaign knows, as the record of a run.

use std::path::Path;

use kop_ops::{Arch, Catalog};
use kop_reports as reports;

use super::runner::{self, Runner};
use super::state::{Found, State};
use super::store;
use super::subject::Subject;
use super::totals;
use crate::case;
use crate::check::{Settings, missing_classes, possible_classes};
use crate::describe;
use crate::program::text;
use crate::replay::replay;

/// The record of the subjects, with what is known of them in `state` and the cases below `dir`, the directory of the campaign.
///
/// # Errors
/// Why an engine cannot be made, in one line.
pub fn record<'a>(
    state: &State,
    dir: &Path,
    catalog: &Catalog<'a>,
    subjects: &[Subject<'a>],
    settings: &Settings,
) -> Result<reports::Record, String> {
    let mut runner = Runner::new(settings, catalog)?;
    let mut rows = Vec::new();
    for subject in subjects {
        rows.extend(subject_rows(state, dir, catalog, subject, &mut runner));
    }
    let rates = state.samples.iter().map(|sample| reports::Rate {
        at_s: sample.at_ms as f64 / 1000.0,
        states: sample.states,
        memory_kib: Some(sample.rss_kib).filter(|kib| *kib > 0),
        behaviours: Some(sample.marks),
    });
    Ok(reports::Record {
        schema: reports::SCHEMA.to_owned(),
        verdict: reports::Record::verdict_of(&rows),
        seed: state.seed,
        engines: crate::selection::engines_of(&settings.engines),
        ops: rows,
        elapsed_s: state.elapsed_ms as f64 / 1000.0,
        jobs: settings.jobs,
        timings: None,
        rates: rates.collect(),
        mutation: None,
    })
}

/// The rows of a subject; none before its first unit.
fn subject_rows<'a>(
    state: &State,
    dir: &Path,
    catalog: &Catalog<'a>,
    subject: &Subject<'a>,
    runner: &mut Runner,
) -> Vec<reports::Row> {
    let name = subject.to_string();
    let mut rows = Vec::new();
    let of_subject = || state.totals().filter(|(known, _)| *known == name).map(|(_, totals)| totals);
    of_subject().for_each(|of_shard| totals::add(&mut rows, &of_shard.rows));
    for row in &mut rows {
        complete(row, subject);
    }
    let uncounted: u64 = of_subject().map(|totals| totals.uncounted).sum();
    if uncounted > 0 {
        let warning = format!("{uncounted} further findings were counted, not kept: there are enough");
        rows.iter_mut().for_each(|row| row.warnings.push(warning.clone()));
    }
    for (file, found) in state.found.iter().filter(|(_, found)| found.subject == name) {
        let occurrences = of_subject().filter_map(|totals| totals.occurrences.get(file)).sum();
        for row in concerned(&mut rows, &found.cause) {
            let arch = row.arch.parse().unwrap_or(Arch::X86_64);
            let divergence = divergence(dir, catalog, runner, (file, found), occurrences, arch);
            row.divergences.push(divergence);
            row.verdict = reports::RowVerdict::Divergent;
        }
    }
    rows
}

/// Adds what is known of a form without running anything, and the verdict as long as there is no divergence.
fn complete(row: &mut reports::Row, subject: &Subject) {
    if let Subject::Form(kop, form) = subject {
        row.payloads_total = describe::payloads_total(*kop, form);
        for class in possible_classes(*kop, form) {
            row.classes.entry(class).or_default();
        }
        row.warnings.extend(missing_classes(&row.classes).filter(|_| row.states > 0));
    }
    row.verdict = match row.untested {
        None => reports::RowVerdict::Equivalent,
        Some(_) => reports::RowVerdict::Untested,
    };
}

/// The rows that a cause speaks of: those of the architecture that it names, or all.
fn concerned<'r>(rows: &'r mut [reports::Row], cause: &str) -> impl Iterator<Item = &'r mut reports::Row> {
    let side = cause.split('/').next().unwrap_or_default().to_owned();
    let named =
        Arch::ALL.into_iter().find(|arch| side.contains(arch.name())).map(|arch| arch.name().to_owned());
    rows.iter_mut().filter(move |row| named.as_ref().is_none_or(|name| row.arch == *name))
}

fn divergence(
    dir: &Path,
    catalog: &Catalog,
    runner: &mut Runner,
    (file, found): (&str, &Found),
    occurrences: u64,
    arch: Arch,
) -> reports::Divergence {
    let path = store::findings(dir).join(file);
    let shown = if runner::is_program(file) {
        of_program(&path, catalog, runner, found)
    } else {
        of_operation(&path, catalog, runner, found, arch)
    };
    let mut divergence = shown.unwrap_or_else(|reason| bare(&path, found, &reason));
    divergence.occurrences = occurrences;
    divergence
}

/// What replaying the case of an operation shows; the kind, the side and the architecture are those that were found, the place
/// may have become another one when the case was made small.
fn of_operation(
    path: &Path,
    catalog: &Catalog,
    runner: &mut Runner,
    found: &Found,
    arch: Arch,
) -> Result<reports::Divergence, String> {
    let case = case::load(path, catalog).map_err(|error| error.to_string())?;
    let kop = catalog.get(&case.kop).map_err(|error| error.to_string())?;
    let form = kop.forms().iter().find(|form| form.name == case.form.name).unwrap_or(&case.form);
    let (rig, _) = runner.rigs();
    rig.take_breath();
    let replayed = replay(rig, catalog, &case).map_err(|error| error.to_string())?;
    let side = |cause: &str| cause.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let findings = || replayed.findings.iter();
    let same = findings().find(|finding| finding.cause() == found.cause);
    let alike = || findings().find(|finding| side(&finding.cause()) == side(&found.cause));
    let finding = same.or_else(alike).ok_or("the state alone does not show it")?;
    Ok(describe::of_case(kop, form, finding, &case, Some(path), 1, arch))
}

fn of_program(
    path: &Path,
    catalog: &Catalog,
    runner: &mut Runner,
    found: &Found,
) -> Result<reports::Divergence, String> {
    let case = text::load(path).map_err(|error| error.to_string())?;
    let (_, rig) = runner.rigs();
    let judged = rig.judge_found(&case, catalog).map_err(|problem| problem.to_string())?;
    let blamed = |blame: &str| found.cause.contains(blame);
    let finding = judged.findings.iter().find(|finding| blamed(&finding.blame.to_string()));
    let finding = finding.or(judged.findings.first()).ok_or("the case does not show it any more")?;
    let difference = &finding.difference;
    let shown = bare(path, found, &finding.to_string());
    Ok(reports::Divergence {
        kind: difference.kind,
        engine: finding.engine.to_owned(),
        first_difference: Some(reports::Difference {
            r#where: difference.place.clone(),
            expected: difference.expected.clone(),
            actual: difference.actual.clone(),
        }),
        blame: match &finding.blame {
            crate::program::Blame::Emit(_) => reports::Blame::Emit,
            blame @ crate::program::Blame::Native(..) => reports::Blame::Engine(blame.to_string()),
            crate::program::Blame::Jit(arch) => reports::Blame::Engine(format!("jit {arch}")),
            crate::program::Blame::Engine(name) => reports::Blame::Engine((*name).to_owned()),
            crate::program::Blame::Spec => reports::Blame::Engine("spec".to_owned()),
        },
        minimised: Some(case.to_string()),
        ..shown
    })
}

/// What can be said of a finding whose case shows nothing now.
fn bare(path: &Path, found: &Found, message: &str) -> reports::Divergence {
    let parts: Vec<&str> = found.cause.split('/').collect();
    let kind = reports::Kind::ALL.into_iter().find(|kind| parts.contains(&kind.name()));
    let path = path.display().to_string();
    reports::Divergence {
        kind: kind.unwrap_or(reports::Kind::Reference),
        engine: "-".to_owned(),
        payload: "-".to_owned(),
        operands: Default::default(),
        first_difference: None,
        reproduce: Some(format!("kop replay {}", describe::shell_word(&path))),
        case: Some(path),
        message: message.to_owned(),
        blame: reports::Blame::Undecided,
        blame_reason: found.cause.clone(),
        cause: Some(found.cause.clone()),
        features: "none".to_owned(),
        occurrences: 1,
        minimised: None,
        sides: Vec::new(),
        proof: Vec::new(),
        native: Vec::new(),
        known: None,
    }
}
