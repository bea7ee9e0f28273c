// SPDX-License-Identifier: GPL-2.0-or-later
//! Where a site may stand, and which registers it may take there.

use kop_ops::ebpf::{AluOp, Insn, Reg, RegSet};

use super::plan::{Planner, Reason};
use super::recognise::Match;
use super::region::Item;
use super::value::{Value, is_pure};
use super::wanted::Wanted;

/// Registers by the names of operands.
type Placed = Vec<(&'static str, Reg)>;

/// A site to be tried: its place, and the registers that it takes.
pub(super) struct Attempt<'m> {
    /// What is tried.
    pub found: &'m Match,
    /// What it computes, unless it stores.
    pub value: Option<Value>,
    /// The place of the instruction that computes the value, or of the last store.
    pub root: usize,
    /// Where the site stands.
    pub place: usize,
    /// Where the site leaves the value.
    pub result: Option<Reg>,
    /// Where a move in place of the root puts it, if that is elsewhere.
    pub moved: Option<Reg>,
    /// Where the site leaves what it computes besides, and what that is.
    pub second: Option<(Reg, Value)>,
    /// The registers that it takes, by name.
    pub inputs: Vec<(&'static str, Reg)>,
    /// The immediates, by name.
    pub immediates: Vec<(&'static str, i64)>,
}

impl Planner<'_, '_> {
    /// The site in place of the root, without inputs.
    pub fn plain<'m>(&self, root: usize, found: &'m Match) -> Attempt<'m> {
        let result = self.written(root);
        let value = result.map(|result| self.states[root + 1][result.index()]);
        Attempt {
            found,
            value,
            root,
            place: root,
            result,
            moved: None,
            second: None,
            inputs: Vec::new(),
            immediates: found.immediates.clone(),
        }
    }

    /// Every place and choice of registers that is worth to be tried for what is found.
    ///
    /// # Errors
    /// Why there is none.
    pub fn attempts<'m>(&self, root: usize, found: &'m Match) -> Result<Vec<Attempt<'m>>, Reason> {
        let attempt = self.plain(root, found);
        if !found.stores.is_empty() {
            return self.attempts_at_stores(&attempt);
        }
        match found.loads[..] {
            [at] => self.attempts_at_load(attempt, at),
            [_, _] if !found.results.is_empty() => self.attempts_at_pair(&attempt),
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
    pub fn early<'m>(&self, attempt: &Attempt<'m>) -> Vec<Attempt<'m>> {
        let [(name, value)] = attempt.found.inputs[..] else { return Vec::new() };
        let may_stand = |place: &usize| self.is_part(attempt, *place) && self.stays(attempt, *place).is_ok();
        let parts: Vec<usize> = (0..attempt.root).filter(may_stand).collect();
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
        for place in loads.chain([attempt.root]).filter(|place| self.stays(&attempt, *place).is_ok()) {
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

    /// The site in place of one of two loads, with each number where it was loaded to.
    fn attempts_at_pair<'m>(&self, attempt: &Attempt<'m>) -> Result<Vec<Attempt<'m>>, Reason> {
        let [(name, base)] = attempt.found.inputs[..] else { return Ok(Vec::new()) };
        let is_load =
            |item: &Item| matches!(item, Item::Kept(origin) if attempt.found.loads.contains(origin));
        let other = (0..attempt.root).find(|place| is_load(&self.region.items[*place]));
        let other = other.ok_or_else(|| "the load is in code before".to_owned())?;
        let second = self.written(other).map(|register| (register, self.states[other + 1][register.index()]));
        let (mut all, mut reason) = (Vec::new(), None);
        for place in [other, attempt.root] {
            if let Err(why) = self.passes(attempt, base, place).and_then(|()| self.stays(attempt, place)) {
                reason = reason.or(Some(why));
                continue;
            }
            let holds = |register: &Reg| self.states[place][register.index()] == base;
            all.extend(Reg::ALL.into_iter().filter(holds).map(|register| Attempt {
                place,
                second,
                inputs: vec![(name, register)],
                immediates: attempt.immediates.clone(),
                ..*attempt
            }));
        }
        reason.filter(|_| all.is_empty()).map_or(Ok(all), Err)
    }

    /// Whether the code does not leave between a place and the last of the loads: what is loaded behind a way out may be no memory before it.
    fn stays(&self, attempt: &Attempt, place: usize) -> Result<(), Reason> {
        let mut leaves = None;
        for item in &self.region.items[place..=attempt.root] {
            let Item::Kept(origin) = *item else { continue };
            if let Some(leaves) = leaves.filter(|_| attempt.found.loads.contains(&origin)) {
                return Err(format!("instruction {leaves}, in between, may leave before it is loaded"));
            }
            leaves = leaves.or(self.region.flow.insns()[origin].branch_offset().map(|_| origin));
        }
        Ok(())
    }

    /// The site in place of one of several stores.
    fn attempts_at_stores<'m>(&self, attempt: &Attempt<'m>) -> Result<Vec<Attempt<'m>>, Reason> {
        let [base, others @ ..] = &attempt.found.inputs[..] else { return Ok(Vec::new()) };
        let is_store =
            |item: &Item| matches!(item, Item::Kept(origin) if attempt.found.stores.contains(origin));
        let (mut all, mut reason) = (Vec::new(), None);
        for place in (0..=attempt.root).filter(|place| is_store(&self.region.items[*place])) {
            if let Err(why) = self.passes(attempt, base.1, place) {
                reason = reason.or(Some(why));
                continue;
            }
            let holds = |register: &Reg| self.states[place][register.index()] == base.1;
            for register in Reg::ALL.into_iter().filter(holds) {
                let inputs = vec![(base.0, register)];
                let immediates = attempt.immediates.clone();
                all.extend(self.with_inputs(Attempt { place, inputs, immediates, ..*attempt }, others));
            }
        }
        reason.filter(|_| all.is_empty()).map_or(Ok(all), Err)
    }

    /// Whether loads and stores of a base can come together at a place, as far as can be said without proving it: what is accessed at
    /// any other address may be the same memory, so that none of them passes it.
    fn passes(&self, attempt: &Attempt, base: Value, place: usize) -> Result<(), Reason> {
        let base = self.graph.object(base);
        for (at, item) in self.region.items[..=attempt.root].iter().enumerate() {
            let Item::Kept(origin) = item else { continue };
            let is_store = attempt.found.stores.contains(origin);
            if !is_store && !attempt.found.loads.contains(origin) {
                continue;
            }
            for passed in at.min(place) + 1..at.max(place) {
                let held = &self.states[passed];
                let is_other = |(other, writes): (Reg, bool)| {
                    (is_store || writes) && self.graph.object(held[other.index()]) != base
                };
                if self.region.accesses(passed).into_iter().any(is_other) {
                    let passed = self.region.items[passed].origin();
                    return Err(format!("instruction {passed}, in between, may access the same bytes"));
                }
            }
        }
        Ok(())
    }
}

impl Attempt<'_> {
    /// A register holds the value from here on.
    pub fn makes(&self, wanted: &mut Wanted, register: Option<Reg>) -> Result<(), Reason> {
        register.zip(self.value).map_or(Ok(()), |(register, value)| wanted.made(register, value))
    }

    /// The register that the result of this name is left in.
    pub fn receives(&self, name: &str) -> Option<Reg> {
        let named = self.found.results.iter().find(|(known, _)| *known == name);
        let second = self.second.filter(|(_, value)| named.is_some_and(|(_, named)| named == value));
        second.map(|(register, _)| register).or(self.result)
    }

    /// What the results hold.
    pub fn values(&self) -> Vec<(Reg, Value)> {
        self.result.zip(self.value).into_iter().chain(self.second).collect()
    }

    /// The registers of all operands, and the instructions that put numbers there, inputs out of the way of the result, and a base where the
    /// operation has no offset for it.
    pub fn placed<'t>(
        &self,
        temporaries: &mut impl Iterator<Item = &'t Reg>,
    ) -> Result<(Placed, Vec<Insn>), Reason> {
        let (mut placed, mut before) = (Vec::new(), Vec::new());
        let mut free = || temporaries.next().copied().ok_or("no register is free to be its operand");
        for &(name, register) in &self.inputs {
            let is_taken = self.found.is_apart && self.result == Some(register);
            let copy = if is_taken { free()? } else { register };
            before.extend(is_taken.then(|| Insn::mov64(copy, register)));
            placed.push((name, copy));
        }
        if let Some((_, base)) = placed.first_mut().filter(|_| self.found.distance != 0) {
            let copy = free()?;
            before.extend([Insn::mov64(copy, *base), Insn::alu64(AluOp::Add, copy, self.found.distance)]);
            *base = copy;
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
    pub fn input(&self, name: &str, held: Value) -> Value {
        let known = self.found.inputs.iter().find(|(known, _)| *known == name);
        known.map_or(held, |(_, value)| *value)
    }
}
