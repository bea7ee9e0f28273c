// SPDX-License-Identifier: GPL-2.0-or-later
//! Sites in place of code that branches: lookups for ladders of comparisons, selects for diamonds, counts for loops over bits.
//!
//! This comes behind straight code, and works on the program with the sites that are there already. Each change is a claim of its own:
//! the code from the branch to where its sides meet, jumps included, against what is to stand there.

mod bits;
#[cfg(test)]
mod bits_tests;
mod chain;
#[cfg(test)]
mod chain_tests;
mod chains;
mod diamond;
mod ladder;
mod ladders;
mod linear;
mod loops;
mod searches;
mod splice;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;

use kop_ops::ebpf::{Insn, RegSet};
use kop_ops::payload::Operands;
use kop_ops::program::SiteTarget;
use kop_ops::{Flow, Program};

use super::constants::Constants;
use super::liveness::Liveness;
use super::plan::Reason;
use super::site::{self, NewSite};
use super::{Claim, Found, Miss, Options, Planted, Validator};
use crate::load::operation;
use diamond::Diamond;
use loops::{Count, Loop};
pub(super) use splice::Splice;

/// One program on its way.
pub(super) struct Branching<'a, 'v> {
    pub options: &'a Options<'a>,
    pub validator: &'v mut dyn Validator,
    /// The index of the program in its object.
    pub number: usize,
    /// The program as it is by now.
    pub program: Program,
    /// The index in the program, as it was, of each instruction.
    pub origins: Vec<usize>,
    /// What sites call.
    pub operations: Vec<SiteTarget>,
    pub found: Vec<Found>,
    pub misses: Vec<Miss>,
}

/// What sites stand in place of.
enum Shape {
    Loop(Loop),
    Diamond(Diamond),
}

impl Shape {
    fn range(&self) -> Range<usize> {
        match self {
            Shape::Loop(turns) => turns.range.clone(),
            Shape::Diamond(diamond) => diamond.range(),
        }
    }

    /// The operation that a near miss names, and the form.
    fn operation(&self, flow: &Flow) -> (&'static str, &'static str) {
        match self {
            Shape::Loop(turns) => turns.operation(flow),
            Shape::Diamond(_) => ("select", "compare64"),
        }
    }
}

/// A change that was proved.
struct Made {
    splice: Splice,
    found: Vec<Found>,
}

impl<'a> Branching<'a, '_> {
    /// Makes every site that there is.
    pub fn run(&mut self) {
        self.searches();
        self.ladders();
        // A profile says nothing of the branch that is left of a chain.
        let mut seen = self.chains();
        while let Some(shape) = self.next(&mut seen) {
            let made = match &shape {
                Shape::Loop(turns) => self.count(turns),
                Shape::Diamond(diamond) => self.select(diamond),
            };
            // A branch that was made is none to look at.
            let head = self.origins[shape.range().start];
            match made.and_then(|made| self.apply(made)) {
                Ok(()) => {
                    seen.insert(head);
                }
                Err(reason) => {
                    let (at, (kop, form)) = (head, shape.operation(&self.program.flow));
                    let (kop, form) = (kop.to_owned(), form.to_owned());
                    self.misses.push(Miss { program: self.number, at, kop, form, reason });
                }
            }
        }
    }

    /// Makes a change.
    fn apply(&mut self, made: Made) -> Result<(), Reason> {
        let (program, places) = made.splice.apply(&self.program)?;
        self.origins = places.into_iter().map(|place| self.origins[place]).collect();
        self.program = program;
        self.found.extend(made.found);
        Ok(())
    }

    /// The next loop or diamond that was not looked at yet.
    fn next(&self, seen: &mut HashSet<usize>) -> Option<Shape> {
        let flow = &self.program.flow;
        let shapes = (0..flow.insns().len()).filter_map(|index| {
            let turns = Loop::new(flow, index).filter(|turns| turns.takes_bits(flow)).map(Shape::Loop);
            turns.or_else(|| Diamond::new(flow, index).map(Shape::Diamond))
        });
        let place = |shape: &Shape| match shape {
            Shape::Loop(turns) => turns.range.end - 1,
            Shape::Diamond(diamond) => diamond.branch,
        };
        let mut shapes = shapes;
        shapes.find(|shape| seen.insert(self.origins[place(shape)]))
    }

    fn count(&mut self, turns: &Loop) -> Result<Made, Reason> {
        let flow = &self.program.flow;
        if let Some(inside) = turns.entered(flow) {
            let inside = self.origins[inside];
            return Err(format!("a jump goes to instruction {inside}, into the middle of it"));
        }
        let live = Liveness::with_sites(flow, self.options.catalog, &self.operations);
        let live = [turns.range.start, turns.range.end].map(|index| live.before(index));
        let any_step = self.options.planted == Some(Planted::WrongStep);
        let constants = Constants::new(flow);
        let mut reason = "registers do not hold what its first turn needs".to_owned();
        for count in turns.counts(flow, live, any_step)? {
            if !turns.starts(flow, &constants, &count) {
                continue;
            }
            let live = turns.kept(flow, &count, live);
            let claim = Claim { fragment: turns.turn(flow, &count), replacement: count.turn(), live };
            match proved(self.options, self.validator, &claim) {
                Ok(proved) => return self.counted(turns, &count, (claim, proved)),
                Err(why) => reason = format!("a turn is another: {why}"),
            }
        }
        Err(reason)
    }

    fn counted(
        &mut self,
        turns: &Loop,
        count: &Count,
        (claim, how): (Claim, String),
    ) -> Result<Made, Reason> {
        let (kop, form) = count.operation();
        let [dst, tmp] = count.temporaries.map(|register| register as i64);
        let operands = [("dst", dst), ("src", count.left as i64), ("tmp", tmp)];
        let site = self.site(turns.range.start, (kop, form), &operands)?;
        let proved = format!("by induction over its turns, one of which was proved {how}");
        Ok(self.made(turns.range.clone(), (Vec::new(), &site, count.rest()), (claim, proved)))
    }

    fn select(&mut self, diamond: &Diamond) -> Result<Made, Reason> {
        let flow = &self.program.flow;
        let live = Liveness::with_sites(flow, self.options.catalog, &self.operations).before(diamond.join);
        let planted = self.options.planted;
        let kept = if planted == Some(Planted::IgnoredLiveness) { RegSet::EMPTY } else { live };
        let choice = diamond.choice(flow, (live, kept), planted == Some(Planted::SwappedSides))?;
        // What is no select anyway needs no profile.
        self.options.branches.allows(self.number, self.origins[diamond.branch])?;
        if let Some(inside) = diamond.entered(flow) {
            let inside = self.origins[inside];
            return Err(format!("a jump goes to instruction {inside}, into the middle of it"));
        }
        let site = self.site(diamond.branch, ("select", choice.form), &choice.operands)?;
        let claim = Claim {
            fragment: flow.insns()[diamond.range()].to_vec(),
            replacement: choice.code.iter().chain(&site.proof).chain(&choice.after).copied().collect(),
            live,
        };
        let proved = proved(self.options, self.validator, &claim)?;
        let after = choice.after.into_iter().collect();
        Ok(self.made(diamond.range(), (choice.code, &site, after), (claim, proved)))
    }

    fn site(
        &self,
        at: usize,
        (kop, form): (&str, &str),
        operands: &[(&str, i64)],
    ) -> Result<NewSite<'a>, Reason> {
        let known = site::find(self.options.catalog, kop, form);
        let known = known.ok_or_else(|| format!("there is no operation {kop}.{form} here"))?;
        let value = |name: &str| operands.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let fields = known.1.layout.fields().iter();
        let values: Vec<i64> =
            fields.map(|field| value(&field.name).expect("every operand is named")).collect();
        let operands = Operands::new(&values);
        let refused =
            || format!("{kop}.{form} does not take these operands: {}", known.1.layout.show(&operands));
        NewSite::new(known, operands, at, Vec::new()).ok_or_else(refused)
    }

    /// A site with instructions before and behind it, in place of a range.
    fn made(
        &mut self,
        range: Range<usize>,
        (before, site, behind): (Vec<Insn>, &NewSite, Vec<Insn>),
        (claim, proved): (Claim, String),
    ) -> Made {
        let id = operation(&mut self.operations, site.kop.name(), &site.form.name);
        let mut code = before;
        code.extend(Insn::kop_site(site.payload, id, 0));
        code.extend(behind);
        let gone: Vec<usize> = range.clone().collect();
        let found = self.found(range.start, site, &gone, (claim, proved));
        Made { splice: Splice::of_range(range, code), found: vec![found] }
    }

    /// What is told of a site at `at`, in place of the instructions that go.
    fn found(&self, at: usize, site: &NewSite, gone: &[usize], (claim, proved): (Claim, String)) -> Found {
        let mut removed: Vec<usize> = gone.iter().map(|index| self.origins[*index]).collect();
        removed.sort_unstable();
        removed.dedup();
        Found {
            program: self.number,
            at: self.origins[at],
            kop: site.kop.name().to_owned(),
            form: site.form.name.to_string(),
            operands: site.form.layout.show(&site.operands).to_string(),
            removed,
            claim,
            proved,
        }
    }
}

/// How a claim is proved.
///
/// # Errors
/// Why it is not.
fn proved(options: &Options, validator: &mut dyn Validator, claim: &Claim) -> Result<String, Reason> {
    match options.checked {
        true => validator.validate(claim),
        false => Ok("not checked".to_owned()),
    }
}
