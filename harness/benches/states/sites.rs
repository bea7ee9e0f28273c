// SPDX-License-Identifier: GPL-2.0-or-later
//! What is run: of each form a payload whose registers are all different, and states for it.

use kop_emulators::engine::Executes;
use kop_emulators::engine::{Batch, Program};
use kop_emulators::engines::EngineKind;
use kop_harness::generate::{StateClasses, StatePlan, every_operands};
use kop_harness::rig::Load;
use kop_harness::subject::{Scope, Subject, prepare};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::state::{Slot, WINDOW_SIZE};
use kop_ops::{Catalog, Features, Form, Kop, Memory};

use crate::{SHORT_PROOF, STATES};

/// A form with a payload.
pub struct Site<'a> {
    pub subject: Subject<'a>,
    /// The registers that states set.
    pub inputs: RegSet,
    /// The states, without faults: values from the generators, and pointers into the window.
    pub states: Vec<u64>,
    pub background: [[u64; 11]; 2],
    pub memory: Memory,
}

/// A site of every form of the operations named, of all if none is.
pub fn all<'a>(catalog: &Catalog<'a>, names: &[String]) -> Vec<Site<'a>> {
    let chosen = |kop: &&'a dyn Kop| names.is_empty() || names.iter().any(|name| name == kop.name());
    let kops = catalog.kops().iter().copied().filter(chosen);
    kops.flat_map(|kop| kop.forms().iter().filter_map(move |form| site(kop, form))).collect()
}

/// How many payloads are looked at for one without aliasing.
const LOOKED_AT: usize = 100_000;

fn site<'a>(kop: &'a dyn Kop, form: &'a Form) -> Option<Site<'a>> {
    let fields = form.layout.fields().iter().filter(|field| field.is_register()).count();
    let mut valid = every_operands(kop, form).take(LOOKED_AT);
    let operands = valid.find(|operands| form.layout.registers(operands).len() == fields)?;
    let subject = prepare(kop, form, form.layout.pack(&operands), &Scope::default()).subject?;
    let inputs = subject.named();
    let mut site = Site {
        subject,
        inputs,
        states: Vec::new(),
        background: [[0; 11]; 2],
        memory: Memory::zeroed(Slot::default()),
    };
    let mut choices = Seeded::new(1);
    site.memory.window.fill_with(|| choices.bits() as u8);
    site.memory.stack.fill_with(|| choices.bits() as u8);
    site.states = site.generate(&mut choices);
    site.background = site.plan().background(&mut choices);
    Some(site)
}

impl Site<'_> {
    /// `operation form`.
    pub fn name(&self) -> String {
        format!("{} {}", self.subject.kop.name(), self.subject.form.name)
    }

    /// Whether it counts for the targets: it touches no memory, and its proof is short.
    pub fn counts(&self) -> bool {
        self.subject.memory.is_empty() && self.subject.proof.len() <= SHORT_PROOF
    }

    fn plan(&self) -> StatePlan<'_> {
        let interesting = self.subject.kop.interesting_values(self.subject.form);
        let (inputs, constants, slot) = (self.inputs, &self.subject.constants[..], self.memory.slot);
        StatePlan { inputs, memory: &[], interesting, constants, slot }
    }

    /// States of one batch.
    pub fn generate(&self, choices: &mut Seeded) -> Vec<u64> {
        let plan = self.plan();
        let mut states = Vec::with_capacity(STATES * self.inputs.len());
        let mut classes = StateClasses::default();
        (0..STATES).for_each(|_| plan.generate(choices, &mut classes, &mut states));
        for usage in &self.subject.memory {
            let position = self.inputs.iter().position(|reg| reg == usage.base).expect("bases are named");
            for state in states.chunks_exact_mut(self.inputs.len()) {
                let place = choices.below(WINDOW_SIZE as u64 - usage.length());
                state[position] = (self.memory.slot.window() + place).wrapping_add_signed(-usage.low);
            }
        }
        states
    }

    /// The registers that are read back.
    pub fn outputs(&self) -> RegSet {
        self.inputs.minus(self.subject.dead)
    }

    /// What an engine of this kind runs; `None` when it runs code that there is none of.
    pub fn program(&self, kind: &EngineKind) -> Option<Program<'_>> {
        let engine = kind.make().expect("an engine that is listed as available");
        let program = match kind.executes {
            Executes::Proof => Program::Proof(&self.subject.proof),
            Executes::Model => {
                Program::Model { kop: self.subject.kop, site: self.subject.site(Features::NONE) }
            }
            Executes::Native(arch) => {
                let own = self.subject.variants.iter().filter(|variant| variant.code.arch == arch);
                let mut programs = own.map(|variant| Program::Native(&variant.code));
                programs.find(|program| engine.admits(program).is_ok())?
            }
        };
        engine.admits(&program).is_ok().then_some(program)
    }

    /// A batch of states.
    pub fn batch<'b>(&'b self, program: Program<'b>, states: &'b [u64]) -> Batch<'b> {
        Batch {
            program,
            inputs: self.inputs,
            outputs: self.outputs(),
            states,
            background: &self.background,
            garbage: 5,
        }
    }

    /// A load for the oracle.
    pub fn load(&self, choices: &mut Seeded) -> Load<'_> {
        Load {
            subject: &self.subject,
            inputs: self.inputs,
            states: self.generate(choices),
            background: self.plan().background(choices),
            garbage: choices.bits(),
            sampled: true,
        }
    }

    /// The operands: what the proof reads before it certainly wrote it, and what it leaves as it was on one of its ways.
    pub fn operands(&self) -> RegSet {
        let proof = &self.subject.proof;
        let slots: Vec<usize> = proof.iter().map(Insn::slots).collect();
        let starts = |number: usize| slots[..number].iter().sum::<usize>();
        // What is certainly written before each instruction and at the end: proofs branch forward only.
        let mut written = vec![RegSet::ALL; proof.len() + 1];
        written[0] = RegSet::EMPTY;
        let mut read = RegSet::EMPTY;
        for (number, insn) in proof.iter().enumerate() {
            read = read.union(insn.reads().minus(written[number]));
            let after = written[number].union(insn.writes());
            if let Some(offset) = insn.branch_offset() {
                let target = (starts(number + 1) as i64 + i64::from(offset)) as usize;
                let target = (0..=proof.len()).find(|&other| starts(other) == target);
                let target = target.expect("a proof branches to an instruction or to its end");
                written[target] = written[target].intersect(after);
            }
            if !matches!(insn, Insn::Ja { .. } | Insn::Gotol { .. }) {
                written[number + 1] = written[number + 1].intersect(after);
            }
        }
        let left = self.results().minus(written[proof.len()]);
        read.union(left).minus(RegSet::from(Reg::R10))
    }

    /// The results: what the proof writes and is not dead.
    pub fn results(&self) -> RegSet {
        self.subject.proof_writes().minus(self.subject.dead)
    }
}
