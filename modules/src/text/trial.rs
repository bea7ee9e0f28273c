// SPDX-License-Identifier: GPL-2.0-or-later
//! What is tried when a file is loaded, so that a mistake in it is shown with its place instead of as a divergence of
//! every payload: the proof of some operands of each kind, every native form for some of those that it is meant for, and
//! whether the proof uses operands as their kinds say.

use std::collections::BTreeSet;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::{Arch, Field, Operands};

use super::document::{SourceFile, TextError};
use super::form::{FormText, Problem};
use super::operands::Use;

/// Forms with at most this many combinations of operands are tried with all of them.
const ALL: u64 = 1024;

/// How many attempts are made for each value of an operand.
const ATTEMPTS: usize = 8;

/// For how many operands each native form is assembled.
const ASSEMBLED: usize = 6;

/// Tries a form; the remarks belong into every report.
pub(super) fn try_form(source: &SourceFile, text: &FormText, at: usize) -> Result<Vec<String>, TextError> {
    let samples = samples(text);
    if samples.is_empty() {
        return Err(source.error(at, "no operands meet all rules of `require`"));
    }
    try_proofs(source, text, &samples, at)?;
    let mut remarks = Vec::new();
    for &arch in &text.archs {
        remarks.extend(try_natives(source, text, arch, &samples)?);
    }
    Ok(remarks)
}

/// Operands that the rules admit: all of a small form, otherwise the boundaries of every operand and random ones.
fn samples(text: &FormText) -> Vec<Operands> {
    let layout = &text.form.layout;
    let admitted = |operands: &Operands| {
        layout.encode(operands).is_ok() && text.broken_rule(operands.values()).is_none()
    };
    if layout.combinations() <= ALL {
        return (0..layout.combinations()).map(|index| layout.combination(index)).filter(admitted).collect();
    }
    let mut choices = Seeded::new(0);
    let mut found = BTreeSet::new();
    for (index, field) in layout.fields().iter().enumerate() {
        for value in boundaries(field) {
            for _ in 0..ATTEMPTS {
                let mut operands = random(layout.fields(), &mut choices);
                operands.values_mut()[index] = value;
                if admitted(&operands) {
                    found.insert(operands);
                }
            }
        }
    }
    let random = (0..ALL).map(|_| random(layout.fields(), &mut choices)).filter(admitted);
    found.extend(random);
    found.into_iter().collect()
}

/// Every value of a small operand, otherwise its ends and what lies around zero and powers of two.
fn boundaries(field: &Field) -> Vec<i64> {
    let (min, max) = field.range();
    if field.count() <= 16 {
        return (min..=max).collect();
    }
    let powers = (0..32).flat_map(|bit| [1i64 << bit, (1 << bit) - 1, -(1 << bit), -(1 << bit) - 1]);
    let values: BTreeSet<i64> =
        powers.chain([0, min, max]).filter(|value| (min..=max).contains(value)).collect();
    values.into_iter().collect()
}

fn random(fields: &[Field], choices: &mut Seeded) -> Operands {
    let values: Vec<i64> =
        fields.iter().map(|field| field.range().0 + choices.below(field.count()) as i64).collect();
    Operands::new(&values)
}

/// The error at a place of the file that some operands show.
fn error(source: &SourceFile, text: &FormText, at: usize, what: &str, operands: &Operands) -> TextError {
    let layout = &text.form.layout;
    let payload = layout.pack(operands);
    source.error(at, format!("{what}, for {} (payload {payload:#x})", layout.show(operands)))
}

fn try_proofs(
    source: &SourceFile,
    text: &FormText,
    samples: &[Operands],
    at: usize,
) -> Result<(), TextError> {
    let mut usage = Usage::new(text);
    let mut proofs = 0;
    for operands in samples {
        match text.proof(operands.values()) {
            Ok(proof) => {
                proofs += 1;
                usage.note(text, operands, &proof);
            }
            Err(Problem::At(at, what)) => return Err(error(source, text, at, &what, operands)),
            Err(_) => (),
        }
    }
    if proofs == 0 {
        return Err(source.error(at, "no `when` of the proofs holds for any operands"));
    }
    usage.verdict(text).map_or(Ok(()), |(index, what)| Err(source.error(text.operands.places[index], what)))
}

/// How proofs use the operands while no two of them are one register.
struct Usage {
    /// By operand: read while it still held what it held before; written.
    read: Vec<bool>,
    written: Vec<bool>,
    seen: bool,
}

impl Usage {
    fn new(text: &FormText) -> Self {
        let count = text.form.layout.fields().len();
        Self { read: vec![false; count], written: vec![false; count], seen: false }
    }

    fn note(&mut self, text: &FormText, operands: &Operands, proof: &[Insn]) {
        let registers: Vec<(usize, Reg)> = text
            .form
            .layout
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| field.is_register())
            .filter_map(|(index, _)| Some((index, Reg::new(u8::try_from(operands.values()[index]).ok()?)?)))
            .collect();
        let distinct: BTreeSet<Reg> = registers.iter().map(|(_, register)| *register).collect();
        if distinct.len() < registers.len() {
            return;
        }
        self.seen = true;
        let mut written = RegSet::EMPTY;
        for insn in proof {
            for &(index, register) in &registers {
                self.read[index] |= insn.reads().has(register) && !written.has(register);
            }
            written = written.union(insn.writes());
        }
        for &(index, register) in &registers {
            self.written[index] |= written.has(register);
        }
    }

    /// The first operand whose kind the proof does not follow.
    fn verdict(&self, text: &FormText) -> Option<(usize, String)> {
        if !self.seen {
            return None;
        }
        text.form.layout.fields().iter().zip(&text.operands.uses).enumerate().find_map(
            |(index, (field, usage))| {
                let name = &field.name;
                let (read, written) = (self.read[index], self.written[index]);
                let what = match usage {
                    Use::Free => return None,
                    _ if !written => {
                        format!("the proof never writes `{name}`: its kind is `source` or `any`")
                    }
                    Use::Written if read => {
                        format!("the proof reads `{name}` before it writes it: its kind is `in-place`")
                    }
                    Use::Updated if !read => {
                        format!("the proof never reads what `{name}` held: its kind is `destination`")
                    }
                    _ => return None,
                };
                Some((index, what))
            },
        )
    }
}

/// Assembles every native form for some of the operands that it is taken for; those that it is never taken for are
/// remarks. It is a mistake in the file when none of them has code, and otherwise for the oracle to judge.
fn try_natives(
    source: &SourceFile,
    text: &FormText,
    arch: Arch,
    samples: &[Operands],
) -> Result<Vec<String>, TextError> {
    let subsets = text.features(arch).subsets();
    let choices = &text.natives[arch as usize];
    let mut taken: Vec<Vec<&Operands>> = vec![Vec::new(); choices.len()];
    for operands in samples {
        let mut indices = BTreeSet::new();
        for &features in &subsets {
            match text.choose(arch, features, operands.values()) {
                Ok(index) => drop(indices.insert(index)),
                Err(Problem::At(at, what)) => return Err(error(source, text, at, &what, operands)),
                Err(_) => (),
            }
        }
        for index in indices {
            taken[index].push(operands);
        }
    }
    let mut remarks = Vec::new();
    for (index, (choice, taken)) in choices.iter().zip(&taken).enumerate() {
        if taken.is_empty() {
            let (line, _) = source.position(choice.template.at);
            remarks.push(format!(
                "the {arch} form in line {line} was taken for none of {} sampled payloads",
                samples.len()
            ));
        }
        let step = taken.len().div_ceil(ASSEMBLED).max(1);
        let mut failure = None;
        for operands in taken.iter().step_by(step) {
            match text.code(arch, index, operands.values()) {
                Ok(_) => {
                    failure = None;
                    break;
                }
                Err(Problem::Features) => (),
                Err(Problem::Uncovered(at, what) | Problem::At(at, what)) => {
                    failure = failure.or(Some(error(source, text, at, &what, operands)));
                }
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(remarks)
}
