// SPDX-License-Identifier: GPL-2.0-or-later
//! An input of an operation's target: a payload and states, all determined by its bytes.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::payload::PAYLOAD_BITS;
use kop_ops::state::{Registers, Slot};
use kop_ops::{Form, Kop, Memory, State};

use crate::case::Case;
use crate::generate::{ByteChoices, StateClasses, StatePlan, invalid_payload, random_operands};
use crate::rig::Load;
use crate::subject::{Prepared, Scope, prepare};

/// States of one input: two odd halves, see [`kop_emulators::Batch::halves`].
const STATES: usize = 254;

/// The bits of a payload.
const PAYLOAD_MASK: u64 = (1 << PAYLOAD_BITS) - 1;

/// What a fuzzer's bytes mean.
#[derive(Debug)]
pub struct Input<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The payload; valid for most inputs.
    pub payload: u64,
    /// What the callbacks say of it.
    pub prepared: Prepared<'a>,
    /// Memory before each state.
    pub memory: Memory,
    inputs: RegSet,
    states: Vec<u64>,
    background: [Registers; 2],
    garbage: u64,
}

/// Reads bytes as an input of one of `kops`; every byte string is one.
///
/// The first state is spelled out in the bytes. Half of the others are the first one with one value changed, so that what
/// is near to it is tried with it, and the rest are independent of it.
pub fn decode<'a>(kops: &[&'a dyn Kop], bytes: &[u8]) -> Input<'a> {
    let mut choices = ByteChoices::new(bytes);
    let (_, kop) = operation(kops, &mut choices);
    let (form, payload) = site(kop, &mut choices);
    let prepared = prepare(kop, form, payload, &Scope::default());
    let slot = Slot::default();
    let plan = prepared.subject.as_ref().map_or_else(
        || {
            let interesting = kop.interesting_values(form);
            StatePlan { inputs: RegSet::from(Reg::R0), memory: &[], interesting, constants: &[], slot }
        },
        |subject| StatePlan::of(subject, slot),
    );
    let (inputs, uses) = (plan.inputs, plan.memory);
    let mut states = Vec::with_capacity(STATES * inputs.len());
    let mut classes = StateClasses::default();
    plan.generate(&mut choices, &mut classes, &mut states);
    let mut rest = choices.continuation();
    let values: Vec<usize> = inputs
        .iter()
        .enumerate()
        .filter(|(_, reg)| *reg != Reg::R10 && uses.iter().all(|usage| usage.base != *reg))
        .map(|(index, _)| index)
        .collect();
    for number in 1..STATES {
        if number % 2 == 1 && !values.is_empty() {
            let start = states.len();
            states.extend_from_within(..inputs.len());
            vary(&mut states[start + *rest.pick(&values)], &mut rest);
        } else {
            plan.generate(&mut rest, &mut classes, &mut states);
        }
    }
    let background = plan.background(&mut rest);
    let memory = fill(slot, &mut rest);
    Input { kop, form, payload, prepared, memory, inputs, states, background, garbage: rest.bits() }
}

/// Which operation an input is about.
fn operation<'a>(kops: &[&'a dyn Kop], choices: &mut ByteChoices) -> (usize, &'a dyn Kop) {
    let index = choices.below(kops.len() as u64) as usize;
    (index, kops[index])
}

/// The number of the operation, the form and the payload that bytes mean to a target about `kops`. No callback is asked for
/// more than which payloads there are.
pub(super) fn site_of<'a>(kops: &[&'a dyn Kop], bytes: &[u8]) -> (usize, &'a Form, u64) {
    let mut choices = ByteChoices::new(bytes);
    let (index, kop) = operation(kops, &mut choices);
    let (form, payload) = site(kop, &mut choices);
    (index, form, payload)
}

/// The first bytes of an input about a foreign operation, by its number among `count`, that hold this payload as it is.
pub(super) fn spelled_out(index: usize, count: usize, payload: u64) -> Vec<u8> {
    // A choice among n takes as many bytes as n - 1 has; the first of two says that the payload follows.
    let choice =
        (0..).take_while(|byte| (count - 1) >> (8 * byte) > 0).map(|byte| (index >> (8 * byte)) as u8);
    choice.chain([0]).chain(payload.to_le_bytes()).collect()
}

/// A form and a payload for it.
///
/// What is known of a foreign operation's payloads was learnt. Half of its inputs hold the payload itself, lowest byte
/// first, so that a fuzzer's mutations reach what decodes it whatever was learnt.
fn site<'a>(kop: &'a dyn Kop, choices: &mut ByteChoices) -> (&'a Form, u64) {
    let is_foreign = !kop.arguments().is_empty();
    if is_foreign && choices.one_in(2) {
        let payload = choices.bits() & PAYLOAD_MASK;
        let decoding = kop.forms().iter().filter(|form| form.layout.decode(payload).is_ok());
        let decoding: Vec<&Form> = decoding.collect();
        let form = if decoding.is_empty() { choices.pick(kop.forms()) } else { *choices.pick(&decoding) };
        return (form, payload);
    }
    let form = choices.pick(kop.forms());
    let payload = if choices.one_in(16) {
        invalid_payload(form, choices, |choices| random_operands(kop, form, choices))
    } else {
        random_operands(kop, form, choices).map_or(0, |operands| form.layout.pack(&operands))
    };
    (form, payload)
}

/// Changes a value a little, or altogether.
fn vary(value: &mut u64, choices: &mut Seeded) {
    *value = match choices.below(8) {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => !*value,
        3 => choices.bits(),
        _ => *value ^ 1 << choices.below(64),
    };
}

fn fill(slot: Slot, choices: &mut Seeded) -> Memory {
    let mut memory = Memory::zeroed(slot);
    for bytes in [&mut memory.window, &mut memory.stack] {
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&choices.bits().to_le_bytes());
        }
    }
    memory
}

impl Input<'_> {
    /// The values of the first state's named registers, ascending by register.
    pub fn first_state(&self) -> impl Iterator<Item = u64> {
        self.states[..self.inputs.len()].iter().copied()
    }

    /// Registers and memory of the first state.
    pub fn state(&self) -> State {
        let mut state = State { registers: self.background[0], memory: self.memory.clone() };
        for (reg, value) in self.inputs.iter().zip(self.first_state()) {
            state.set(reg, value);
        }
        state
    }

    /// The states to run; `None` for a payload that both sides refuse.
    pub fn load(&self) -> Option<Load<'_>> {
        Some(Load {
            subject: self.prepared.subject.as_ref()?,
            inputs: self.inputs,
            states: self.states.clone(),
            background: self.background,
            garbage: self.garbage,
            sampled: true,
        })
    }

    /// The case of the first state. Memory that the proof does not touch is left zero, to be readable.
    pub fn case(&self) -> Case {
        let mut state = self.state();
        if self.prepared.subject.as_ref().is_none_or(|subject| subject.memory.is_empty()) {
            state.memory = Memory::zeroed(state.memory.slot);
        }
        let mut case = Case::new(self.kop, self.form, self.payload, &state);
        case.garbage = self.garbage;
        case
    }
}

/// The case that bytes mean to the target of `kops`, with what is not in it in a comment.
pub(super) fn show(kops: &[&dyn Kop], bytes: &[u8]) -> String {
    let input = decode(kops, bytes);
    let mut case = input.case();
    case.comment.push(match &input.prepared.subject {
        Some(_) => format!("first of {STATES} states of an input of {} bytes", bytes.len()),
        None => "both sides must refuse the payload".to_owned(),
    });
    case.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{alias_pattern, plan};
    use kop_ops::ebpf::Insn;
    use kop_ops::kops::rotate::Rotate;
    use kop_ops::{Catalog, Fault, Reject, Site};
    use std::collections::BTreeSet;
    use std::sync::LazyLock;

    #[test]
    fn inputs_reach_every_form_and_aliasing() {
        let catalog = Catalog::einsn();
        for &kop in catalog.kops() {
            let mut choices = Seeded::new(3);
            let (mut forms, mut patterns, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
            for _ in 0..400 {
                let bytes: Vec<u8> = (0..64).map(|_| choices.bits() as u8).collect();
                let input = decode(&[kop], &bytes);
                assert!(input.prepared.findings.is_empty(), "{:?}", input.prepared.findings);
                forms.insert(input.form.name.to_string());
                match &input.prepared.subject {
                    Some(subject) => _ = patterns.insert(alias_pattern(subject.form, &subject.operands)),
                    None => refused += 1,
                }
            }
            assert_eq!(forms.len(), kop.forms().len(), "{}", kop.name());
            // `distinct` and one coincidence at the least, where operands may coincide at all.
            let possible = kop.forms().iter().flat_map(|form| {
                let planned = plan(kop, form, 2500, &mut choices).into_iter();
                planned.map(|planned| alias_pattern(form, &planned.operands)).collect::<Vec<_>>()
            });
            let possible: BTreeSet<_> = possible.collect();
            assert!(patterns.len() >= possible.len().min(2), "{}: {patterns:?} of {possible:?}", kop.name());
            assert!((2..60).contains(&refused), "{}: {refused} payloads refused", kop.name());
        }
    }

    #[test]
    fn an_input_shows_as_a_case_that_parses() {
        let catalog = Catalog::einsn();
        for bytes in [&[][..], &[1, 2, 3], &[0xff; 90]] {
            let text = show(catalog.kops(), bytes);
            assert!(Case::parse(&text, &catalog).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_first_state_comes_from_the_bytes_alone() {
        let catalog = Catalog::einsn();
        let kops = [catalog.get("clmul").expect("in the catalog")];
        let mut choices = Seeded::new(5);
        let mut bytes: [u8; 200] = std::array::from_fn(|_| choices.bits() as u8);
        let before: Vec<u64> = decode(&kops, &bytes).first_state().collect();
        bytes[199] ^= 1;
        assert!(decode(&kops, &bytes).first_state().eq(before));
    }

    /// An operation that says of itself that it comes from outside.
    struct Foreign;

    impl Kop for Foreign {
        fn name(&self) -> &str {
            "foreign"
        }

        fn summary(&self) -> &str {
            Rotate.summary()
        }

        fn source(&self) -> &str {
            Rotate.source()
        }

        fn forms(&self) -> &[Form] {
            Rotate.forms()
        }

        fn model(&self, _: &Site, _: &mut State) -> Option<Result<(), Fault>> {
            None
        }

        fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
            Rotate.proof(site)
        }

        fn arguments(&self) -> &[String] {
            static ARGUMENTS: LazyLock<[String; 2]> =
                LazyLock::new(|| ["--module", "a.c"].map(str::to_owned));
            &*ARGUMENTS
        }
    }

    #[test]
    fn what_is_spelled_out_is_what_an_input_means() {
        let (one, three): ([&dyn Kop; 1], [&dyn Kop; 3]) = ([&Foreign], [&Foreign, &Rotate, &Foreign]);
        for payload in [0, 1, 0x000f_edcb_a987_6543, PAYLOAD_MASK] {
            let mut bytes = spelled_out(0, 1, payload);
            bytes.extend([1, 2, 3]);
            let numbers = |(index, _, payload): (usize, &Form, u64)| (index, payload);
            assert_eq!(numbers(site_of(&one, &bytes)), (0, payload));
            assert_eq!(numbers(site_of(&three, &spelled_out(2, 3, payload))), (2, payload));
        }
    }

    #[test]
    fn half_of_a_foreign_operations_inputs_hold_the_payload_itself() {
        let bytes = [&[0][..], &0xfff3_1234_5678_9abc_u64.to_le_bytes()].concat();
        let input = decode(&[&Foreign], &bytes);
        assert_eq!(input.payload, 0x3_1234_5678_9abc);
        assert!(input.prepared.subject.is_none() && input.prepared.findings.is_empty());
        // The payload's own form is the one that it is given to.
        for (index, form) in Rotate.forms().iter().enumerate() {
            let valid = form
                .layout
                .pack(&random_operands(&Foreign, form, &mut Seeded::new(1)).expect("there are some"));
            let bytes = [&[0][..], &valid.to_le_bytes(), &[0; 40]].concat();
            let input = decode(&[&Foreign], &bytes);
            assert!(input.form.layout.decode(valid).is_ok(), "form {index}");
            assert!(input.prepared.subject.is_some(), "form {index}");
        }
        let mut choices = Seeded::new(7);
        let covered = (0..400).filter(|_| {
            let bytes: Vec<u8> = (0..64).map(|_| choices.bits() as u8).collect();
            decode(&[&Foreign], &bytes).prepared.subject.is_some()
        });
        assert!((100..300).contains(&covered.count()), "the other half has operands");
    }
}
