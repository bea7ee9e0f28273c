// SPDX-License-Identifier: GPL-2.0-or-later
//! How a region becomes one with a site: which registers the site takes, where it stands, and which instructions go.

use std::ops::Range;

use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::payload::{Operands, Role};
use kop_ops::{Arch, Catalog};

use super::attempt::Attempt;
use super::planted::Planted;
use super::recognise::Match;
use super::region::{Item, Region};
use super::site::{self, NewSite};
use super::value::{Graph, Registers, is_pure};
use super::wanted::Wanted;

/// A region with one site more.
#[derive(Clone, Debug)]
pub(super) struct Edit<'a> {
    /// What stands there afterwards.
    pub items: Vec<Item<'a>>,
    /// The place of the site there.
    pub place: usize,
    /// The places before of the instructions that go, ascending.
    pub removed: Vec<usize>,
    /// The place before, one of those, where a move from the site's result stands.
    pub moved: Option<usize>,
    /// The place afterwards from which on, downwards, nothing has been looked at yet.
    pub resume: usize,
}

impl<'a> Edit<'a> {
    /// The site.
    pub fn site(&self) -> &NewSite<'a> {
        match &self.items[self.place] {
            Item::Site(site) => site,
            _ => unreachable!("the place of an edit is that of its site"),
        }
    }

    /// How many instructions fewer there are, the site aside.
    fn saves(&self) -> usize {
        self.removed.len() - usize::from(self.moved.is_some())
    }

    /// The places before from the first to the last store that goes; empty where none does.
    pub fn stores(&self, region: &Region) -> Range<usize> {
        let mut stores = self
            .removed
            .iter()
            .copied()
            .filter(|place| matches!(region.insn(*place), Some(Insn::Store { .. })));
        let first = stores.next();
        let last = stores.next_back().or(first);
        first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
    }

    /// The first and the last place before of what goes.
    pub fn span(&self) -> (usize, usize) {
        let ends = self.removed.first().zip(self.removed.last());
        ends.map(|(first, last)| (*first, *last)).expect("a site takes the place of an instruction")
    }
}

/// Why there is no site, in the words of a near miss.
pub(super) type Reason = String;

/// What is planned for.
pub(super) struct Planner<'r, 'a> {
    /// The operations.
    pub catalog: &'r Catalog<'a>,
    /// The region.
    pub region: &'r Region<'a>,
    /// The values.
    pub graph: &'r Graph,
    /// What registers hold before each of its items, and behind the last.
    pub states: &'r [Registers],
    /// The architecture that sites have to pay on, if not on each.
    pub arch: Option<Arch>,
    /// The mistake to be made.
    pub planted: Option<Planted>,
    /// The instructions, by their indices in the program, in whose place a site was refused.
    pub refused: Vec<usize>,
}

impl<'a> Planner<'_, 'a> {
    /// The best site for what the instruction at `root` computes: that for which most instructions go.
    ///
    /// # Errors
    /// Why there is none.
    pub fn plan(&self, root: usize, found: &Match) -> Result<Edit<'a>, Reason> {
        let (mut best, mut reason) = (None, None);
        for attempt in self.attempts(root, found)? {
            self.better(&attempt, &mut best, &mut reason);
        }
        if best.is_none() && !found.is_weighed {
            for attempt in self.early(&self.plain(root, found)) {
                self.better(&attempt, &mut best, &mut None);
            }
        }
        let none = || "what it starts from is in no register any more".to_owned();
        let edit = best.ok_or_else(|| reason.unwrap_or_else(none))?;
        match edit.saves() {
            // A mistake is made whether it pays or not.
            count if found.is_weighed && self.planted.is_none() => self.weighed(edit, count),
            count if count < found.least => Err(format!(
                "{count} of its instructions could go, as the others are needed elsewhere; it pays from {} on",
                found.least
            )),
            _ => Ok(edit),
        }
    }

    /// The edit, if the native code of its site is shorter than the instructions that go.
    fn weighed(&self, edit: Edit<'a>, count: usize) -> Result<Edit<'a>, Reason> {
        let all = Arch::ALL.into_iter().filter(|arch| self.arch.is_none_or(|only| only == *arch));
        let dear = all.map(|arch| (edit.site().native(arch), arch)).find(|(native, _)| *native >= count);
        match dear {
            Some((native, arch)) => Err(format!("it makes {native} of {count} instructions on {arch}")),
            None => Ok(edit),
        }
    }

    /// The edit of an attempt, if it is better than the best.
    fn better(&self, attempt: &Attempt, best: &mut Option<Edit<'a>>, reason: &mut Option<Reason>) {
        match self.attempt(attempt) {
            Ok(edit) if best.as_ref().is_none_or(|best| best.saves() < edit.saves()) => *best = Some(edit),
            Ok(_) => {}
            Err(why) => {
                reason.get_or_insert(why);
            }
        }
    }

    /// The register that the instruction at a place computes; none for a store.
    pub fn written(&self, place: usize) -> Option<Reg> {
        let insn = self.region.insn(place).expect("values are computed and stored by instructions");
        insn.writes().iter().next()
    }

    fn attempt(&self, attempt: &Attempt) -> Result<Edit<'a>, Reason> {
        if self.refused.contains(&self.region.items[attempt.place].origin()) {
            return Err("it was refused there".to_owned());
        }
        let sources: RegSet = attempt.inputs.iter().map(|(_, register)| *register).collect();
        let (removed, live) = self.removed(attempt)?;
        let second = attempt.second.map(|(register, _)| register);
        let result: RegSet = attempt.result.into_iter().chain(second).collect();
        let temporaries = self.temporaries(&removed, live.union(sources).union(result));
        let site = self.site(attempt, &temporaries)?;
        Ok(self.edit(site, attempt, removed))
    }

    /// The places of the instructions that nothing needs once the site stands, and what matters behind the site.
    ///
    /// From the last instruction to the first it is known which register has to hold which value. What leaves a part of the operation
    /// where nothing or something else is wanted goes; what stays wants what it has always read.
    fn removed(&self, attempt: &Attempt) -> Result<(Vec<usize>, RegSet), Reason> {
        let region = self.region;
        let mut wanted = Wanted::default();
        wanted.all(self.seen(region.live_out), &self.states[region.items.len()])?;
        let mut behind = RegSet::EMPTY;
        let mut removed = Vec::new();
        for (place, item) in region.items.iter().enumerate().rev() {
            let before = &self.states[place];
            if place == attempt.place {
                attempt.makes(&mut wanted, attempt.result)?;
                if let Some((register, value)) = attempt.second {
                    wanted
                        .made(register, value)
                        .map_err(|_| format!("{register} is in use where it would be loaded"))?;
                }
                behind = wanted.registers();
                for &(name, register) in &attempt.inputs {
                    wanted.one(register, attempt.input(name, before[register.index()]))?;
                }
            } else if let Some(register) = attempt.moved.filter(|_| place == attempt.root) {
                attempt.makes(&mut wanted, Some(register))?;
                if let Some((result, value)) = attempt.result.zip(attempt.value) {
                    wanted.one(result, value)?;
                }
            } else if place != attempt.root && !self.goes(attempt, place, &wanted) {
                for register in region.writes(item).iter() {
                    wanted.made(register, self.states[place + 1][register.index()])?;
                }
                let named = |_| format!("instruction {} needs what it reads to stay", item.origin());
                wanted.all(region.reads(item), before).map_err(named)?;
                if let Item::Kept(origin) = item {
                    let there = self.seen(region.live.at_target(region.flow, *origin));
                    wanted.all(there, before).map_err(named)?;
                }
                continue;
            }
            removed.push(place);
        }
        wanted.all(wanted.registers(), &self.states[0])?;
        removed.reverse();
        Ok((removed, behind))
    }

    /// What matters elsewhere, as far as it is looked at.
    fn seen(&self, live: RegSet) -> RegSet {
        if self.planted == Some(Planted::IgnoredLiveness) { RegSet::EMPTY } else { live }
    }

    fn goes(&self, attempt: &Attempt, place: usize, wanted: &Wanted) -> bool {
        self.is_part(attempt, place) && {
            let held = |register: Reg| self.states[place + 1][register.index()];
            self.written(place).is_none_or(|register| wanted.of(register) != Some(held(register)))
        }
    }

    /// Whether an instruction does nothing but compute a part of what was found, load or store it.
    pub fn is_part(&self, attempt: &Attempt, place: usize) -> bool {
        let Item::Kept(origin) = self.region.items[place] else { return false };
        if attempt.found.stores.contains(&origin) {
            return true;
        }
        let is_load = attempt.found.loads.contains(&origin);
        let is_value =
            |register: Reg| attempt.found.parts.contains(&self.states[place + 1][register.index()]);
        place < attempt.root
            && (is_load || is_pure(&self.region.flow.insns()[origin]))
            && self.written(place).is_some_and(is_value)
    }

    /// The registers that may hold garbage, those first that the program has written there anyway.
    fn temporaries(&self, removed: &[usize], taken: RegSet) -> Vec<Reg> {
        let mut free: Vec<Reg> = Reg::WRITABLE.into_iter().filter(|register| !taken.has(*register)).collect();
        let written: RegSet = removed.iter().filter_map(|place| self.written(*place)).collect();
        let named =
            self.region.flow.effects().iter().fold(RegSet::EMPTY, |set, effects| set.union(effects.writes));
        // A register that a function has to save and nobody uses comes last.
        free.sort_by_key(|register| (!written.has(*register), !named.has(*register), *register as u8 > 5));
        free
    }

    fn site(&self, attempt: &Attempt, temporaries: &[Reg]) -> Result<NewSite<'a>, Reason> {
        let Match { kop, form, .. } = *attempt.found;
        let form = if self.planted == Some(Planted::WrongOrder) { other_order(form) } else { form };
        let known = site::find(self.catalog, kop, form);
        let known = known.ok_or_else(|| format!("there is no operation {kop}.{form} here"))?;
        let mut temporaries = temporaries.iter();
        let (inputs, before) = attempt.placed(&mut temporaries)?;
        let mut operands = Vec::new();
        for field in known.1.layout.fields() {
            let name = &*field.name;
            let exchanged =
                if self.planted == Some(Planted::ExchangedInputs) { other_input(name) } else { name };
            operands.push(match field.role() {
                Some(Role::Destination) => {
                    let result = attempt.receives(exchanged);
                    result.expect("an operation with a result computes a value") as i64
                }
                Some(Role::Temporary) => match temporaries.next() {
                    Some(register) => *register as i64,
                    None => return Err("no register is free to be its temporary".to_owned()),
                },
                Some(_) => {
                    let input = inputs.iter().find(|(known, _)| *known == exchanged);
                    input.expect("a match names every register operand").1 as i64
                }
                None => {
                    let number = attempt.immediates.iter().find(|(known, _)| *known == name);
                    let number = number.expect("a match names every immediate").1;
                    if self.planted == Some(Planted::WrongAmount) {
                        self.wrong(field.range(), number)
                    } else {
                        number
                    }
                }
            });
        }
        let operands = Operands::new(&operands);
        let at = self.region.items[attempt.place].origin();
        let refused =
            || format!("{kop}.{form} does not take these operands: {}", known.1.layout.show(&operands));
        let site = NewSite::new(known, operands, at, attempt.values()).ok_or_else(refused)?;
        Ok(site.behind(before))
    }

    fn wrong(&self, (min, max): (i64, i64), number: i64) -> i64 {
        if number < max { number + 1 } else { min }
    }

    fn edit(&self, site: NewSite<'a>, attempt: &Attempt, removed: Vec<usize>) -> Edit<'a> {
        let (place, root) = (attempt.place, attempt.root);
        let gone = |before: usize| removed.iter().filter(|gone| **gone < before).count();
        let before = gone(place);
        // The site has taken the place of one of those that went.
        let resume = root - gone(root) + usize::from(place < root);
        let mut items = Vec::with_capacity(self.region.items.len());
        for (at, item) in self.region.items.iter().enumerate() {
            if at == place {
                items.push(Item::Site(Box::new(site.clone())));
            } else if let Some(to) = attempt.moved.filter(|_| at == root) {
                items.push(Item::Move { to, from: attempt.result.unwrap_or(to), at: item.origin() });
            } else if removed.binary_search(&at).is_err() {
                items.push(item.clone());
            }
        }
        Edit { items, place: place - before, removed, moved: attempt.moved.map(|_| root), resume }
    }
}

/// The form with the bytes the other way around, where there is one.
fn other_order(form: &'static str) -> &'static str {
    const ORDERS: [[&str; 2]; 3] = [["le16", "be16"], ["le32", "be32"], ["le64", "be64"]];
    let pair = ORDERS.into_iter().find(|pair| pair.contains(&form));
    pair.map_or(form, |[little, big]| if form == little { big } else { little })
}

/// The other one of two operands that are called a and b, or first and second.
fn other_input(name: &str) -> &str {
    match name {
        "a" => "b",
        "b" => "a",
        "first" => "second",
        "second" => "first",
        name => name,
    }
}
