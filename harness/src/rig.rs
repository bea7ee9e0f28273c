// SPDX-License-Identifier: GPL-2.0-or-later
//! The oracle: one thread's engines, and the question whether they agree on a case.
//!
//! [`Rig::run`] asks it of many states at once and fast; whatever looks odd there is asked again by [`Rig::judge`], state by
//! state, with everything compared: r0..r10 and memory less the contract, faults, the frame, and the accesses.

use std::collections::{BTreeMap, BTreeSet};

use kop_emulators::engines::EngineKind;
use kop_emulators::{
    AccessRecord, Batch, BatchResult, Chunk, ChunkResult, Doubt, Engine, Executes, Observation, Probe,
    Program,
};
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::state::Registers;
use kop_ops::{Access, Arch, Fault, Features, Memory, State};
use kop_reports::{Blame, Difference, Kind, RegisterPair, Side};

use crate::finding::Finding;
use crate::subject::{Subject, Variant, difference};
use crate::temporaries::Temporaries;

/// One thread's engines, for operations of one catalog: what it learns of them it remembers by their names.
pub struct Rig {
    engines: Vec<Box<dyn Engine>>,
    /// For each architecture, and for what both share: what goes wrong on one must not hide what does on the other.
    patience: BTreeMap<Option<Arch>, usize>,
    /// Engines on which something ran away since patience was given.
    stuck: Vec<usize>,
    temporaries: Temporaries,
    /// How often what an engine did says nothing, since that was asked.
    unjudged: BTreeMap<(Arch, &'static str), u64>,
    /// Whether the first finding of a run is enough.
    hasty: bool,
}

/// The states for one subject.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// The payload under test.
    pub subject: &'a Subject<'a>,
    /// The registers that states set: those that the subject names.
    pub inputs: RegSet,
    /// The values, state after state.
    pub states: Vec<u64>,
    /// The other registers.
    pub background: [Registers; 2],
    /// The seed of scratch registers and the like.
    pub garbage: u64,
    /// Whether a state is observed although nothing looks odd.
    pub sampled: bool,
}

impl Load<'_> {
    /// The number of states.
    pub fn count(&self) -> usize {
        self.states.len() / self.inputs.len()
    }

    /// The registers that are compared after each state.
    fn outputs(&self) -> RegSet {
        self.inputs.minus(self.subject.dead)
    }

    fn state(&self, number: usize, memory: &Memory) -> State {
        let first_half = kop_emulators::engine::halves(self.count())[0];
        let mut state =
            State { registers: self.background[usize::from(number >= first_half)], memory: memory.clone() };
        let values = &self.states[number * self.inputs.len()..];
        for (reg, &value) in self.inputs.iter().zip(values) {
            state.set(reg, value);
        }
        state.set(Reg::R10, memory.slot.stack_end());
        state
    }

    fn batch<'b>(&'b self, program: Program<'b>, states: &'b [u64]) -> Batch<'b> {
        Batch {
            program,
            inputs: self.inputs,
            outputs: self.outputs(),
            states,
            background: &self.background,
            garbage: self.garbage,
        }
    }
}

/// What running loads gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The findings, one for each cause, in the order in which they appeared, with how often each did.
    pub findings: Vec<(Finding, u64)>,
    /// For each load and architecture: whether a native engine ran it.
    pub ran: Vec<BTreeSet<Arch>>,
    /// The names of the engines that took part, by architecture of the row.
    pub engines: BTreeSet<(Arch, &'static str)>,
    /// Variants that no engine ran: architecture, features, reason.
    pub unable: BTreeSet<(Arch, Features, String)>,
    /// Engines that ran none or not all of the native code, although others did: the first reason of each.
    pub refused: BTreeMap<(Arch, &'static str), String>,
    /// How often the proof faulted where an engine for native code has memory of its own, so that what that engine did says
    /// nothing.
    pub unjudged: BTreeMap<(Arch, &'static str), u64>,
    /// Reasons why a reference engine did not run a proof or model.
    pub unreferenced: BTreeSet<String>,
    /// States that ran alone with accesses observed.
    pub observed: u64,
    /// States that went wrong and were not looked at one by one, as enough others of the architecture were.
    pub uninvestigated: BTreeMap<Option<Arch>, u64>,
}

impl Outcome {
    /// Counts what went wrong without having been looked at to the latest cause.
    fn count_more(&mut self, arch: Option<Arch>, occurrences: u64) {
        *self.uninvestigated.entry(arch).or_default() += occurrences;
    }

    /// Adds findings; returns whether one of them is of a new cause.
    pub fn add(&mut self, findings: Vec<Finding>) -> bool {
        let mut new = false;
        for finding in findings {
            match self.findings.iter_mut().find(|(known, _)| known.cause() == finding.cause()) {
                Some((_, count)) => *count += 1,
                None => {
                    new = true;
                    self.findings.push((finding, 1));
                }
            }
        }
        new
    }
}

/// One load in this many runs on a second interpreter of proof sequences.
const SECOND_OPINIONS: u64 = 8;

/// How many suspicious states of one load are looked at one by one; the rest would tell the same.
const INVESTIGATED_PER_LOAD: usize = 4;

/// How many states are looked at one by one between two calls of [`Rig::take_breath`].
const PATIENCE: usize = 32;

/// How many settings of flags and scratch registers are tried for a state that went wrong in a row.
const GARBAGE_TRIED: u64 = 24;

/// How many states of a load that went wrong as a whole are tried one by one to find what went wrong.
const TRIED_PER_LOAD: usize = 64;

impl Rig {
    /// A rig with these engines.
    ///
    /// # Errors
    /// Why an engine that is listed as available is not, in one line.
    pub fn new(kinds: &[&EngineKind]) -> Result<Self, String> {
        let engines = kinds.iter().map(|kind| kind.make()).collect::<Result<_, _>>()?;
        Ok(Self::with_engines(engines))
    }

    /// A rig with engines of one's own.
    pub fn with_engines(engines: Vec<Box<dyn Engine>>) -> Self {
        Self {
            engines,
            patience: BTreeMap::new(),
            stuck: Vec::new(),
            temporaries: Temporaries::default(),
            unjudged: BTreeMap::new(),
            hasty: false,
        }
    }

    /// A rig that ends each run with its first finding: for those who only want to know whether there is one.
    #[must_use]
    pub fn hasty(self) -> Self {
        Self { hasty: true, ..self }
    }

    /// Whether what was found is all that is wanted.
    pub(crate) fn is_enough<T>(&self, findings: &[T]) -> bool {
        self.hasty && !findings.is_empty()
    }

    /// Gives the rig new patience: how many states it looks at one by one, and how many run-aways it waits for, until the
    /// next call. What goes wrong beyond that is counted, not investigated.
    pub fn take_breath(&mut self) {
        self.patience.clear();
        self.stuck.clear();
    }

    /// Forgets what it learned of operations: the next one may have the name of an earlier one.
    pub fn forget(&mut self) {
        self.temporaries = Temporaries::default();
    }

    /// Changes the engines, for tests that plant a fault in one.
    #[must_use]
    pub fn map_engines(self, change: impl FnMut(Box<dyn Engine>) -> Box<dyn Engine>) -> Self {
        Self { engines: self.engines.into_iter().map(change).collect(), ..self }
    }

    /// Runs loads that share a memory. The subjects of a run must not store to memory unless there is one only.
    pub fn run(&mut self, memory: &Memory, loads: &[Load]) -> Outcome {
        let mut outcome = Outcome { ran: vec![BTreeSet::new(); loads.len()], ..Outcome::default() };
        let references = self.references(memory, loads, &mut outcome);
        let Some(references) = references else { return outcome };
        let variants = loads.iter().map(|load| load.subject.variants.len()).max().unwrap_or(0);
        let endless = self.endless(memory, loads, &references, &mut outcome);
        for index in 0..self.engines.len() {
            let Executes::Native(arch) = self.engines[index].executes() else { continue };
            for variant in 0..variants {
                if self.is_enough(&outcome.findings) {
                    return outcome;
                }
                self.run_natives(index, arch, variant, memory, loads, &references, &endless, &mut outcome);
            }
        }
        for (number, load) in loads.iter().enumerate() {
            load.subject.variants.iter().for_each(|variant| self.note_refusals(variant, &mut outcome));
            if self.is_enough(&outcome.findings) {
                break;
            }
            self.sample(memory, load, &references[number], &mut outcome);
        }
        outcome.unjudged = std::mem::take(&mut self.unjudged);
        outcome
    }

    /// Notes which engines do not run a code, and why.
    fn note_refusals(&self, variant: &Variant, outcome: &mut Outcome) {
        let arch = variant.code.arch;
        let program = Program::Native(&variant.code);
        let refusals: Vec<(&'static str, String)> = self
            .natives(arch)
            .filter_map(|engine| Some((engine.name(), engine.admits(&program).err()?)))
            .collect();
        if refusals.len() == self.natives(arch).count() {
            let reasons: Vec<String> =
                refusals.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
            let reason = if reasons.is_empty() {
                format!("no engine here executes {arch} code")
            } else {
                reasons.join("; ")
            };
            outcome.unable.insert((arch, variant.features, reason));
            return;
        }
        for (name, reason) in refusals {
            outcome.refused.entry((arch, name)).or_insert(reason);
        }
    }

    /// Code that branches backwards runs alone first, on engines that bound it: the codes that do not end, as load and
    /// bytes, are findings and run no more.
    fn endless<'l>(
        &mut self,
        memory: &Memory,
        loads: &'l [Load],
        references: &[Reference],
        outcome: &mut Outcome,
    ) -> Vec<(usize, &'l [u8])> {
        let mut endless = Vec::new();
        for (number, load) in loads.iter().enumerate() {
            let Some(&first) = references[number].sound.first() else { continue };
            for variant in load.subject.variants.iter().filter(|variant| variant.loops) {
                let state = load.state(first, memory);
                let program = Program::Native(&variant.code);
                let Some(engine) = self.engines.iter_mut().find(|engine| {
                    engine.bounds_execution()
                        && engine.executes() == Executes::Native(variant.code.arch)
                        && engine.admits(&program).is_ok()
                }) else {
                    continue;
                };
                let observation = engine.probe(&Probe { program, state: &state, garbage: load.garbage });
                if observation.fault != Some(Fault::RunAway) {
                    continue;
                }
                let witness = Witness { name: engine.name(), executes: engine.executes(), observation };
                outcome.ran[number].insert(variant.code.arch);
                outcome.engines.insert((variant.code.arch, witness.name));
                outcome.add(vec![Finding {
                    kind: Kind::Fault,
                    engine: witness.name.to_owned(),
                    arch: Some(variant.code.arch),
                    features: variant.features,
                    payload: load.subject.payload,
                    blame: Blame::Emit,
                    reason: "proof sequences always end".to_owned(),
                    message: "the code branches backwards and does not end".to_owned(),
                    difference: Some(difference("fault", "no fault", Fault::RunAway.to_string())),
                    place: "faults".to_owned(),
                    run: Some((state.clone(), load.garbage)),
                    sides: vec![side(&witness, &state)],
                }]);
                endless.push((number, &*variant.code.bytes));
            }
        }
        endless
    }

    fn natives(&self, arch: Arch) -> impl Iterator<Item = &dyn Engine> {
        self.engines
            .iter()
            .map(|engine| &**engine)
            .filter(move |engine| engine.executes() == Executes::Native(arch))
    }

    /// Runs proofs and models, compares them, and returns what the first of them that could says about each load.
    fn references(
        &mut self,
        memory: &Memory,
        loads: &[Load],
        outcome: &mut Outcome,
    ) -> Option<Vec<Reference>> {
        let mut references: Vec<Option<Reference>> = loads.iter().map(|_| None).collect();
        for index in 0..self.engines.len() {
            let executes = self.engines[index].executes();
            if matches!(executes, Executes::Native(_)) {
                continue;
            }
            let name = self.engines[index].name();
            for (number, load) in loads.iter().enumerate() {
                let program = reference_program(executes, load.subject);
                if let Err(reason) = self.engines[index].admits(&program) {
                    // Operations from outside have no model; the row says which engines took part.
                    if executes != Executes::Model {
                        outcome.unreferenced.insert(format!("{name} does not run it: {reason}"));
                    }
                    continue;
                }
                // A second interpreter of the proof looks at some of what the first one ran.
                let is_second = executes == Executes::Proof && references[number].is_some();
                if is_second && !load.garbage.is_multiple_of(SECOND_OPINIONS) {
                    continue;
                }
                let result = self.run_reference(index, memory, load, program);
                for variant in &load.subject.variants {
                    outcome.engines.insert((variant.code.arch, name));
                }
                match &references[number] {
                    None => references[number] = Some(result),
                    Some(first) => {
                        let suspects = first.differences(&result, load);
                        self.investigate(memory, load, &suspects, None, outcome);
                    }
                }
            }
        }
        references.into_iter().collect()
    }

    fn run_reference(&mut self, index: usize, memory: &Memory, load: &Load, program: Program) -> Reference {
        let chunk = Chunk { memory, batches: vec![load.batch(program, &load.states)] };
        let mut result = self.engines[index].run(&chunk);
        let BatchResult::Ran { rows, faults } = result.batches.remove(0) else {
            unreachable!("references survive faults and report them by state")
        };
        let memory_after = result.memory.unwrap_or_else(|| memory.clone());
        let faults: Vec<usize> = faults.into_iter().map(|(number, _)| number).collect();
        if faults.is_empty() {
            let sound = (0..load.count()).collect();
            return Reference { sound, rows, states: Vec::new(), faults, memory: memory_after };
        }
        let sound: Vec<usize> = (0..load.count()).filter(|number| !faults.contains(number)).collect();
        let width = load.inputs.len();
        let mut reference = Reference {
            rows: chosen(&rows, width, &sound),
            states: chosen(&load.states, width, &sound),
            memory: memory_after,
            sound,
            faults,
        };
        // A state that faulted may have stored before; what native code finds must not depend on that.
        if load.subject.stores() {
            let chunk = Chunk { memory, batches: vec![load.batch(program, &reference.states)] };
            let mut again = self.engines[index].run(&chunk);
            if let (BatchResult::Ran { rows, .. }, Some(memory)) = (again.batches.remove(0), again.memory) {
                reference.rows = rows;
                reference.memory = memory;
            }
        }
        reference
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one engine on one variant of every load, with what is known so far"
    )]
    fn run_natives(
        &mut self,
        index: usize,
        arch: Arch,
        variant: usize,
        memory: &Memory,
        loads: &[Load],
        references: &[Reference],
        endless: &[(usize, &[u8])],
        outcome: &mut Outcome,
    ) {
        let mut taken: Vec<(usize, &Variant)> = Vec::new();
        let mut batches = Vec::new();
        for (number, load) in loads.iter().enumerate() {
            let own = load.subject.variants.iter().filter(|own| own.code.arch == arch).nth(variant);
            let Some(own) = own else { continue };
            let program = Program::Native(&own.code);
            if self.engines[index].admits(&program).is_err() {
                continue;
            }
            outcome.ran[number].insert(arch);
            outcome.engines.insert((arch, self.engines[index].name()));
            let is_endless = endless.contains(&(number, &*own.code.bytes)) || self.stuck.contains(&index);
            if references[number].sound.is_empty() || is_endless {
                continue;
            }
            batches.push(load.batch(program, references[number].states(load)));
            taken.push((number, own));
        }
        if batches.is_empty() {
            return;
        }
        let chunk = Chunk { memory, batches };
        let result = self.engines[index].run(&chunk);
        self.compare(index, memory, loads, references, &taken, &chunk, result, outcome);
    }

    #[expect(clippy::too_many_arguments, reason = "the two halves of `run_natives`")]
    fn compare(
        &mut self,
        index: usize,
        memory: &Memory,
        loads: &[Load],
        references: &[Reference],
        taken: &[(usize, &Variant)],
        chunk: &Chunk,
        result: ChunkResult,
        outcome: &mut Outcome,
    ) {
        let expected_memory = match taken {
            [(number, _)] => &references[*number].memory,
            _ => memory,
        };
        if result.batches.contains(&BatchResult::Doubt(Doubt::Fault(Fault::RunAway))) && taken.len() == 1 {
            self.stuck.push(index);
        }
        let memory_differs = result.memory.as_ref().is_some_and(|memory| memory != expected_memory);
        let whole = result.memory.is_none() || memory_differs;
        if whole && taken.len() > 1 {
            for (batch, &entry) in chunk.batches.iter().zip(taken) {
                let chunk = Chunk { memory, batches: vec![*batch] };
                let result = self.engines[index].run(&chunk);
                self.compare(index, memory, loads, references, &[entry], &chunk, result, outcome);
            }
            return;
        }
        for (result, &(number, variant)) in result.batches.iter().zip(taken) {
            if self.is_enough(&outcome.findings) {
                return;
            }
            let (load, reference) = (&loads[number], &references[number]);
            let suspects: Vec<usize> = match result {
                BatchResult::Ran { rows, .. } => mismatches(&reference.rows, rows, load.inputs.len())
                    .map(|position| reference.sound[position])
                    .collect(),
                BatchResult::Doubt(_) => Vec::new(),
            };
            let doubtful = matches!(result, BatchResult::Doubt(_)) || (whole && suspects.is_empty());
            if doubtful {
                self.search(index, memory, load, reference, variant, result, outcome);
            } else {
                self.investigate(memory, load, &suspects, Some((index, variant)), outcome);
            }
        }
    }

    /// Looks at the states of a load one by one until the reason for a doubt is found.
    #[expect(clippy::too_many_arguments, reason = "what `investigate` takes and the doubt")]
    fn search(
        &mut self,
        index: usize,
        memory: &Memory,
        load: &Load,
        reference: &Reference,
        variant: &Variant,
        result: &BatchResult,
        outcome: &mut Outcome,
    ) {
        let mut current = memory.clone();
        let arch = Some(variant.code.arch);
        if !self.spend(arch) {
            return outcome.count_more(arch, 1);
        }
        for &number in reference.sound.iter().take(TRIED_PER_LOAD) {
            let state = load.state(number, &current);
            let findings = self.judge_variant(load.subject, variant, &state, load.garbage);
            if !findings.is_empty() {
                outcome.add(findings);
                return;
            }
            if load.subject.stores() {
                current = self.reference_after(load.subject, &state).unwrap_or(current);
            }
        }
        let what = match result {
            BatchResult::Doubt(doubt) => format!("{doubt:?}"),
            BatchResult::Ran { .. } => "memory differs afterwards".to_owned(),
        };
        let name = self.engines[index].name();
        outcome.add(vec![Finding {
            kind: Kind::Frame,
            engine: name.to_owned(),
            arch: Some(variant.code.arch),
            features: variant.features,
            payload: load.subject.payload,
            blame: Blame::Undecided,
            reason: "no state alone shows it".to_owned(),
            message: format!("{} states in a row go wrong ({what}), none of them alone does", load.count()),
            difference: None,
            place: "only in a row".to_owned(),
            run: Some((load.state(reference.sound[0], memory), load.garbage)),
            sides: Vec::new(),
        }]);
    }

    /// Judges the states that looked odd; `by` is the engine and variant that showed them, `None` for references.
    fn investigate(
        &mut self,
        memory: &Memory,
        load: &Load,
        suspects: &[usize],
        by: Option<(usize, &Variant)>,
        outcome: &mut Outcome,
    ) {
        let arch = by.map(|(_, variant)| variant.code.arch);
        let mut current = memory.clone();
        let mut reached = 0;
        for (done, &number) in suspects.iter().take(INVESTIGATED_PER_LOAD).enumerate() {
            if self.is_enough(&outcome.findings) || !self.spend(arch) {
                return outcome.count_more(arch, (suspects.len() - done) as u64);
            }
            if load.subject.stores() {
                while reached < number {
                    let state = load.state(reached, &current);
                    current = self.reference_after(load.subject, &state).unwrap_or(current);
                    reached += 1;
                }
            }
            let state = load.state(number, &current);
            let findings = match by {
                // Flags and scratch registers are other ones than they were in the row: several are tried.
                Some((_, variant)) => (0..GARBAGE_TRIED)
                    .map(|step| {
                        self.judge_variant(load.subject, variant, &state, load.garbage.wrapping_add(step))
                    })
                    .find(|findings| !findings.is_empty())
                    .unwrap_or_default(),
                None => self.judge(load.subject, &state, load.garbage),
            };
            if findings.is_empty() {
                outcome.add(vec![self.vanished(load, by, state)]);
            } else {
                outcome.add(findings);
            }
        }
        outcome.count_more(arch, suspects.len().saturating_sub(INVESTIGATED_PER_LOAD) as u64);
    }

    /// Takes one from the patience with an architecture, if there is any left.
    fn spend(&mut self, arch: Option<Arch>) -> bool {
        let left = self.patience.entry(arch).or_insert(PATIENCE);
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }

    /// A difference that was there in a row of states and is not there for the state alone.
    fn vanished(&self, load: &Load, by: Option<(usize, &Variant)>, state: State) -> Finding {
        Finding {
            kind: if by.is_some() { Kind::Register } else { Kind::Reference },
            engine: by.map_or("-", |(index, _)| self.engines[index].name()).to_owned(),
            arch: by.map(|(_, variant)| variant.code.arch),
            features: by.map_or(Features::NONE, |(_, variant)| variant.features),
            payload: load.subject.payload,
            blame: Blame::Undecided,
            reason: "the state alone does not show it".to_owned(),
            message: "a result differs when the state runs after others, not when it runs alone".to_owned(),
            difference: None,
            place: "only in a row".to_owned(),
            run: Some((state, load.garbage)),
            sides: Vec::new(),
        }
    }

    fn reference_after(&mut self, subject: &Subject, state: &State) -> Option<Memory> {
        let index = self.engines.iter().position(|engine| {
            let executes = engine.executes();
            !matches!(executes, Executes::Native(_))
                && engine.admits(&reference_program(executes, subject)).is_ok()
        })?;
        let program = reference_program(self.engines[index].executes(), subject);
        let observation = self.engines[index].probe(&Probe { program, state, garbage: 0 });
        observation.fault.is_none().then_some(observation.state.memory)
    }

    /// One state of every load that is sampled runs alone with accesses observed, and so does every state that faults.
    fn sample(&mut self, memory: &Memory, load: &Load, reference: &Reference, outcome: &mut Outcome) {
        // What only observation shows concerns memory, SIMD registers and the few registers that the loops need themselves;
        // code that touches none of the former is observed for one payload in four.
        let observable = load.subject.variants.iter().any(|variant| variant.observable);
        let wanted = load.sampled && (observable || load.garbage.is_multiple_of(4));
        let chosen = (load.garbage >> 8) as usize % load.count().max(1);
        let others = reference.faults.iter().copied().filter(|&number| !wanted || number != chosen);
        for number in wanted.then_some(chosen).into_iter().chain(others) {
            let state = load.state(number, memory);
            let findings = self.judge(load.subject, &state, load.garbage.wrapping_add(number as u64));
            outcome.observed += 1;
            // Nothing is lost when patience ends: what was found is kept, and no further state is tried.
            let archs: BTreeSet<Option<Arch>> = findings.iter().map(|finding| finding.arch).collect();
            let is_enough = !archs.is_empty() && !archs.into_iter().any(|arch| self.spend(arch));
            outcome.add(findings);
            if is_enough || self.is_enough(&outcome.findings) {
                return;
            }
        }
    }

    /// Runs one state on every engine and compares everything. The whole verdict on one case.
    pub fn judge(&mut self, subject: &Subject, state: &State, garbage: u64) -> Vec<Finding> {
        self.judge_variants(subject, &subject.variants.iter().collect::<Vec<_>>(), state, garbage)
    }

    fn judge_variants(
        &mut self,
        subject: &Subject,
        variants: &[&Variant],
        state: &State,
        garbage: u64,
    ) -> Vec<Finding> {
        let references = self.probe_with(state, garbage, |executes| match executes {
            Executes::Native(_) => None,
            _ => Some(reference_program(executes, subject)),
        });
        let mut findings = Vec::new();
        let mut votes = Vec::new();
        for variant in variants {
            let mut natives = self.probe_variant(variant, state, garbage);
            self.leave_out_unjudged(variant.code.arch, state, &references, &mut natives);
            let found = judge_natives(subject, variant, state, garbage, &references, &natives);
            findings.extend(found.into_iter().map(|finding| self.told_apart(subject, variant, finding)));
            votes.extend(natives);
        }
        let proof_is_blamed = findings.iter().any(|finding| finding.blame == Blame::Proof);
        if !proof_is_blamed {
            findings.splice(0..0, judge_references(subject, state, garbage, &references, &votes));
        }
        findings
    }

    /// Leaves out the engines whose accounts say nothing, and counts them: the references fault where such an engine has memory
    /// of its own, and it did not fault likewise.
    fn leave_out_unjudged(
        &mut self,
        arch: Arch,
        state: &State,
        references: &[Witness],
        natives: &mut Vec<Witness>,
    ) {
        let slot = state.memory.slot;
        let Some(address) = references.iter().find_map(|reference| fault_address(&reference.observation))
        else {
            return;
        };
        natives.retain(|native| {
            let faults_likewise =
                compare_faults(slot, &references[0].observation, &native.observation).is_none();
            let engine = self.engines.iter().find(|engine| engine.name() == native.name);
            let hides = engine.is_some_and(|engine| engine.hides_fault_at(slot, address));
            if hides && !faults_likewise {
                *self.unjudged.entry((arch, native.name)).or_default() += 1;
            }
            faults_likewise || !hides
        });
    }

    /// Tells a temporary of a foreign operation from a register that native code writes for other payloads.
    fn told_apart(&mut self, subject: &Subject, variant: &Variant, finding: Finding) -> Finding {
        let place = finding.difference.as_ref().map(|difference| difference.r#where.as_str());
        let reg = Reg::ALL.into_iter().find(|reg| place == Some(&*reg.to_string()));
        let Some(reg) = reg.filter(|_| finding.kind == Kind::Temporary && subject.is_foreign()) else {
            return finding;
        };
        if self.temporaries.is_never_written(&mut self.engines, subject, variant.code.arch, reg) {
            return finding;
        }
        let message = differs(subject, reg);
        Finding { kind: Kind::Register, message, ..finding }
    }

    fn judge_variant(
        &mut self,
        subject: &Subject,
        variant: &Variant,
        state: &State,
        garbage: u64,
    ) -> Vec<Finding> {
        self.judge_variants(subject, &[variant], state, garbage)
    }

    /// What every engine makes of a case, for display.
    pub fn observe(&mut self, subject: &Subject, state: &State, garbage: u64) -> Vec<Side> {
        let mut all = self.probe_with(state, garbage, |executes| match executes {
            Executes::Native(_) => None,
            _ => Some(reference_program(executes, subject)),
        });
        for variant in &subject.variants {
            all.extend(self.probe_variant(variant, state, garbage));
        }
        all.iter().map(|witness| side(witness, state)).collect()
    }

    fn probe_variant(&mut self, variant: &Variant, state: &State, garbage: u64) -> Vec<Witness> {
        self.probe_with(state, garbage, |executes| {
            (executes == Executes::Native(variant.code.arch)).then_some(Program::Native(&variant.code))
        })
    }

    fn probe_with<'p>(
        &mut self,
        state: &State,
        garbage: u64,
        program: impl Fn(Executes) -> Option<Program<'p>>,
    ) -> Vec<Witness> {
        self.engines
            .iter_mut()
            .filter_map(|engine| {
                let program = program(engine.executes()).filter(|program| engine.admits(program).is_ok())?;
                let observation = engine.probe(&Probe { program, state, garbage });
                Some(Witness { name: engine.name(), executes: engine.executes(), observation })
            })
            .collect()
    }
}

/// What a reference says about a load.
struct Reference {
    /// The states that did not fault, and their rows afterwards.
    sound: Vec<usize>,
    rows: Vec<u64>,
    /// The inputs of the sound states; empty when all are sound.
    states: Vec<u64>,
    faults: Vec<usize>,
    memory: Memory,
}

impl Reference {
    fn states<'b>(&'b self, load: &'b Load) -> &'b [u64] {
        if self.faults.is_empty() { &load.states } else { &self.states }
    }

    /// The states in which two references differ.
    fn differences(&self, other: &Reference, load: &Load) -> Vec<usize> {
        if self.faults != other.faults {
            let one_sided =
                |a: &[usize], b: &[usize]| a.iter().copied().filter(|n| !b.contains(n)).collect::<Vec<_>>();
            return [one_sided(&self.faults, &other.faults), one_sided(&other.faults, &self.faults)].concat();
        }
        let mut found: Vec<usize> = mismatches(&self.rows, &other.rows, load.inputs.len())
            .map(|position| self.sound[position])
            .collect();
        if found.is_empty() && self.memory != other.memory {
            found.extend(self.sound.last());
        }
        found
    }
}

/// The rows with these numbers.
fn chosen(states: &[u64], width: usize, numbers: &[usize]) -> Vec<u64> {
    numbers.iter().flat_map(|&number| states[number * width..(number + 1) * width].iter().copied()).collect()
}

/// The rows of `width` words in which two tables differ.
fn mismatches<'b>(expected: &'b [u64], actual: &'b [u64], width: usize) -> impl Iterator<Item = usize> + 'b {
    let (expected, actual) = if expected == actual { (&[][..], &[][..]) } else { (expected, actual) };
    expected
        .chunks_exact(width)
        .zip(actual.chunks_exact(width))
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(position, _)| position)
}

fn reference_program<'b>(executes: Executes, subject: &'b Subject) -> Program<'b> {
    match executes {
        Executes::Model => Program::Model { kop: subject.kop, site: subject.site(Features::NONE) },
        _ => Program::Proof(&subject.proof),
    }
}

/// One engine's account of a case.
struct Witness {
    name: &'static str,
    executes: Executes,
    observation: Observation,
}

/// A difference between two accounts.
#[derive(Clone, Debug, PartialEq)]
struct Disagreement {
    kind: Kind,
    difference: Option<Difference>,
    place: String,
    message: String,
}

/// Compares an account with the reference's. `native` tells whether frame and accesses matter.
fn compare(
    subject: &Subject,
    state: &State,
    reference: &Observation,
    other: &Observation,
) -> Option<Disagreement> {
    let slot = state.memory.slot;
    if let Some(disagreement) = compare_faults(slot, reference, other) {
        return Some(disagreement);
    }
    if reference.fault.is_some() {
        return None;
    }
    for reg in Reg::ALL.into_iter().filter(|&reg| !subject.dead.has(reg)) {
        let (expected, actual) = (reference.state.get(reg), other.state.get(reg));
        if expected != actual {
            return Some(register_disagreement(subject, state, reg, expected, actual));
        }
    }
    if let Some(disagreement) = compare_memory(slot, reference, other) {
        return Some(disagreement);
    }
    let stray = stray_write(reference, other)?;
    let place = slot.show(stray.address);
    Some(Disagreement {
        kind: Kind::Memory,
        message: format!("it writes {} bytes at {place}, where the proof does not write", stray.size),
        difference: Some(difference(place, "no write", format!("{} bytes written", stray.size))),
        place: "stray write".to_owned(),
    })
}

/// The first byte of memory that differs.
fn compare_memory(slot: kop_ops::Slot, reference: &Observation, other: &Observation) -> Option<Disagreement> {
    let (address, expected, actual) = reference.state.memory.first_difference(&other.state.memory)?;
    let place = slot.show(address);
    Some(Disagreement {
        kind: Kind::Memory,
        message: format!("the byte at {place} differs"),
        difference: Some(difference(place, format!("{expected:#04x}"), format!("{actual:#04x}"))),
        place: "memory".to_owned(),
    })
}

/// The address at which an account says that memory cannot be accessed.
fn fault_address(observation: &Observation) -> Option<u64> {
    match observation.fault {
        Some(Fault::Memory { address, .. }) => address,
        _ => None,
    }
}

fn compare_faults(slot: kop_ops::Slot, reference: &Observation, other: &Observation) -> Option<Disagreement> {
    let same = match (reference.fault, other.fault) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same_kind(b),
        // The stack of native code is no memory of a proof's.
        (Some(Fault::Memory { access, address: Some(address) }), None) => {
            other.native_stack.iter().any(|record| record.access == access && record.covers(address))
        }
        _ => false,
    };
    if same {
        return None;
    }
    let show =
        |observation: &Observation| observation.fault.map_or("no fault".to_owned(), |fault| fault.show(slot));
    let (expected, actual) = (show(reference), show(other));
    Some(Disagreement {
        kind: Kind::Fault,
        message: format!("expected {expected}, got {actual}"),
        place: match (reference.fault, other.fault) {
            (None, Some(_)) => "faults".to_owned(),
            (Some(_), None) => "does not fault".to_owned(),
            _ => "faults otherwise".to_owned(),
        },
        difference: Some(difference("fault", expected, actual)),
    })
}

fn register_disagreement(
    subject: &Subject,
    state: &State,
    reg: Reg,
    expected: u64,
    actual: u64,
) -> Disagreement {
    let slot = state.memory.slot;
    let role = subject.role_name(reg);
    // Which operands of a foreign operation are destinations is learned, not declared: other payloads tell.
    let is_destination = subject.is_destination(reg) && !subject.is_foreign();
    let left = actual == state.get(reg) && subject.proof_writes().has(reg) && !is_destination;
    let (kind, message) = if left {
        let condition =
            format!("sound only where {reg} is dead after the site, which the contract does not say");
        let way_out = subject.declaration(reg).map(|option| format!(" (declare it with {option})"));
        let way_out = way_out.unwrap_or_default();
        let message = format!("the proof writes {reg} ({role}), native code leaves it: {condition}{way_out}");
        (Kind::Temporary, message)
    } else {
        (Kind::Register, differs(subject, reg))
    };
    let difference = difference(reg.to_string(), slot.show(expected), slot.show(actual));
    Disagreement { kind, difference: Some(difference), place: role, message }
}

fn differs(subject: &Subject, reg: Reg) -> String {
    format!("{reg} ({}) differs", subject.role_name(reg))
}

/// The first write of `other` that has a byte which the reference does not write; `None` when either does not tell.
fn stray_write(reference: &Observation, other: &Observation) -> Option<AccessRecord> {
    let writes = |observation: &Observation| -> Option<Vec<AccessRecord>> {
        let accesses = observation.accesses.as_ref()?;
        Some(accesses.iter().copied().filter(|record| record.access == Access::Write).collect())
    };
    let allowed = writes(reference)?;
    let covered = |address: u64| {
        allowed
            .iter()
            .any(|record| (record.address..record.address + u64::from(record.size)).contains(&address))
    };
    writes(other)?
        .into_iter()
        .find(|record| !(record.address..record.address + u64::from(record.size)).all(&covered))
}

/// Compares the references with each other; native code has a vote on which of them is wrong.
fn judge_references(
    subject: &Subject,
    state: &State,
    garbage: u64,
    witnesses: &[Witness],
    votes: &[Witness],
) -> Vec<Finding> {
    let Some((first, others)) = witnesses.split_first() else { return Vec::new() };
    let agrees = |a: &Witness, b: &Witness| compare(subject, state, &a.observation, &b.observation).is_none();
    others
        .iter()
        .filter_map(|other| {
            let found = compare(subject, state, &first.observation, &other.observation)?;
            let (blame, reason) = match votes.iter().find(|vote| agrees(first, vote)) {
                Some(vote) if other.executes == Executes::Model => {
                    (Blame::Model, format!("{} and {} agree against it", first.name, vote.name))
                }
                Some(vote) => (
                    Blame::Engine(other.name.to_owned()),
                    format!("{} and {} agree against it", first.name, vote.name),
                ),
                None => (Blame::Undecided, "no native code agrees with either".to_owned()),
            };
            Some(Finding {
                kind: Kind::Reference,
                engine: other.name.to_owned(),
                arch: None,
                features: Features::NONE,
                payload: subject.payload,
                blame,
                reason,
                message: format!("{} and {} disagree: {}", first.name, other.name, found.message),
                difference: found.difference,
                place: found.place,
                run: Some((state.clone(), garbage)),
                sides: [first, other].map(|witness| side(witness, state)).to_vec(),
            })
        })
        .collect()
}

/// Compares native code with the references, and decides whom a difference speaks against.
fn judge_natives(
    subject: &Subject,
    variant: &Variant,
    state: &State,
    garbage: u64,
    references: &[Witness],
    natives: &[Witness],
) -> Vec<Finding> {
    let Some(reference) = references.first() else { return Vec::new() };
    let mut findings = Vec::new();
    for native in natives {
        let mut found: Vec<Disagreement> =
            compare(subject, state, &reference.observation, &native.observation).into_iter().collect();
        // A state whose registers differ says nothing yet about memory, which may be what the mistake is about.
        if found.first().is_some_and(|first| matches!(first.kind, Kind::Register | Kind::Temporary)) {
            found.extend(compare_memory(state.memory.slot, &reference.observation, &native.observation));
        }
        if reference.observation.fault.is_none() && native.observation.fault.is_none() {
            found.extend(native.observation.breaches.first().map(|breach| Disagreement {
                kind: Kind::Frame,
                difference: None,
                place: frame_place(breach),
                message: breach.to_string(),
            }));
        }
        for disagreement in found {
            let (blame, reason) = blame(subject, state, references, natives, native, disagreement.kind);
            findings.push(Finding {
                kind: disagreement.kind,
                engine: native.name.to_owned(),
                arch: Some(variant.code.arch),
                features: variant.features,
                payload: subject.payload,
                blame,
                reason,
                message: disagreement.message,
                difference: disagreement.difference,
                place: disagreement.place,
                run: Some((state.clone(), garbage)),
                sides: references.iter().chain(natives).map(|witness| side(witness, state)).collect(),
            });
        }
    }
    findings
}

fn frame_place(breach: &kop_emulators::FrameBreach) -> String {
    use kop_emulators::FrameBreach as B;
    match breach {
        B::Preserved { register, .. } | B::Vector { register } => register.clone(),
        B::Direction => "direction flag".to_owned(),
        B::BelowStack { .. } => "below the stack pointer".to_owned(),
        B::CallerStack { .. } => "the caller's stack".to_owned(),
    }
}

/// Whom a difference of `native` speaks against: the one who stands alone.
fn blame(
    subject: &Subject,
    state: &State,
    references: &[Witness],
    natives: &[Witness],
    native: &Witness,
    kind: Kind,
) -> (Blame, String) {
    let agree = |a: &Witness, b: &Witness| {
        compare(subject, state, &a.observation, &b.observation)
            .is_none_or(|found| found.place == "stray write")
    };
    let reference = &references[0];
    // What only some engines observe, such as accesses, says nothing against those that do.
    if kind == Kind::Frame || agree(reference, native) {
        return (Blame::Emit, "what it may do is a matter of the native code alone".to_owned());
    }
    let others: Vec<&Witness> = natives.iter().filter(|other| other.name != native.name).collect();
    if let Some(other) = others.iter().find(|other| agree(reference, other)) {
        let reason = format!("{} runs the same code and agrees with {}", other.name, reference.name);
        return (Blame::Engine(native.name.to_owned()), reason);
    }
    let model = references
        .iter()
        .find(|witness| witness.executes == Executes::Model && witness.name != reference.name);
    match model {
        Some(model) if agree(model, native) => {
            (Blame::Proof, format!("{} and {} agree against {}", model.name, native.name, reference.name))
        }
        Some(model) if agree(reference, model) => {
            (Blame::Emit, format!("{} and {} agree against it", reference.name, model.name))
        }
        Some(_) => (Blame::Undecided, "proof, model and native code all differ".to_owned()),
        None => (Blame::Emit, "it has no model: what the proof does is right".to_owned()),
    }
}

/// An account for display.
fn side(witness: &Witness, before: &State) -> Side {
    let slot = before.memory.slot;
    let after = &witness.observation.state;
    let registers = Reg::ALL
        .into_iter()
        .map(|reg| RegisterPair {
            name: reg.to_string(),
            before: slot.show(before.get(reg)),
            after: slot.show(after.get(reg)),
        })
        .collect();
    let pairs = [
        (&before.memory.window, &after.memory.window, slot.window()),
        (&before.memory.stack, &after.memory.stack, slot.stack()),
    ];
    let memory = pairs
        .into_iter()
        .flat_map(|(old, new, base)| {
            old.iter().zip(new.iter()).enumerate().filter(|(_, (a, b))| a != b).map(
                move |(offset, (a, b))| {
                    (slot.show(base + offset as u64), format!("{a:02x}"), format!("{b:02x}"))
                },
            )
        })
        .take(16)
        .collect();
    Side {
        engine: witness.name.to_owned(),
        registers,
        memory,
        fault: witness.observation.fault.map(|fault| fault.show(slot)),
        frame: witness.observation.breaches.iter().map(ToString::to_string).collect(),
    }
}
