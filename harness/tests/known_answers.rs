// SPDX-License-Identifier: GPL-2.0-or-later
//! What is known from the manuals and from arithmetic holds for proof, model and native code, on every engine that is here.

use std::collections::{BTreeMap, BTreeSet};

use kop_harness::ops::{Arch, Catalog, Form, KnownAnswer, KnownStore, Kop, Slot, State};
use kop_harness::subject::{Scope, prepare};
use kop_harness::{Rig, selection};

fn form_of<'k>(kop: &'k dyn Kop, answer: &KnownAnswer) -> &'k Form {
    let found = kop.forms().iter().find(|form| form.name == answer.form);
    found.unwrap_or_else(|| panic!("{} has no form {}", kop.name(), answer.form))
}

fn payload_of(form: &Form, answer: &KnownAnswer) -> u64 {
    let pairs = answer.operands.split_whitespace().filter_map(|pair| pair.split_once('='));
    let operands = form.layout.parse(pairs).unwrap_or_else(|error| panic!("{}: {error}", answer.operands));
    form.layout.encode(&operands).expect("parsed operands are valid")
}

/// The state before: what the answer says, and r6 at the window where it says nothing of it.
fn before(answer: &KnownAnswer) -> State {
    let slot = Slot::default();
    let mut state = State::zeroed(slot);
    if !answer.memory.is_empty() {
        state.set(kop_harness::ops::ebpf::Reg::R6, slot.window());
    }
    for &(reg, value) in answer.before {
        state.set(reg, value);
    }
    for (address, bytes) in answer.memory {
        let address = slot.parse(address).unwrap_or_else(|| panic!("{address} is no address"));
        for (offset, &byte) in (0..).zip(*bytes) {
            state.memory.store(address + offset, 1, u64::from(byte)).expect("inside the window");
        }
    }
    state
}

/// The bytes that change, by address: what is known to be stored, where it is not there before.
fn changes(state: &State, stored: &[(&str, &[u8])]) -> BTreeMap<String, String> {
    let slot = state.memory.slot;
    let mut memory = state.memory.clone();
    let mut changes = BTreeMap::new();
    for (text, bytes) in stored {
        let first = slot.parse(text).unwrap_or_else(|| panic!("{text} is no address"));
        for (address, &byte) in (first..).zip(*bytes) {
            if memory.load(address, 1).expect("inside the window") != u64::from(byte) {
                changes.insert(slot.show(address), format!("{byte:02x}"));
            }
        }
    }
    changes
}

/// Answers of an operation, each with what it is known to store.
fn answers(kop: &dyn Kop) -> Vec<KnownStore> {
    let without = kop.known_answers().into_iter().map(|answer| KnownStore { answer, stored: &[] });
    without.chain(kop.known_stores()).collect()
}

#[test]
fn known_answers_hold_on_every_engine() {
    let catalog = Catalog::einsn();
    let (here, _) = selection::available();
    let mut rig = Rig::new(&here).expect("the engines start");
    let mut asked = BTreeSet::new();
    for kop in catalog.kops() {
        for KnownStore { answer, stored } in answers(*kop) {
            let form = form_of(*kop, &answer);
            let subject = prepare(*kop, form, payload_of(form, &answer), &Scope::default()).subject;
            let state = before(&answer);
            let sides =
                rig.observe(&subject.expect("a known answer's operands are admitted"), &state, 0x5eed);
            for side in sides {
                let at = format!("{} {} {} on {}", kop.name(), answer.form, answer.operands, side.engine);
                assert_eq!(side.fault, None, "{at}");
                for &(reg, value) in answer.after {
                    let pair = side.registers.iter().find(|pair| pair.name == reg.to_string());
                    let actual = &pair.expect("every register is shown").after;
                    assert_eq!(*actual, state.memory.slot.show(value), "{at}: {reg}");
                }
                let changed = side.memory.into_iter().map(|(address, _, after)| (address, after));
                assert_eq!(changed.collect::<BTreeMap<_, _>>(), changes(&state, stored), "{at}");
                asked.insert(side.engine);
            }
        }
    }
    let names: BTreeSet<String> = here.iter().map(|engine| engine.name.to_owned()).collect();
    assert_eq!(asked, names, "every engine that is here was asked");
}

#[test]
fn every_form_has_a_known_answer() {
    for (kop, form) in Catalog::einsn().forms() {
        let known = answers(kop).iter().any(|known| known.answer.form == form.name);
        assert!(known, "{} {} has no known answer", kop.name(), form.name);
    }
}

#[test]
fn known_answers_reach_the_native_code_of_both_architectures() {
    let catalog = Catalog::einsn();
    for kop in catalog.kops() {
        for arch in Arch::ALL {
            let native = answers(*kop).iter().any(|KnownStore { answer, .. }| {
                let form = form_of(*kop, answer);
                let subject = prepare(*kop, form, payload_of(form, answer), &Scope::default()).subject;
                subject
                    .is_some_and(|subject| subject.variants.iter().any(|variant| variant.code.arch == arch))
            });
            assert!(native, "{} has no {arch} code in its known answers", kop.name());
        }
    }
}
