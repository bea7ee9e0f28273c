// SPDX-License-Identifier: GPL-2.0-or-later
//! Every proof sequence of the catalog, in every aliasing pattern of its operands: it has the shape that the kernel asks for,
//! the verifier accepts it, and it gives in the kernel what it gives on `spec`.

use std::collections::BTreeSet;

use kop_emulators::kernel::proof::{Entry, verify};
use kop_ops::ebpf::{AluOp, Insn, Operand, Reg, RegSet, Size, shape};
use kop_ops::payload::{FieldKind, Operands};
use kop_ops::{Catalog, Features, Form, Kop, Layout, ProgramKind, Site};

use super::support::{Pair, object, skipped};

const REGISTERS: u64 = 11;

/// Operands with the number `index`: first every assignment of registers, with one choice of the boundary values of the
/// others after another; then the same with the next choice for each.
struct Samples {
    values: Vec<Vec<i64>>,
    assignments: u64,
    choices: u64,
}

impl Samples {
    fn new(layout: &Layout) -> Self {
        let boundary = |field: &kop_ops::Field| match field.kind {
            FieldKind::Register(_) => Vec::new(),
            _ => boundaries(field.range()),
        };
        let values: Vec<Vec<i64>> = layout.fields().iter().map(boundary).collect();
        let registers = values.iter().filter(|values| values.is_empty()).count();
        let choices = values.iter().filter(|values| !values.is_empty()).map(Vec::len).product::<usize>();
        Self { values, assignments: REGISTERS.pow(registers as u32), choices: choices as u64 }
    }

    /// All assignments once, and `least` samples unless there are fewer.
    fn iter(&self, least: u64) -> impl Iterator<Item = Operands> {
        let count = (self.assignments * self.choices).min(least).max(self.assignments);
        (0..count).map(|index| self.get(index))
    }

    fn get(&self, index: u64) -> Operands {
        let (mut assignment, mut choice) =
            (index % self.assignments, (index + index / self.assignments) % self.choices);
        let mut digit = |base: u64, register: bool| {
            let number = if register { &mut assignment } else { &mut choice };
            let digit = *number % base;
            *number /= base;
            digit
        };
        let operand = |values: &Vec<i64>| match values.len() as u64 {
            0 => digit(REGISTERS, true) as i64,
            count => values[digit(count, false) as usize],
        };
        Operands::new(&self.values.iter().map(operand).collect::<Vec<_>>())
    }
}

fn boundaries((min, max): (i64, i64)) -> Vec<i64> {
    let mut values: Vec<i64> = [min, min + 1, -1, 0, 1, 7, 8, 31, 32, 33, 63, max - 1, max, (min + max) / 2]
        .into_iter()
        .filter(|value| (min..=max).contains(value))
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// A payload that a form admits, with all that is known of it.
struct Admitted<'a> {
    kop: &'a dyn Kop,
    site: Site<'a>,
    proof: Vec<Insn>,
    entry: Entry,
}

impl Admitted<'_> {
    /// Which register operands are the same: for each, the first that is.
    fn pattern(&self) -> Vec<usize> {
        let fields = self.site.form.layout.fields().iter().zip(self.site.operands.values());
        let registers: Vec<i64> =
            fields.filter(|(field, _)| field.is_register()).map(|(_, register)| *register).collect();
        let first = |register| registers.iter().position(|other| other == register);
        registers.iter().map(|register| first(register).expect("itself at least")).collect()
    }

    fn about(&self) -> String {
        let form = self.site.form;
        format!("{} {} {}", self.kop.name(), form.name, form.layout.show(&self.site.operands))
    }
}

fn admitted<'a>(kop: &'a dyn Kop, form: &'a Form, least: u64) -> Vec<Admitted<'a>> {
    Samples::new(&form.layout)
        .iter(least)
        .filter_map(|operands| {
            let payload = form.layout.encode(&operands).ok()?;
            let proof = kop.instantiate(form, payload).ok()?;
            let site = Site::decode(form, payload, Features::NONE).expect("it is admitted");
            Some(Admitted { kop, site, proof, entry: Entry::of_site(kop, &site) })
        })
        .collect()
}

/// Of many sequences, one in a number that is prime, so that they go through all registers and boundary values; not fewer
/// than `least`, if there are as many.
fn thinned<'a>(sequences: &'a [Admitted<'a>], least: usize) -> Vec<&'a Admitted<'a>> {
    let step = [37, 17, 7, 3].into_iter().find(|step| sequences.len() / step >= least).unwrap_or(1);
    let mut thinned: Vec<_> = sequences.iter().step_by(step).collect();
    // A pattern that is rare may be between the steps.
    let mut patterns: BTreeSet<_> = thinned.iter().map(|sequence| sequence.pattern()).collect();
    thinned.extend(sequences.iter().filter(|sequence| patterns.insert(sequence.pattern())));
    thinned
}

#[test]
fn every_proof_sequence_has_the_shape_and_is_accepted() {
    let skipped = skipped();
    for (kop, form) in Catalog::einsn().forms() {
        let (mut verified, mut placeless) = (0, 0);
        let sequences = admitted(kop, form, 500);
        for sequence in &sequences {
            shape::check(&sequence.proof, kop.limits(form).max_insn_cnt.into())
                .unwrap_or_else(|error| panic!("{}: {error}", sequence.about()));
        }
        for sequence in thinned(&sequences, 400) {
            if !sequence.entry.fits() {
                // Through r10 far from the stack, or across eight bytes of it: no program can do that.
                assert!(sequence.entry.accesses.iter().any(|access| access.base == Reg::R10));
                placeless += 1;
            } else if !skipped {
                verify(&sequence.proof, &sequence.entry)
                    .unwrap_or_else(|error| panic!("{}: {error}", sequence.about()));
                verified += 1;
            }
        }
        println!("{} {}: {verified} verified, {placeless} outside of the stack", kop.name(), form.name);
        let least = few(form, 50);
        assert!(sequences.len() >= least && (skipped || verified >= least), "{} {}", kop.name(), form.name);
    }
}

/// Where the run finds and leaves what, from the window's start.
mod place {
    pub const REGISTERS: i16 = 0;
    pub const STACK: i16 = 1024;
    pub const MEMORY: i32 = 2048;
    pub const REGISTERS_AFTER: i16 = 3072;
    pub const STACK_AFTER: i16 = 3200;
}

/// The bytes of stack that proof sequences may use; two words below are the program's own.
const STACK: i16 = 448;
const WINDOW: i16 = -STACK - 16;
const SPARE: i16 = -STACK - 8;

/// A program that loads all registers and the stack from the window, runs the proof sequence, and stores them behind. Base
/// registers point into the window; those that still do at the end, and dead registers, are not stored.
fn program(sequence: &Admitted) -> Vec<Insn> {
    let load = |register, base, off| Insn::load(Size::B8, register, base, off);
    let store = |base, off, register| Insn::store(Size::B8, base, off, register);
    let register = |i: i16| Reg::new(i as u8).expect("below eleven");
    let mut program = vec![store(Reg::R10, WINDOW, Reg::R1)];
    for off in (0..STACK).step_by(8) {
        program.extend([load(Reg::R2, Reg::R1, place::STACK + off), store(Reg::R10, off - STACK, Reg::R2)]);
    }
    for i in [0, 2, 3, 4, 5, 6, 7, 8, 9, 1] {
        program.push(load(register(i), Reg::R1, place::REGISTERS + 8 * i));
    }
    let accesses = &sequence.entry.accesses;
    let bases: RegSet = accesses.iter().map(|access| access.base).filter(|base| *base != Reg::R10).collect();
    for base in bases.iter() {
        let lowest = accesses.iter().filter(|access| access.base == base).map(|access| access.offset).min();
        let distance = place::MEMORY - lowest.expect("it is the base of one");
        program.extend([load(base, Reg::R10, WINDOW), Insn::alu64(AluOp::Add, base, distance)]);
    }
    program.extend_from_slice(&sequence.proof);
    let written: RegSet = sequence.proof.iter().flat_map(|insn| insn.writes().iter()).collect();
    let hidden = bases.minus(written).union(sequence.kop.contract(&sequence.site).dead);
    program.extend([store(Reg::R10, SPARE, Reg::R9), load(Reg::R9, Reg::R10, WINDOW)]);
    for i in (0..9).filter(|i| !hidden.has(register(*i))) {
        program.push(store(Reg::R9, place::REGISTERS_AFTER + 8 * i, register(i)));
    }
    if !hidden.has(Reg::R9) {
        program.push(load(Reg::R0, Reg::R10, SPARE));
        program.push(store(Reg::R9, place::REGISTERS_AFTER + 72, Reg::R0));
    }
    for off in (0..STACK).step_by(8) {
        program.extend([
            load(Reg::R0, Reg::R10, off - STACK),
            store(Reg::R9, place::STACK_AFTER + off, Reg::R0),
        ]);
    }
    program.extend([Insn::mov64(Reg::R0, 0), Insn::Exit]);
    program
}

/// A window of troublesome and other numbers.
fn window(seed: u64) -> Vec<u8> {
    const TROUBLE: [u64; 6] = [0, 1, u64::MAX, 1 << 63, 0x8000_0000, 0xffff_ffff];
    let mut state = seed;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = state ^ state >> 29;
        TROUBLE.get(random as usize % 16).copied().unwrap_or(random)
    };
    (0..place::REGISTERS_AFTER / 8).map(word).flat_map(u64::to_le_bytes).collect()
}

/// Whether it computes with r10 or stores an address, whose values are others in the kernel.
fn spreads_an_address(sequence: &Admitted) -> bool {
    let is_base = |reg: Reg| sequence.entry.accesses.iter().any(|access| access.base == reg);
    sequence.proof.iter().any(|insn| match insn {
        Insn::Store { src: Operand::Reg(src), .. } => is_base(*src) || *src == Reg::R10,
        insn => insn.access().is_none() && insn.reads().has(Reg::R10),
    })
}

/// `least`, or as many payloads as the form has where these are fewer.
fn few(form: &Form, least: usize) -> usize {
    least.min(form.layout.combinations() as usize)
}

#[test]
fn every_proof_sequence_gives_in_the_kernel_what_it_gives_on_spec() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    for (kop, form) in Catalog::einsn().forms() {
        let sequences = admitted(kop, form, 500);
        let fitting = thinned(&sequences, 100).into_iter().filter(|sequence| sequence.entry.fits());
        let (mut runs, mut pointers) = (0, 0);
        for (number, sequence) in fitting.enumerate() {
            if spreads_an_address(sequence) {
                pointers += 1;
                continue;
            }
            let object = object(ProgramKind::Raw, program(sequence));
            for state in 0..3 {
                pair.compare(&object, &window(number as u64 * 3 + state));
                runs += 1;
            }
        }
        println!(
            "{} {}: {runs} runs, {pointers} sequences compute with r10 or store an address",
            kop.name(),
            form.name
        );
        assert!(runs >= 3 * few(form, 50), "{} {}: {runs}", kop.name(), form.name);
    }
}
