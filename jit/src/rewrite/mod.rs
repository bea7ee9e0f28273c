// SPDX-License-Identifier: GPL-2.0-or-later
//! Rewriting: plain instructions become Kop sites that compute the same.
//!
//! A program is cut into straight regions ([`region`]), in which every register's content is a value ([`value`]). A value that is
//! an operation on others ([`recognise`]) gets a site ([`plan`]): where it stands, which registers it takes, which instructions go
//! because nothing else needs them. What does not go keeps its order. Then the edit is looked at anew ([`claim`]), without what
//! led to it: what matters behind, where jumps go, what the operation leaves in its temporaries; and a [`Validator`] proves the rest
//! or refuses it. Behind that come sites in place of branches ([`branches`]).

mod assemble;
mod attempt;
mod branches;
mod claim;
mod constants;
mod context;
#[cfg(test)]
mod fill_tests;
mod function;
mod liveness;
mod near;
#[cfg(test)]
mod operation_tests;
#[cfg(test)]
mod pair_tests;
mod plan;
mod planted;
mod profile;
mod recognise;
mod region;
mod site;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
mod value;
mod wanted;
#[cfg(test)]
mod wide_tests;

use std::collections::HashSet;
use std::ops::Range;

use kop_ops::ebpf::{Insn, Reg};
use kop_ops::program::SiteTarget;
use kop_ops::{Arch, Catalog, Object, Program};

pub use claim::Claim;
pub use planted::Planted;
pub use profile::{Branch, Branches, Profile};

use crate::lower::lower;
use branches::Branching;
use constants::Constants;
use context::Contexts;
use liveness::Liveness;
use plan::{Edit, Planner};
use recognise::{Match, recognise, recognise_loads, recognise_stores};
use region::{Item, Region, regions, targets, turns};
use value::{Graph, Node, Registers, Value};

/// Decides whether a rewrite is right.
pub trait Validator {
    /// Decides a claim: how it was shown to hold, in a few words.
    ///
    /// # Errors
    /// Why it does not hold, or why that is not known.
    fn validate(&mut self, claim: &Claim) -> Result<String, String>;
}

/// How programs are rewritten.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The operations that may be used.
    pub catalog: &'a Catalog<'a>,
    /// The architecture that sites have to pay on; without one, on each.
    pub arch: Option<Arch>,
    /// What happens to branches that a select can stand for.
    pub branches: Branches<'a>,
    /// A mistake to be made.
    pub planted: Option<Planted>,
    /// Whether edits are looked at before they are made. Only a test of what comes behind does without.
    pub checked: bool,
}

impl<'a> Options<'a> {
    /// Rewriting with the operations of `catalog`.
    pub fn new(catalog: &'a Catalog<'a>) -> Self {
        Self { catalog, arch: None, branches: Branches::Left, planted: None, checked: true }
    }
}

/// A site that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The index of the program in its object.
    pub program: usize,
    /// The index in the program, as it was, of the instruction in whose place it stands.
    pub at: usize,
    /// The operation.
    pub kop: String,
    /// Its form.
    pub form: String,
    /// The operands, as `dst=r3 src=r1`.
    pub operands: String,
    /// The indices, as they were, of the instructions that went, ascending; `at` is one of them.
    pub removed: Vec<usize>,
    /// What was proved.
    pub claim: Claim,
    /// How it was proved.
    pub proved: String,
}

/// What looks like an operation and is no site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The index of the program in its object.
    pub program: usize,
    /// The index of the instruction with the result.
    pub at: usize,
    /// The operation.
    pub kop: String,
    /// Its form.
    pub form: String,
    /// Why it is none.
    pub reason: String,
}

/// An object with sites.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The object; programs and maps keep their order.
    pub object: Object,
    /// The sites that were made, by program and index.
    pub found: Vec<Found>,
    /// What is no site, by program and index.
    pub misses: Vec<Miss>,
}

/// Rewrites every program of an object.
pub fn rewrite(object: &Object, options: &Options, validator: &mut dyn Validator) -> Rewritten {
    let mut rewritten = Rewritten { object: object.clone(), found: Vec::new(), misses: Vec::new() };
    for (number, program) in object.programs.iter().enumerate() {
        let rewritten_program = straight(object, number, options, validator, &mut rewritten);
        let (program, origins) = rewritten_program.unwrap_or_else(|| {
            let count = program.flow.insns().len();
            (program.clone(), (0..count).collect())
        });
        let operations = rewritten.object.operations.clone();
        let (found, misses) = (Vec::new(), Vec::new());
        let mut branching =
            Branching { options, validator, number, program, origins, operations, found, misses };
        branching.run();
        rewritten.misses.append(&mut branching.misses);
        if !branching.found.is_empty() {
            let (program, operations) = (branching.program, branching.operations);
            match admitted(program, operations, options) {
                Ok((program, operations)) => {
                    rewritten.object.programs[number] = program;
                    rewritten.object.operations = operations;
                    rewritten.found.append(&mut branching.found);
                }
                Err(reason) => rewritten.refuse(branching.found, &reason),
            }
        }
    }
    rewritten.found.sort_by_key(|found| (found.program, found.at));
    rewritten.misses.sort_by_key(|miss| (miss.program, miss.at));
    rewritten
}

/// Rewrites what is straight in a program: the program, and the index before of each of its instructions; nothing where there is no site.
fn straight(
    object: &Object,
    number: usize,
    options: &Options,
    validator: &mut dyn Validator,
    rewritten: &mut Rewritten,
) -> Option<(Program, Vec<usize>)> {
    let program = &object.programs[number];
    let live = Liveness::with_sites(&program.flow, options.catalog, &object.operations);
    let mut rewriter = Rewriter {
        program,
        live: &live,
        number,
        options,
        validator,
        graph: Graph::default(),
        is_target: targets(&program.flow),
        turns: turns(&program.flow),
        contexts: Contexts::new(program),
        constants: Constants::new(&program.flow),
        found: Vec::new(),
        misses: Vec::new(),
        told: HashSet::new(),
    };
    let items = rewriter.items();
    let (found, misses) = (rewriter.found, rewriter.misses);
    rewritten.misses.extend(misses.into_iter().map(|(_, miss)| miss));
    if found.is_empty() {
        return None;
    }
    let mut operations = rewritten.object.operations.clone();
    let assembled = assemble::assemble(program, &items, &mut operations);
    let assembled = assembled.map_err(|error| error.to_string()).and_then(|(program, origins)| {
        admitted(program, operations, options).map(|admitted| (admitted, origins))
    });
    match assembled {
        Ok(((program, operations), origins)) => {
            rewritten.object.programs[number] = program.clone();
            rewritten.object.operations = operations;
            rewritten.found.extend(found);
            Some((program, origins))
        }
        Err(reason) => {
            rewritten.refuse(found, &reason);
            None
        }
    }
}

/// The program, if the kernel would take it with these operations.
fn admitted(
    program: Program,
    operations: Vec<SiteTarget>,
    options: &Options,
) -> Result<(Program, Vec<SiteTarget>), String> {
    let alone =
        Object { programs: vec![program.clone()], operations: operations.clone(), ..Object::default() };
    lower(&alone, options.catalog).map_err(|error| error.to_string())?;
    Ok((program, operations))
}

impl Rewritten {
    /// Sites that cannot stay, for one reason.
    fn refuse(&mut self, found: Vec<Found>, reason: &str) {
        let misses = found.into_iter().map(|Found { program, at, kop, form, .. }| Miss {
            program,
            at,
            kop,
            form,
            reason: reason.to_owned(),
        });
        self.misses.extend(misses);
    }
}

/// In how many places an operation that stands for several loads or stores is tried once one was refused.
const PLACES: usize = 3;

/// One program on its way.
struct Rewriter<'a, 'v> {
    program: &'a Program,
    live: &'a Liveness,
    number: usize,
    options: &'a Options<'a>,
    validator: &'v mut dyn Validator,
    graph: Graph,
    is_target: Vec<bool>,
    /// Short loops, by their instructions.
    turns: Vec<Range<usize>>,
    contexts: Contexts,
    constants: Constants,
    found: Vec<Found>,
    /// With the value that is no site, unless that is a store.
    misses: Vec<(Option<Value>, Miss)>,
    /// Loads and stores, by their indices, that a near miss of this operation has among others.
    told: HashSet<(&'static str, usize)>,
}

impl<'a> Rewriter<'a, '_> {
    /// What stands in the program afterwards.
    fn items(&mut self) -> Vec<Item<'a>> {
        let flow = &self.program.flow;
        let seen = match self.options.planted {
            Some(Planted::IgnoredTarget) => vec![false; flow.insns().len()],
            _ => self.is_target.clone(),
        };
        let mut items = Vec::with_capacity(flow.insns().len());
        for range in regions(flow, &seen) {
            items.extend(self.rewrite(Region::new(flow, self.live, range)));
        }
        self.entered_misses();
        items
    }

    /// What registers hold where a region begins.
    fn start(&mut self, region: &Region) -> Registers {
        let mut start = self.graph.entry();
        let Some(first) = region.items.first().map(Item::origin) else { return start };
        for register in Reg::WRITABLE {
            if let Some(number) = self.constants.before(first, register) {
                start[register.index()] = self.graph.value(Node::Constant(number));
            }
        }
        start
    }

    /// A region with all of its sites. The last values come first: what they are computed from is part of them.
    fn rewrite(&mut self, mut region: Region<'a>) -> Vec<Item<'a>> {
        let start = self.start(&region);
        let mut states = self.graph.states(&region, start);
        let mut place = region.items.len();
        while place > 0 {
            place -= 1;
            if let Some(edit) = self.edit((&region, &states), place) {
                place = edit.resume;
                region.items = edit.items;
                states = self.graph.states(&region, start);
            }
        }
        region.items
    }

    /// What the instruction at `place` computes, and the operations that it may be the last part of.
    fn matches(
        &self,
        (region, states): (&Region, &[Registers]),
        place: usize,
    ) -> (Option<Value>, Vec<Match>) {
        match region.insn(place) {
            Some(Insn::Store { .. }) => (None, recognise_stores(&self.graph, (region, states), place)),
            Some(Insn::Load { dst, .. }) => {
                let value = states[place + 1][dst.index()];
                (Some(value), recognise_loads(&self.graph, (region, states), place))
            }
            Some(insn) if value::is_pure(insn) => {
                let written = insn.writes().iter().next();
                let value = written.map(|register| states[place + 1][register.index()]);
                let mut matches = value.map_or(Vec::new(), |value| recognise(&self.graph, value));
                // A loop that takes away bits is worth more as a whole.
                let origin = region.items[place].origin();
                if self.turns.iter().any(|turns| turns.contains(&origin)) {
                    matches.retain(|found| found.kop != "lowest_bit");
                }
                (value, matches)
            }
            _ => (None, Vec::new()),
        }
    }

    /// The first edit for what the instruction at `place` computes that is allowed and proved.
    fn edit(&mut self, (region, states): (&Region<'a>, &[Registers]), place: usize) -> Option<Edit<'a>> {
        let (value, matches) = self.matches((region, states), place);
        let mut missed = None;
        for found in matches {
            match self.try_edit((region, states), place, &found) {
                Ok(edit) => return Some(edit),
                Err(reason) => missed = missed.or(Some((found, reason))),
            }
        }
        let (found, reason) = missed?;
        self.missed((region.items[place].origin(), value), &found, reason);
        None
    }

    fn try_edit(
        &mut self,
        (region, states): (&Region<'a>, &[Registers]),
        place: usize,
        found: &Match,
    ) -> Result<Edit<'a>, String> {
        let mut accesses = found.loads.iter().chain(&found.stores);
        accesses.try_for_each(|access| self.contexts.allows(*access))?;
        let planted = self.options.planted;
        let (mut refused, mut first) = (Vec::new(), None);
        let (edit, (claim, proved)) = loop {
            let (catalog, graph, refused_there) = (self.options.catalog, &self.graph, refused.clone());
            let arch = self.options.arch;
            let planner = Planner { catalog, region, graph, states, arch, planted, refused: refused_there };
            let edit = match planner.plan(place, found) {
                Ok(edit) => edit,
                Err(reason) => return Err(first.unwrap_or(reason)),
            };
            match self.validate((region, states), &edit) {
                Ok(proved) => break (edit, proved),
                // What is accessed between several loads or stores decides where a site may stand.
                Err(reason) if found.loads.len() + found.stores.len() > 1 && refused.len() < PLACES => {
                    refused.push(edit.site().at);
                    first = first.or(Some(reason));
                }
                Err(reason) => return Err(reason),
            }
        };
        let site = edit.site();
        let is_made = |value: &Value| site.values.iter().any(|(_, made)| made == value);
        self.misses.retain(|(value, _)| !value.as_ref().is_some_and(is_made));
        self.found.push(Found {
            program: self.number,
            at: site.at,
            kop: site.kop.name().to_owned(),
            form: site.form.name.to_string(),
            operands: site.form.layout.show(&site.operands).to_string(),
            removed: edit.removed.iter().map(|place| region.items[*place].origin()).collect(),
            claim,
            proved,
        });
        Ok(edit)
    }

    fn validate(
        &mut self,
        (region, states): (&Region, &[Registers]),
        edit: &Edit,
    ) -> Result<(Claim, String), String> {
        if !self.options.checked {
            let none = Claim { fragment: Vec::new(), replacement: Vec::new(), live: region.live_out };
            return Ok((none, "not checked".to_owned()));
        }
        let mut reason = String::new();
        for claim in claim::claims(&self.graph, (region, states), edit, &self.is_target)? {
            match self.validator.validate(&claim) {
                Ok(proved) => return Ok((claim, proved)),
                Err(why) => reason = why,
            }
        }
        Err(reason)
    }
}
