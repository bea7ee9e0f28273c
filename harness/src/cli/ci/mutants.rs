// SPDX-License-Identifier: GPL-2.0-or-later
//! The mutation score of a nightly job.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kop_harness::check::{self, Quiet};
use kop_harness::mutate::{Settings, mutate, record};
use kop_harness::selection;
use kop_reports::{Mutation, MutationRow, Record};

use super::Nightly;
use crate::cli::check::select;
use crate::cli::mutate::{LIMIT, MOST, baseline};
use crate::cli::{Failure, Outcome};

/// Mutants take up to one part in so many of the job's time.
const SHARE: u32 = 5;

/// What became of the mutants of a night.
pub(super) struct Mutants {
    /// `None` when they are left out.
    pub record: Option<Record>,
    /// Operations that diverge as they are, in words.
    divergent: Vec<String>,
}

impl Mutants {
    pub(super) fn of(job: &Nightly) -> Result<Self, Failure> {
        if job.no_mutate {
            return Ok(Self { record: None, divergent: Vec::new() });
        }
        let loaded = job.sources.load()?;
        let catalog = select(&loaded.catalog(), &job.ops)?;
        let engines = match job.engines.as_slice() {
            [] => selection::available().0,
            names => selection::by_names(names.iter().map(String::as_str))?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let check = check::Settings {
            engines,
            jobs: job.jobs.map_or(cores, usize::from),
            ..check::Settings::default()
        };
        let (most, time) = (Some(MOST), Some(job.minutes / SHARE));
        let settings = Settings { check, limit: LIMIT, only: None, most, time, turn: night() };
        let run = mutate(&catalog, &settings, &Quiet).map_err(Failure::environment)?;
        let mut record = record(&run, &settings);
        if let Some(mutation) = &mut record.mutation {
            let path = &job.mutation_score;
            if path.exists() {
                baseline(path)?.compare(mutation);
            } else {
                mutation
                    .remarks
                    .push(format!("compared with no recorded score: {} is not there", path.display()));
            }
        }
        let divergent = run.divergent.iter().map(|row| {
            format!("{} {} {} diverges as it is, and has no mutants", row.name, row.form, row.arch)
        });
        Ok(Self { record: Some(record), divergent: divergent.collect() })
    }

    pub(super) fn outcome(&self) -> Outcome {
        let holds = self.mutation().is_none_or(Mutation::holds) && self.divergent.is_empty();
        if holds { Outcome::Equivalent } else { Outcome::Divergent }
    }

    fn mutation(&self) -> Option<&Mutation> {
        self.record.as_ref()?.mutation.as_ref()
    }
}

/// The number of the day: each begins with another operation.
fn night() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    passed.as_secs() / 86_400
}

impl fmt::Display for Mutants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mutation) = self.mutation() else { return f.write_str("mutants: left out (--no-mutate)") };
        let sum = |of: fn(&MutationRow) -> u64| mutation.rows.iter().map(of).sum::<u64>();
        write!(
            f,
            "mutants: {} killed, {} equivalent, {} survived",
            sum(|row| row.killed),
            sum(|row| row.equivalent),
            sum(|row| row.survived)
        )?;
        if let Some(median) = mutation.median_detection_ms() {
            write!(f, "; median time to detect {median:.1} ms")?;
        }
        self.divergent.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        mutation.remarks.iter().try_for_each(|remark| write!(f, "\n  {remark}"))?;
        mutation.dropped.iter().try_for_each(|drop| write!(f, "\nmutation score dropped: {drop}"))?;
        let survivors = mutation.survivors.iter();
        survivors.filter(|_| mutation.dropped.is_empty()).try_for_each(|mutant| {
            let kop_reports::Mutant { name, form, arch, change, .. } = mutant;
            write!(f, "\nmutant survived: {name} {form} {arch} {} {change}", mutant.side.name())
        })
    }
}
