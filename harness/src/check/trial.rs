// SPDX-License-Identifier: GPL-2.0-or-later
//! The check of one form, unit by unit on the thread that asks: the payloads, states and engines of [`check`](super::check()), for
//! those who want to know when it finds the first mistake.

use std::time::{Duration, Instant};

use kop_ops::{Form, Kop};

use super::round::{INSPECTIONS, Target, Unit, run_unit, units, unplaced};
use super::{DEFAULT_STATES, Settings};
use crate::finding::Finding;
use crate::generate::Planned;
use crate::rig::Rig;
use crate::turns;

/// What a check of a form runs: that of its first round.
pub struct Plan {
    number: usize,
    /// Before pointers are given their places, which depends on the proof.
    raw: Vec<Planned>,
    planned: Vec<Planned>,
    took: Duration,
}

impl Plan {
    /// The plan of the form with this number among those of a catalog.
    pub fn new(kop: &dyn Kop, form: &Form, number: usize, settings: &Settings) -> Self {
        let start = Instant::now();
        let raw = unplaced(kop, form, settings, settings.seed, number);
        let planned = shared(kop, form, &raw, settings);
        Plan { number, raw, planned, took: start.elapsed() }
    }

    /// How long planning took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The payloads, in the order in which they run.
    pub fn payloads<'p>(&'p self, form: &'p Form) -> impl Iterator<Item = u64> + 'p {
        self.planned.iter().map(|planned| form.layout.pack(&planned.operands))
    }
}

fn shared(kop: &dyn Kop, form: &Form, raw: &[Planned], settings: &Settings) -> Vec<Planned> {
    let mut planned = raw.to_vec();
    turns::share(kop, form, &mut planned, settings.states >= DEFAULT_STATES);
    planned
}

/// A check of one form that can be stopped after any unit.
pub struct Trial<'a> {
    target: Target<'a>,
    units: Vec<Unit>,
    settings: &'a Settings,
}

impl<'a> Trial<'a> {
    /// A check by a plan that was made for an operation with the same forms, rules and, unless `has_other_proof`, proof sequences.
    pub fn new(
        kop: &'a dyn Kop,
        form: &'a Form,
        plan: &Plan,
        has_other_proof: bool,
        settings: &'a Settings,
    ) -> Self {
        let planned =
            if has_other_proof { shared(kop, form, &plan.raw, settings) } else { plan.planned.clone() };
        let target = Target { kop, form, planned };
        let mut units = units(std::slice::from_ref(&target), &INSPECTIONS);
        // The number is what the choices of a unit are made from.
        units.iter_mut().for_each(|unit| unit.target = plan.number);
        Trial { target, units, settings }
    }

    /// How many units of work there are.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// The first that is wrong in a unit, by its number.
    pub fn run(&self, rig: &mut Rig, number: usize) -> Option<Finding> {
        let unit = &self.units[number];
        let result = run_unit(rig, &self.target, unit, self.settings.seed, self.settings, None);
        result.findings.into_iter().next().map(|(finding, _)| finding)
    }
}
