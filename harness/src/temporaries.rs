// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether a register that native code left alone for one payload is one that it never writes: a temporary of the proof, or
//! a destination that was forgotten this once.
//!
//! Operations of the catalog say so themselves. For those from outside nobody does, so that other payloads are asked.

use std::collections::HashMap;

use kop_emulators::{Engine, Executes, Probe, Program};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::Reg;
use kop_ops::state::Slot;
use kop_ops::{Arch, Memory, Operands, State};

use crate::generate::{Placing, StateClasses, StatePlan, random_operands};
use crate::subject::{Scope, Subject, prepare};

/// How many payloads are asked.
const PAYLOADS: usize = 300;

/// On how many states, where the code holds an instruction that writes the register.
const STATES: usize = 3;

/// A register by what makes it the same in another payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// The operand with this index names it.
    Operand(usize),
    /// No operand names it.
    Fixed(Reg),
}

/// What is known of an operation's temporaries; operations and forms are told apart by their names.
#[derive(Debug, Default)]
pub struct Temporaries {
    never_written: HashMap<(String, String, Arch, Place), bool>,
}

impl Temporaries {
    /// Whether native code for `arch` never writes what `reg` is in this payload, whatever the payload.
    pub fn is_never_written(
        &mut self,
        engines: &mut [Box<dyn Engine>],
        subject: &Subject,
        arch: Arch,
        reg: Reg,
    ) -> bool {
        let places = places(subject, reg);
        places.into_iter().all(|place| {
            let key = (subject.kop.name().to_owned(), subject.form.name.to_string(), arch, place);
            if let Some(&known) = self.never_written.get(&key) {
                return known;
            }
            let never = !is_written(engines, subject, arch, place);
            self.never_written.insert(key, never);
            never
        })
    }
}

/// What `reg` is: the operands that name it, or itself.
fn places(subject: &Subject, reg: Reg) -> Vec<Place> {
    let named = registers(subject, &subject.operands).filter(|(_, own)| *own == reg);
    let places: Vec<Place> = named.map(|(index, _)| Place::Operand(index)).collect();
    if places.is_empty() { vec![Place::Fixed(reg)] } else { places }
}

/// The register operands by index.
fn registers<'s>(subject: &'s Subject, operands: &'s Operands) -> impl Iterator<Item = (usize, Reg)> + 's {
    let fields = subject.form.layout.fields().iter().zip(operands.values()).enumerate();
    fields
        .filter(|(_, (field, _))| field.is_register())
        .filter_map(|(index, (_, value))| Some((index, Reg::new(*value as u8)?)))
}

/// Whether the code for some payload changes the register at this place.
fn is_written(engines: &mut [Box<dyn Engine>], subject: &Subject, arch: Arch, place: Place) -> bool {
    let mut choices = Seeded::derived(TEMPORARIES, &[]);
    let scope = Scope { archs: vec![arch], simd: true };
    (0..PAYLOADS).any(|_| {
        let Some(operands) = random_operands(subject.kop, subject.form, &mut choices) else { return false };
        let Some(reg) = alone(subject, &operands, place) else { return false };
        let payload = subject.form.layout.pack(&operands);
        let Some(other) = prepare(subject.kop, subject.form, payload, &scope).subject else { return false };
        other.variants.iter().any(|variant| {
            variant.writes.ebpf(arch).has(reg)
                && (0..STATES)
                    .any(|_| changes(engines, &other, &Program::Native(&variant.code), reg, &mut choices))
        })
    })
}

/// The label of this sequence of decisions.
const TEMPORARIES: u64 = 0x7465_6d70;

/// The register at this place, if it is there alone.
fn alone(subject: &Subject, operands: &Operands, place: Place) -> Option<Reg> {
    let named = |reg: Reg| registers(subject, operands).filter(|(_, own)| *own == reg).count();
    match place {
        Place::Fixed(reg) => (named(reg) == 0).then_some(reg),
        Place::Operand(index) => {
            let reg = Reg::new(operands.values()[index] as u8)?;
            (named(reg) == 1).then_some(reg)
        }
    }
}

/// Whether a state of the code's ends with another value in the register.
fn changes(
    engines: &mut [Box<dyn Engine>],
    subject: &Subject,
    program: &Program,
    reg: Reg,
    choices: &mut Seeded,
) -> bool {
    let Program::Native(code) = program else { return false };
    let able = engines
        .iter_mut()
        .find(|engine| engine.executes() == Executes::Native(code.arch) && engine.admits(program).is_ok());
    let Some(engine) = able else { return false };
    let slot = Slot::default();
    let plan = StatePlan { interesting: &[], ..StatePlan::of(subject, slot) };
    let inputs = plan.inputs;
    let mut values = Vec::new();
    plan.generate_placed(Placing::Apart, choices, &mut StateClasses::default(), &mut values);
    let mut state = State { registers: plan.background(choices)[0], memory: Memory::zeroed(slot) };
    state.memory.window.fill_with(|| choices.bits() as u8);
    for (input, value) in inputs.iter().zip(values) {
        state.set(input, value);
    }
    let observation = engine.probe(&Probe { program: *program, state: &state, garbage: choices.bits() });
    observation.fault.is_none() && observation.state.get(reg) != state.get(reg)
}
