// SPDX-License-Identifier: GPL-2.0-or-later
//! More states for code that few payloads have. An emit chooses its instructions by operands: a `test` in place of a comparison
//! with zero, a `mov` less where registers coincide. What is wrong in such a branch shows on its payloads alone, and a plan that
//! covers pairs of operands has few of some.

use std::collections::{BTreeMap, HashMap};

use kop_emulators::inspect::{Line, listing};
use kop_ops::kop::{EmitRequest, Pass};
use kop_ops::{Arch, Features, Form, Kop};

use crate::generate::{Planned, constants, kind_of};
use crate::subject::Scope;

/// How many states each sequence of instructions gets.
const WANTED: usize = 640;

/// How many it gets where a branch depends on bits: each of 64 comes alone several times.
const WANTED_OF_MASKS: usize = 2560;

/// A plan gets no more than so many times its states.
const MOST_TIMES: usize = 4;

/// How many payloads are asked about at once.
const ASKED_AT_ONCE: usize = 1024;

/// A sequence of instructions apart from the values of operands; of a proof where there is no architecture.
type Shape = (Option<(Arch, Features)>, Vec<u32>);

/// Plans further states for payloads whose code, or whose proof sequence, few others have.
pub(super) fn extend(kop: &dyn Kop, form: &Form, planned: &mut [Planned], scope: &Scope) {
    let members = members(kop, form, planned, scope);
    let budget: usize = planned.iter().map(|own| own.states).sum();
    let most = budget * MOST_TIMES / members.len().max(1);
    for members in members.values() {
        let first = form.layout.pack(&planned[members[0]].operands);
        let proof = kop.instantiate(form, first).unwrap_or_default();
        let has_mask = constants(&proof).iter().any(|constant| constant.is_mask);
        let wanted = most.min(if has_mask { WANTED_OF_MASKS } else { WANTED });
        let states: usize = members.iter().map(|&index| planned[index].states).sum();
        let missing = wanted.saturating_sub(states).div_ceil(members.len());
        // An even number, so that odd stays odd.
        members.iter().for_each(|&index| planned[index].states += missing.next_multiple_of(2));
    }
}

/// The payloads of each shape, by their numbers.
fn members(kop: &dyn Kop, form: &Form, planned: &[Planned], scope: &Scope) -> BTreeMap<Shape, Vec<usize>> {
    let mut members: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
    let mut shapes = Shapes::new(kop, form, scope);
    let payloads: Vec<u64> = planned.iter().map(|own| form.layout.pack(&own.operands)).collect();
    for (chunk, payloads) in payloads.chunks(ASKED_AT_ONCE).enumerate() {
        kop.expect(payloads, &scope.all_feature_sets(kop));
        for (index, &payload) in payloads.iter().enumerate() {
            for shape in shapes.of(payload) {
                members.entry(shape).or_default().push(chunk * ASKED_AT_ONCE + index);
            }
        }
    }
    members
}

struct Shapes<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    scope: &'a Scope,
    /// The number of each kind of instruction.
    kinds: HashMap<String, u32>,
    /// That of each line of a listing.
    lines: HashMap<String, u32>,
}

impl<'a> Shapes<'a> {
    fn new(kop: &'a dyn Kop, form: &'a Form, scope: &'a Scope) -> Self {
        Self { kop, form, scope, kinds: HashMap::new(), lines: HashMap::new() }
    }

    fn of(&mut self, payload: u64) -> Vec<Shape> {
        let (kop, form) = (self.kop, self.form);
        let proof = kop.instantiate(form, payload).ok();
        let kinds = proof.map(|proof| proof.iter().map(|insn| self.number(kind_of(insn))).collect());
        let mut shapes: Vec<Shape> = kinds.map(|kinds| (None, kinds)).into_iter().collect();
        for arch in self.scope.archs_of(kop, form) {
            for features in self.scope.feature_sets(kop, arch) {
                let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
                let Ok(emission) = kop.emit(form, &request) else { continue };
                let lines = listing(arch, &emission.bytes);
                let kinds = lines.into_iter().map(|line| self.line(line)).collect();
                shapes.push((Some((arch, features)), kinds));
            }
        }
        shapes
    }

    /// The number of a line: [`kinds_of`] it, and how long it is if it has a number, which is encoded in as many bytes as it takes.
    fn line(&mut self, line: Line) -> u32 {
        if let Some(known) = self.lines.get(&line.text) {
            return *known;
        }
        let kinds = kinds_of(&line.text);
        let kinds = if kinds.contains('#') { format!("{kinds} {}", line.bytes.len()) } else { kinds };
        let number = self.number(kinds);
        self.lines.insert(line.text, number);
        number
    }

    fn number(&mut self, kinds: String) -> u32 {
        let next = self.kinds.len() as u32;
        *self.kinds.entry(kinds).or_insert(next)
    }
}

/// A line of a listing with registers by their size and numbers by being some: `cmp r64, #`.
fn kinds_of(line: &str) -> String {
    let mut kinds = String::new();
    for token in line.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let word = token.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        kinds.push_str(if kinds.is_empty() { word } else { kind_of_operand(word) });
        kinds.push_str(&token[word.len()..]);
    }
    kinds
}

fn kind_of_operand(word: &str) -> &str {
    let name = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
    match word {
        "rax" | "rbx" | "rcx" | "rdx" | "rsi" | "rdi" | "rbp" | "rsp" => "r64",
        "eax" | "ebx" | "ecx" | "edx" | "esi" | "edi" | "ebp" | "esp" => "r32",
        _ if word.starts_with(|letter: char| letter.is_ascii_digit()) => "#",
        _ if word.strip_prefix('r').is_some_and(|rest| rest.parse::<u8>().is_ok()) => "r64",
        _ if word.starts_with('r') && word.ends_with('d') => "r32",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::DEFAULT_STATES;
    use crate::generate::plan;
    use kop_ops::Catalog;
    use kop_ops::choices::Seeded;

    #[test]
    fn lines_are_alike_but_for_registers_and_numbers() {
        let same = [
            [
                ("cmp rbx, 0xffffffffffffffe9", "cmp r12, 7"),
                ("mov r8d, dword ptr [rsi+0x1b]", "mov eax, dword ptr [r9+3]"),
            ],
            [("add x9, x9, #0x1", "add x23, x7, #0xff"), ("ldp q0, q1, [x20, #32]", "ldp q2, q3, [x2, #64]")],
        ];
        for (one, other) in same.into_iter().flatten() {
            assert_eq!(kinds_of(one), kinds_of(other));
        }
        for (one, other) in [
            ("cmovg rax, rbx", "cmovge rax, rbx"),
            ("mov eax, ebx", "mov rax, rbx"),
            ("add x1, x2, #3", "add w1, w2, #3"),
        ] {
            assert_ne!(kinds_of(one), kinds_of(other));
        }
    }

    #[test]
    fn code_of_few_payloads_runs_on_as_many_states_as_other_code() {
        let catalog = Catalog::einsn();
        let kop = catalog.get("select").expect("it is in the catalog");
        let form = kop.forms().iter().find(|form| form.name == "number64").expect("it has the form");
        let scope = Scope::default();
        let mut planned = plan(kop, form, DEFAULT_STATES, &mut Seeded::new(0));
        let before: usize = planned.iter().map(|own| own.states).sum();
        extend(kop, form, &mut planned, &scope);
        let after: usize = planned.iter().map(|own| own.states).sum();
        assert!(after > before && after <= (MOST_TIMES + 1) * before, "{before} {after}");
        for (shape, members) in members(kop, form, &planned, &scope) {
            let states: usize = members.iter().map(|&index| planned[index].states).sum();
            assert!(states >= WANTED.min(before * MOST_TIMES / 400), "{states} of {shape:?}");
        }
        assert!(planned.iter().all(|own| own.states % 2 == 1 || own == planned.last().expect("not empty")));
    }
}
