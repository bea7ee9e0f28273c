// SPDX-License-Identifier: GPL-2.0-or-later
//! How a region becomes one with a site: which registers the site takes, where it stands, and which instructions go.

use std::ops::Range;

use kop_ops::Catalog;
use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::payload::{Operands, Role};

use super::planted::Planted;
use super::recognise::Match;
use super::region::{Item, Region};
use super::site::{self, NewSite};
use super::value::{Registers, Value, is_pure};
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
    /// What registers hold before each of its items, and behind the last.
    pub states: &'r [Registers],
    /// The mistake to be made.
    pub planted: Option<Planted>,
    /// The instructions, by their indices in the program, in whose place a site was refused.
    pub refused: Vec<usize>,
}

/// A site to be tried: its place, and the registers that it takes.
struct Attempt<'m> {
    found: &'m Match,
    /// What it computes, unless it stores.
    value: Option<Value>,
    /// The place of the instruction that computes the value, or of the last store.
    root: usize,
    /// Where the site stands.
    place: usize,
    /// Where the site leaves the value.
    result: Option<Reg>,
    /// Where a move in place of the root puts it, if that is elsewhere.
    moved: Option<Reg>,
    inputs: Vec<(&'static str, Reg)>,
    immediates: Vec<(&'static str, i64)>,
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
        if best.is_none() {
            for attempt in self.early(&self.plain(root, found)) {
                self.better(&attempt, &mut best, &mut None);
            }
        }
        let none = || "what it starts from is in no register any more".to_owned();
        let edit = best.ok_or_else(|| reason.unwrap_or_else(none))?;
        match edit.saves() {
            count if count < found.least => Err(format!(
                "{count} of its instructions could go, as the others are needed elsewhere; it pays from {} on",
                found.least
            )),
            _ => Ok(edit),
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

    /// The site in place of the root, without inputs.
    fn plain<'m>(&self, root: usize, found: &'m Match) -> Attempt<'m> {
        let result = self.written(root);
        let value = result.map(|result| self.states[root + 1][result.index()]);
        Attempt {
            found,
            value,
            root,
            place: root,
            result,
            moved: None,
            inputs: Vec::new(),
            immediates: found.immediates.clone(),
        }
    }

    fn attempts<'m>(&self, root: usize, found: &'m Match) -> Result<Vec<Attempt<'m>>, Reason> {
        let attempt = self.plain(root, found);
        if !found.stores.is_empty() {
            return Ok(self.attempts_at_stores(&attempt));
        }
        match found.loads[..] {
            [at] => self.attempts_at_load(attempt, at),
            [_, ..] => Ok(self.attempts_at_loads(attempt)),
            [] => Ok(self.with_inputs(attempt, &found.inputs)),
        }
    }

    /// The attempt with registers that hold these inputs somewhere up to the root, in all ways.
    fn with_inputs<'m>(&self, attempt: Attempt<'m>, inputs: &[(&'static str, Value)]) -> Vec<Attempt<'m>> {
        let mut all = vec![attempt];
        for &(name, value) in inputs {
            all = self.with_input(all, name, value);
        }
        all
    }

    /// The site in place of the last part where a register still has its only input, with the result where it is wanted, or in a register
    /// that parts are in from there on.
    fn early<'m>(&self, attempt: &Attempt<'m>) -> Vec<Attempt<'m>> {
        let [(name, value)] = attempt.found.inputs[..] else { return Vec::new() };
        let parts: Vec<usize> = (0..attempt.root).filter(|place| self.is_part(attempt, *place)).collect();
        let mut all = Vec::new();
        for register in Reg::WRITABLE {
            let holds = |place: &&usize| self.states[**place][register.index()] == value;
            let Some(&place) = parts.iter().rev().find(holds) else { continue };
            let behind = parts.iter().filter(|part| **part >= place).map(|part| self.written(*part));
            let carriers: RegSet = behind.chain([attempt.result]).flatten().collect();
            all.extend(carriers.iter().map(|result| Attempt {
                place,
                result: Some(result),
                moved: attempt.result.filter(|wanted| *wanted != result),
                inputs: vec![(name, register)],
                immediates: attempt.immediates.clone(),
                ..*attempt
            }));
        }
        all
    }

    /// Each attempt with each register that holds `value` somewhere up to the root.
    fn with_input<'m>(&self, all: Vec<Attempt<'m>>, name: &'static str, value: Value) -> Vec<Attempt<'m>> {
        let mut with = Vec::new();
        for attempt in all {
            let holds = |register: &Reg| {
                self.states[..=attempt.root].iter().any(|registers| registers[register.index()] == value)
            };
            for register in Reg::WRITABLE.into_iter().filter(holds) {
                let mut inputs = attempt.inputs.clone();
                inputs.push((name, register));
                let immediates = attempt.immediates.clone();
                with.push(Attempt { inputs, immediates, ..attempt });
            }
        }
        with
    }

    /// The site in place of a load, and in place of the root where nothing in between accesses memory or leaves.
    fn attempts_at_load<'m>(&self, attempt: Attempt<'m>, at: usize) -> Result<Vec<Attempt<'m>>, Reason> {
        let gone = || "the load is in code before".to_owned();
        let place =
            self.region.items.iter().position(|item| matches!(item, Item::Kept(origin) if *origin == at));
        let place = place.ok_or_else(gone)?;
        let Some(Insn::Load { dst, base, off, .. }) = self.region.insn(place) else { return Err(gone()) };
        let immediates = vec![("off", i64::from(*off))];
        let early = Attempt {
            place,
            result: Some(*dst),
            inputs: vec![("base", *base)],
            immediates: immediates.clone(),
            ..attempt
        };
        let address = self.states[place][base.index()];
        let stays = |item: &Item| match item {
            Item::Kept(origin) => is_pure(&self.region.flow.insns()[*origin]),
            Item::Site(site) => site.proof.iter().all(is_pure),
            Item::Move { .. } => true,
        };
        let mut all = vec![early];
        if self.region.items[place + 1..attempt.root].iter().all(stays) {
            let holds = |register: &Reg| self.states[attempt.root][register.index()] == address;
            all.extend(Reg::ALL.into_iter().filter(holds).map(|base| Attempt {
                inputs: vec![("base", base)],
                immediates: immediates.clone(),
                ..attempt
            }));
        }
        Ok(all)
    }

    /// The site in place of one of several loads, with the result there or in place of the root, or where the root is.
    fn attempts_at_loads<'m>(&self, attempt: Attempt<'m>) -> Vec<Attempt<'m>> {
        let [(name, base)] = attempt.found.inputs[..] else { return Vec::new() };
        let is_load =
            |item: &Item| matches!(item, Item::Kept(origin) if attempt.found.loads.contains(origin));
        let loads = (0..attempt.root).filter(|place| is_load(&self.region.items[*place]));
        let mut all = Vec::new();
        for place in loads.chain([attempt.root]) {
            for register in
                Reg::ALL.into_iter().filter(|register| self.states[place][register.index()] == base)
            {
                let mut results = vec![attempt.result, self.written(place)];
                results.dedup();
                all.extend(results.into_iter().map(|result| Attempt {
                    place,
                    result,
                    moved: attempt.result.filter(|_| result != attempt.result),
                    inputs: vec![(name, register)],
                    immediates: attempt.immediates.clone(),
                    ..attempt
                }));
            }
        }
        all
    }

    /// The site in place of one of several stores.
    fn attempts_at_stores<'m>(&self, attempt: &Attempt<'m>) -> Vec<Attempt<'m>> {
        let [base, others @ ..] = &attempt.found.inputs[..] else { return Vec::new() };
        let is_store =
            |item: &Item| matches!(item, Item::Kept(origin) if attempt.found.stores.contains(origin));
        let mut all = Vec::new();
        for place in (0..=attempt.root).filter(|place| is_store(&self.region.items[*place])) {
            let holds = |register: &Reg| self.states[place][register.index()] == base.1;
            for register in Reg::ALL.into_iter().filter(holds) {
                let inputs = vec![(base.0, register)];
                let immediates = attempt.immediates.clone();
                all.extend(self.with_inputs(Attempt { place, inputs, immediates, ..*attempt }, others));
            }
        }
        all
    }

    /// The register that the instruction at a place computes; none for a store.
    fn written(&self, place: usize) -> Option<Reg> {
        let insn = self.region.insn(place).expect("values are computed and stored by instructions");
        insn.writes().iter().next()
    }

    fn attempt(&self, attempt: &Attempt) -> Result<Edit<'a>, Reason> {
        if self.refused.contains(&self.region.items[attempt.place].origin()) {
            return Err("it was refused there".to_owned());
        }
        let sources: RegSet = attempt.inputs.iter().map(|(_, register)| *register).collect();
        let (removed, live) = self.removed(attempt)?;
        let result: RegSet = attempt.result.into_iter().collect();
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
    fn is_part(&self, attempt: &Attempt, place: usize) -> bool {
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
            operands.push(match field.role() {
                Some(Role::Destination) => {
                    attempt.result.expect("an operation with a result computes a value") as i64
                }
                Some(Role::Temporary) => match temporaries.next() {
                    Some(register) => *register as i64,
                    None => return Err("no register is free to be its temporary".to_owned()),
                },
                Some(_) => {
                    let name =
                        if self.planted == Some(Planted::ExchangedInputs) { other_input(name) } else { name };
                    let input = inputs.iter().find(|(known, _)| *known == name);
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
        let site = NewSite::new(known, operands, at, attempt.value).ok_or_else(refused)?;
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
                items.push(Item::Site(site.clone()));
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

/// The other one of two inputs that are called a and b.
fn other_input(name: &str) -> &str {
    match name {
        "a" => "b",
        "b" => "a",
        name => name,
    }
}

impl Attempt<'_> {
    /// A register holds the value from here on.
    fn makes(&self, wanted: &mut Wanted, register: Option<Reg>) -> Result<(), Reason> {
        register.zip(self.value).map_or(Ok(()), |(register, value)| wanted.made(register, value))
    }

    /// The registers of all operands, and the instructions that put numbers there and inputs out of the way of the result.
    fn placed<'t>(
        &self,
        temporaries: &mut impl Iterator<Item = &'t Reg>,
    ) -> Result<(Vec<(&'static str, Reg)>, Vec<Insn>), Reason> {
        let (mut placed, mut before) = (Vec::new(), Vec::new());
        let mut free = || temporaries.next().copied().ok_or("no register is free to be its operand");
        for &(name, register) in &self.inputs {
            let is_taken = self.found.is_apart && self.result == Some(register);
            let copy = if is_taken { free()? } else { register };
            before.extend(is_taken.then(|| Insn::mov64(copy, register)));
            placed.push((name, copy));
        }
        for &(name, number) in &self.found.numbers {
            let register = free()?;
            before.push(match i32::try_from(number as i64) {
                Ok(number) => Insn::mov64(register, number),
                Err(_) => Insn::load_imm64(register, number),
            });
            placed.push((name, register));
        }
        Ok((placed, before))
    }

    /// What an operand has to hold: `held` where that is the address of a load, which is the same wherever the site stands.
    fn input(&self, name: &str, held: Value) -> Value {
        let known = self.found.inputs.iter().find(|(known, _)| *known == name);
        known.map_or(held, |(_, value)| *value)
    }
}
