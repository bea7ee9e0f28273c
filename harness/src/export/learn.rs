// SPDX-License-Identifier: GPL-2.0-or-later
//! Statements from questions: a tree grown from a few thousand points, held against many more, and grown again with what
//! was wrong.

use std::collections::HashSet;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Arch, Features, Form, Kop, Operands, Site};
use rayon::prelude::*;

use super::ExportError;
use super::program::{Merge, Statement, run, statements};
use super::target::{Outcome, Point, Subject, Target};
use super::tree::{Grower, Sample};
use crate::generate;

/// How many payloads a tree is grown from at first.
const FIRST: usize = 2500;

/// Up to how many combinations of operands are all held against the tree.
const EVERY: u64 = 1 << 19;

/// How many random payloads are, where there are more.
const RANDOM: usize = 100_000;

/// Up to how many values of a field are all held against the tree, with random values of the others.
const SWEEP: u64 = 1 << 17;

/// How often a tree is grown anew before the attempt is given up.
const ROUNDS: usize = 60;

/// How many wrong points are added a round.
const WRONG: usize = 150;

/// How many points are held against a program at once.
const SAMPLE: usize = 10_000;

/// States that `generate::plan` gives a payload at least.
const STATES: usize = 8;

/// A form whose parts are learned.
pub struct Learner<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    /// Operands to start from, and operands to check with.
    first: Vec<Operands>,
    all: Vec<Operands>,
}

impl<'a> Learner<'a> {
    /// Plans the payloads of a form.
    pub fn new(kop: &'a dyn Kop, form: &'a Form) -> Self {
        let mut choices = Seeded::derived(0, &[0x6578_706f_7274]);
        let planned = |payloads: usize, choices: &mut Seeded| -> Vec<Operands> {
            let plan = generate::plan(kop, form, STATES * payloads, choices);
            plan.into_iter().map(|planned| planned.operands).collect()
        };
        let first = planned(FIRST, &mut choices);
        let all = if form.layout.combinations() <= EVERY {
            let every = (0..form.layout.combinations()).map(|index| form.layout.combination(index));
            every.filter(|operands| is_admitted(kop, form, operands)).collect()
        } else {
            let mut all = planned(16 * FIRST, &mut choices);
            all.extend(sweeps(kop, form, &mut choices));
            all.extend((0..RANDOM).filter_map(|_| generate::random_operands(kop, form, &mut choices)));
            all
        };
        Self { kop, form, first, all }
    }

    /// Valid operands of all kinds.
    pub fn operands(&self) -> &[Operands] {
        &self.first
    }

    /// The statements of a target, over CPUs with and without the features that may be used in a kernel.
    ///
    /// # Errors
    /// [`ExportError::Unsettled`] when none were found that are right everywhere.
    pub fn target(&self, target: Target) -> Result<Vec<Statement>, ExportError> {
        let subject = Subject { kop: self.kop, form: self.form, target };
        let features = match target {
            Target::Proof => vec![Features::NONE],
            Target::Native(arch) => self.kop.features(arch).without_simd().subsets(),
        };
        let points = |operands: &[Operands]| -> Vec<Point> {
            let with = |operands: &Operands| {
                let operands = *operands;
                features.iter().map(move |&features| Point { operands, features })
            };
            operands.iter().flat_map(with).collect()
        };
        let what = match target {
            Target::Proof => "proof sequence",
            Target::Native(Arch::X86_64) => "x86_64 emit",
            Target::Native(Arch::Aarch64) => "aarch64 emit",
        };
        let answer = |point: &Point, texts| subject.outcome(point, texts);
        self.learn(target, what, points(&self.first), &points(&self.all), answer)
    }

    /// The statements of the rules between operands: no instructions where they are kept.
    ///
    /// # Errors
    /// As [`Learner::target`].
    pub fn rules(&self) -> Result<Vec<Statement>, ExportError> {
        let answer = |point: &Point, _| {
            let site = Site { form: self.form, operands: point.operands, features: Features::NONE };
            match self.kop.admits(&site) {
                Ok(()) => Outcome::Code(Vec::new()),
                Err(reject) => Outcome::Refused(reject.to_string()),
            }
        };
        let points = self.within_layout();
        let first = points.iter().step_by(points.len().div_ceil(FIRST)).copied().collect();
        self.learn(Target::Proof, "rules between operands", first, &points, answer)
    }

    /// Points that the layout allows, whether the rules do or not.
    fn within_layout(&self) -> Vec<Point> {
        let layout = &self.form.layout;
        let combinations = layout.combinations();
        let every: Vec<Operands> = if combinations <= EVERY {
            (0..combinations).map(|index| layout.combination(index)).collect()
        } else {
            let mut choices = Seeded::derived(0, &[0x72_756c_6573]);
            let random = (0..2 * RANDOM).map(|_| layout.combination(choices.below(combinations)));
            random.chain(self.all.iter().copied()).collect()
        };
        every
            .into_iter()
            .filter(|operands| layout.encode(operands).is_ok())
            .map(|operands| Point { operands, features: Features::NONE })
            .collect()
    }

    fn learn(
        &self,
        target: Target,
        what: &'static str,
        first: Vec<Point>,
        all: &[Point],
        answer: impl Fn(&Point, bool) -> Outcome + Sync,
    ) -> Result<Vec<Statement>, ExportError> {
        let unsettled = || ExportError::Unsettled { form: self.form.name.to_string(), what };
        let mut known: HashSet<Point> = HashSet::new();
        let mut samples: Vec<Sample> = Vec::new();
        let mut news = first;
        for _ in 0..ROUNDS {
            news.retain(|point| known.insert(*point));
            samples.extend(news.iter().map(|point| Sample::new(target, *point, answer(point, true))));
            let grower = Grower { target, fields: self.form.layout.fields() };
            let borrowed: Vec<&Sample> = samples.iter().collect();
            let tree = grower.grow(&borrowed).ok_or_else(unsettled)?;
            let mut wrong = Vec::new();
            for merge in [Merge::Covering, Merge::Same] {
                let program = statements(&tree, target, merge);
                wrong = wrong_points(&program, target, all, &answer);
                if wrong.is_empty() {
                    return Ok(program);
                }
            }
            // An even sample: neighbours say little that is new.
            let step = wrong.len().div_ceil(WRONG);
            wrong = wrong.into_iter().step_by(step).collect();
            news = wrong;
        }
        Err(unsettled())
    }
}

/// Points where the program is wrong: those of the first of many even samples that has some.
fn wrong_points(
    program: &[Statement],
    target: Target,
    all: &[Point],
    answer: &(impl Fn(&Point, bool) -> Outcome + Sync),
) -> Vec<Point> {
    let is_wrong = |point: &&Point| run(program, point, target) != answer(point, false);
    let samples = all.len().div_ceil(SAMPLE);
    (0..samples)
        .map(|sample| {
            let points: Vec<&Point> = all.iter().skip(sample).step_by(samples).collect();
            points.into_par_iter().filter(is_wrong).copied().collect::<Vec<Point>>()
        })
        .find(|wrong| !wrong.is_empty())
        .unwrap_or_default()
}

fn is_admitted(kop: &dyn Kop, form: &Form, operands: &Operands) -> bool {
    form.layout.encode(operands).is_ok()
        && kop.admits(&Site { form, operands: *operands, features: Features::NONE }).is_ok()
}

/// Every value of each field that is too wide for the plan, with random values of the others.
fn sweeps(kop: &dyn Kop, form: &Form, choices: &mut Seeded) -> Vec<Operands> {
    let mut found = Vec::new();
    for (index, field) in form.layout.fields().iter().enumerate() {
        if field.count() > SWEEP {
            continue;
        }
        let (min, max) = field.range();
        for value in min..=max {
            let Some(mut operands) = generate::random_operands(kop, form, choices) else { continue };
            operands.values_mut()[index] = value;
            if is_admitted(kop, form, &operands) {
                found.push(operands);
            }
        }
    }
    found
}
