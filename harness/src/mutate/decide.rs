// SPDX-License-Identifier: GPL-2.0-or-later
//! What becomes of a mutant.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::kop::Emission;
use kop_ops::{Features, Kop, Site};
use kop_prover::statement::Options;
use kop_prover::statement::Prover;
use kop_prover::sweep::{Claims, Failure, FailureKind, Inspection, Row as Claimed};
use kop_reports::MutatedSide;
use rayon::prelude::*;

use super::broken::{Broken, Place};
use super::cover::cover;
use super::mutants::Mutant;
use super::same::Same;
use crate::check::Settings;
use crate::check::trial::{Plan, Trial};
use crate::finding::Finding;
use crate::prepare;
use crate::prove::{AsChecked, FIRST_CHUNK, MOST_PER_CHUNK, Space};
use crate::rig::Rig;

/// How many units of a check come before the prover: they kill most of what can be killed, in less time than a proof takes.
const FIRST_UNITS: usize = 4;

/// How long the prover may take for one formula before the whole check runs.
const QUICKLY: Duration = Duration::from_millis(500);

/// Forms of up to so many combinations of operands are proved whole; of the others, a [`cover`].
const MOST_PROVED: u64 = 1 << 16;

/// What became of a mutant.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// A check finds it.
    Killed {
        /// The kind of the divergence and the engine.
        by: String,
        /// From the start of its check.
        after: Duration,
    },
    /// It does what the proof sequence says, for every input of every payload that is looked at.
    Equivalent,
    /// Neither.
    Survived {
        /// Why it is not proved.
        undecided: String,
    },
}

/// What became of a mutant, and how long that took.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub verdict: Verdict,
    /// In the check.
    pub checked: Duration,
    /// In the prover.
    pub proving: Duration,
}

/// The claims of all mutants, by how long the prover may take for one.
pub(super) struct Provers {
    /// As long as it takes for most that are right.
    quick: Claims,
    /// As long as was asked for.
    thorough: Claims,
    /// Of proof sequences alone.
    same: Same,
}

impl Provers {
    pub(super) fn new(limit: Duration) -> Self {
        let claims = |limit| Claims::new(Options { limit, keep: false });
        Self { quick: claims(limit.min(QUICKLY)), thorough: claims(limit), same: Same::default() }
    }
}

/// Decides the mutants of an emit or a proof.
pub(super) struct Decider<'a> {
    pub place: Place<'a>,
    pub plan: &'a Plan,
    pub settings: &'a Settings,
    /// What a mutant is proved for.
    pub space: &'a OnceLock<Space>,
    /// Whether the operation as it is is proved for all of that.
    pub is_proved: &'a OnceLock<bool>,
    pub provers: &'a Provers,
}

impl Decider<'_> {
    /// Decides a mutant: the first units of its check, the prover for a short while, the rest of its check, the prover for as long
    /// as it may take. What is right is mostly proved in milliseconds, and what is wrong may keep a prover busy for long.
    pub(super) fn decide(&self, rig: &mut Rig, mutant: &Mutant) -> Decided {
        let broken = Broken::new(self.place, &mutant.change);
        rig.forget();
        let start = Instant::now();
        let has_other_proof = self.place.side == MutatedSide::Proof;
        let trial = Trial::new(&broken, self.place.form, self.plan, has_other_proof, self.settings);
        let first = FIRST_UNITS.min(trial.units());
        let finding = (0..first).find_map(|unit| trial.run(rig, unit));
        let (mut checked, mut proving) = (start.elapsed(), Duration::ZERO);
        let mut proves = |claims| {
            let start = Instant::now();
            let failure = self.prove(claims, &broken, mutant);
            proving += start.elapsed();
            failure
        };
        let verdict = if let Some(finding) = finding {
            self.killed(&finding, checked)
        } else if proves(&self.provers.quick).is_none() {
            Verdict::Equivalent
        } else {
            let start = Instant::now();
            let finding = (first..trial.units()).find_map(|unit| trial.run(rig, unit));
            checked += start.elapsed();
            match finding {
                Some(finding) => self.killed(&finding, checked),
                None => proves(&self.provers.thorough).map_or(Verdict::Equivalent, |failure| {
                    Verdict::Survived { undecided: self.why_undecided(&broken, &failure) }
                }),
            }
        };
        Decided { verdict, checked, proving }
    }

    fn killed(&self, finding: &Finding, checked: Duration) -> Verdict {
        let by = match finding.engine.as_str() {
            "-" => finding.kind.name().to_owned(),
            engine => format!("{} {engine}", finding.kind.name()),
        };
        // A check makes a plan first; that of another emit is the same.
        let planned = if self.place.side == MutatedSide::Emit { self.plan.took() } else { Duration::ZERO };
        Verdict::Killed { by, after: planned + checked }
    }

    /// A payload for which the mutant is not proved; `None` when all of [`Decider::space`] are proved that the change does something
    /// to. For the others the mutant is the operation itself.
    fn prove(&self, claims: &Claims, broken: &Broken, mutant: &Mutant) -> Option<Failure> {
        if self.place.side == MutatedSide::Proof && self.does_what_it_did(broken, mutant) {
            return None;
        }
        let features = self.features();
        let row = Claimed { kop: broken, form: self.place.form, arch: self.place.arch };
        // The emits of an operation with another proof are its own, and no matter of the change.
        let inspection: &dyn Inspection = match self.place.side {
            MutatedSide::Emit => &AsChecked,
            MutatedSide::Proof => &Alone,
        };
        self.first_of_all(broken, mutant, |payloads| {
            let mut tally = claims.tally(row, &features, inspection, payloads.into_par_iter());
            (!tally.failures.is_empty()).then(|| tally.failures.swap_remove(0))
        })
    }

    /// Whether the changed proof sequence does what the operation's own does, and that is proved to be what native code does.
    fn does_what_it_did(&self, broken: &Broken, mutant: &Mutant) -> bool {
        let features = self.features();
        let (form, same) = (self.place.form, &self.provers.same);
        let differs = |prover: &mut Prover, payload: u64| {
            let (Some(own), Ok(changed)) = (self.place.proof(payload), broken.instantiate(form, payload))
            else {
                return true;
            };
            let operands = form.layout.decode(payload).unwrap_or_default();
            let dead = |&features: &Features| broken.contract(&Site { form, operands, features }).dead;
            let dead = features.iter().map(dead).reduce(RegSet::intersect).unwrap_or(RegSet::EMPTY);
            prepare::proof_fault(broken, form, payload, &changed).is_some()
                || !same.are(prover, &own, &changed, dead)
        };
        let other = self.first_of_all(broken, mutant, |payloads| {
            let found = payloads.into_par_iter().map_init(|| Same::prover(QUICKLY), differs);
            found.any(|differs| differs).then_some(())
        });
        other.is_none() && self.is_proved()
    }

    fn is_proved(&self) -> bool {
        *self.is_proved.get_or_init(|| {
            let features = self.features();
            let row = Claimed { kop: self.place.kop, form: self.place.form, arch: self.place.arch };
            let space = self.space.get_or_init(|| self.space());
            (0..space.len()).step_by(MOST_PER_CHUNK as usize).all(|from| {
                let payloads = space.payloads(self.place.form, from, space.len().min(from + MOST_PER_CHUNK));
                self.place.kop.expect(&payloads, &features);
                let claims = &self.provers.thorough;
                claims.tally(row, &features, &AsChecked, payloads.into_par_iter()).failures.is_empty()
            })
        })
    }

    /// The first thing that `look` finds for payloads that the change does something to.
    fn first_of_all<T>(
        &self,
        broken: &Broken,
        mutant: &Mutant,
        mut look: impl FnMut(Vec<u64>) -> Option<T>,
    ) -> Option<T> {
        let features = self.features();
        // Most that are not equivalent are not for the first payload.
        let (first, others) = mutant.payloads.split_at(1);
        if let Some(found) = look(first.to_vec()).or_else(|| look(others.to_vec())) {
            return Some(found);
        }
        let space = self.space.get_or_init(|| self.space());
        let (mut from, mut chunk) = (0, FIRST_CHUNK);
        while from < space.len() {
            let to = space.len().min(from + chunk);
            let payloads = space.payloads(self.place.form, from, to);
            self.place.kop.expect(&payloads, &features);
            let differing = payloads.into_par_iter().filter(|&payload| broken.differs(payload, &features));
            if let Some(found) = look(differing.collect()) {
                return Some(found);
            }
            (from, chunk) = (to, (chunk * 4).min(MOST_PER_CHUNK));
        }
        None
    }

    /// The payloads that a mutant is proved for.
    fn space(&self) -> Space {
        if self.place.form.layout.combinations() > MOST_PROVED {
            return Space::Some(cover(self.place.form, self.plan.payloads(self.place.form).collect()));
        }
        Space::of(self.place.kop, self.place.form, (self.place.arch, &self.settings.scope), &[])
    }

    fn features(&self) -> Vec<Features> {
        self.settings.scope.feature_sets(self.place.kop, self.place.arch)
    }

    fn why_undecided(&self, broken: &Broken, failure: &Failure) -> String {
        let row = Claimed { kop: broken, form: self.place.form, arch: self.place.arch };
        match self.provers.thorough.explain(row, failure).kind {
            FailureKind::Refuted(_) => "the prover has a counterexample that no engine ran".to_owned(),
            FailureKind::Unsupported(reason) => reason.to_string(),
            FailureKind::Timeout => "not decided in time".to_owned(),
            FailureKind::Callbacks(reason) => reason,
        }
    }
}

/// Looks at a proof sequence by itself.
struct Alone;

impl Inspection for Alone {
    fn fault(
        &self,
        row: Claimed,
        payload: u64,
        proof: &[Insn],
        _emissions: &[(Features, Emission)],
    ) -> Option<(Features, String)> {
        let fault = prepare::proof_fault(row.kop, row.form, payload, proof);
        fault.map(|message| (Features::NONE, message))
    }
}
