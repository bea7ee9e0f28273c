// SPDX-License-Identifier: GPL-2.0-or-later
//! From the fields of a group to a form: ranges, roles and names.

use std::collections::BTreeSet;

use kop_ops::choices::Seeded;
use kop_ops::ebpf::{Insn, decode_program, encode_program};
use kop_ops::payload::MAX_FIELDS;
use kop_ops::{FieldKind, Form, Layout, Role};

use super::LearnedForm;
use super::group::Group;
use super::pieces::{Holds, Piece, pieces};
use super::probe::Probe;
use super::range::{accepted_values, range};
use super::search::replaced;

/// The highest register number there is.
const R10: u64 = 10;

/// A field and what is known of it.
struct Known {
    piece: Piece,
    name: String,
    min: i64,
    max: i64,
    signed: bool,
    /// The register numbers that are accepted; empty for other fields.
    registers: BTreeSet<u64>,
    /// No native code depends on the field.
    proof_alone: bool,
}

/// The form of `group`, and one more for each register field that takes numbers that are no register.
pub(super) fn forms(
    probe: &mut Probe,
    group: &Group,
    members: &[u64],
    choices: &mut Seeded,
) -> Vec<LearnedForm> {
    let (found, ignored) = pieces(probe, group, members, choices);
    let mut fields: Vec<Known> =
        fewer(found).into_iter().map(|piece| known(probe, group, members, piece, choices)).collect();
    give_names(&mut fields);
    let base = base_name(group);
    let mut forms = vec![LearnedForm {
        form: Form::new(base.clone(), "", layout(fields.iter().map(|field| (field, field.kind())))),
        archs: Vec::new(),
        callbacks: Vec::new(),
        ignored,
        remarks: fields.iter().flat_map(|field| field.remarks(&base)).collect(),
        notes: fields.iter().map(Known::note).collect(),
    }];
    for (index, odd) in fields.iter().enumerate().filter(|(_, field)| field.least_beyond().is_some()) {
        let kinds = fields.iter().enumerate().map(|(at, field)| {
            let numbers = |min| FieldKind::Unsigned { min, max: 15 };
            let kind = match field.least_beyond() {
                Some(least) if at == index => numbers(least),
                Some(_) if at > index => numbers(0),
                _ => field.kind(),
            };
            (field, kind)
        });
        let layout = layout(kinds);
        let name = format!("{base}-no-register-{}", odd.name);
        forms.push(LearnedForm {
            form: Form::new(name, "", layout),
            remarks: Vec::new(),
            ..forms[0].clone()
        });
    }
    for form in &mut forms {
        form.form.meaning = meaning(probe, form, members).into();
    }
    forms
}

/// `payload`, or `tag2` for the value of a tag; further tags, and the last one of several values, follow.
fn base_name(group: &Group) -> String {
    let value = |tag: &super::group::Tag| {
        if tag.min == tag.max { tag.min.to_string() } else { format!("{}to{}", tag.min, tag.max) }
    };
    let values: Vec<String> = group.tags.iter().map(value).collect();
    if values.is_empty() { "payload".to_owned() } else { format!("tag{}", values.join("-")) }
}

/// The pieces, joined where there are more than a layout may have: those that are no registers, narrow ones first.
fn fewer(mut pieces: Vec<Piece>) -> Vec<Piece> {
    while pieces.len() > MAX_FIELDS {
        let span = |at: usize| pieces[at + 1].low + pieces[at + 1].width - pieces[at].low;
        let joinable = |at: &usize| {
            let simple = |piece: &Piece| !matches!(piece.holds, Holds::Register { .. } | Holds::Tag);
            simple(&pieces[*at]) && simple(&pieces[at + 1]) && span(*at) <= 32
        };
        let Some(at) = (0..pieces.len() - 1).filter(joinable).min_by_key(|at| span(*at)) else { break };
        pieces[at] = Piece { low: pieces[at].low, width: span(at), holds: Holds::Selector { length: false } };
        pieces.remove(at + 1);
    }
    pieces
}

fn known(probe: &mut Probe, group: &Group, members: &[u64], mut piece: Piece, choices: &mut Seeded) -> Known {
    let mut registers = BTreeSet::new();
    if matches!(piece.holds, Holds::Register { .. } | Holds::Native | Holds::Selector { .. })
        && piece.width == 4
    {
        registers = accepted_values(probe, group, members, piece.low, piece.width);
        piece.holds = register_or_not(probe, group, &piece, &registers);
    }
    if !matches!(piece.holds, Holds::Register { .. }) {
        registers.clear();
    }
    let signed = matches!(piece.holds, Holds::Number { signed: true, .. });
    let (min, max) = match piece.holds {
        Holds::Tag | Holds::Fixed => {
            let values = members.iter().map(|&member| piece.value(member) as i64);
            values.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)))
        }
        _ => range(probe, group, members, (piece.low, piece.width, signed), choices),
    };
    let native = group.seeds.iter().fold(0, |bits, seed| bits | seed.native);
    let proof_alone = probe.has_emits() && native & piece.mask() == 0;
    Known { piece, name: String::new(), min, max, signed, registers, proof_alone }
}

/// Whether a nibble is a register number after all: one that native code alone sees, but that takes exactly their values,
/// is; one that the proof makes sense of above r10 is not.
fn register_or_not(probe: &mut Probe, group: &Group, piece: &Piece, values: &BTreeSet<u64>) -> Holds {
    match piece.holds {
        Holds::Register { .. } if values.last() > Some(&R10) => {
            let beyond: Vec<u64> = group
                .seeds
                .iter()
                .take(32)
                .flat_map(|seed| (11..16).map(|value| replaced(seed.payload, piece.low, piece.width, value)))
                .collect();
            let samples = probe.samples(&beyond);
            let proofs = samples.iter().flatten().flat_map(|sample| sample.proofs.iter().flatten());
            let (sound, all) = proofs
                .fold((0, 0), |(sound, all), proof| (sound + usize::from(program(proof).is_some()), all + 1));
            if 2 * sound > all { Holds::Selector { length: false } } else { piece.holds.clone() }
        }
        Holds::Native
            if values.first() == Some(&0)
                && [10, 11].contains(&values.len())
                && values.last() <= Some(&R10) =>
        {
            Holds::Register { written: false, address: false }
        }
        _ => piece.holds.clone(),
    }
}

fn program(slots: &[u64]) -> Option<Vec<Insn>> {
    let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
    decode_program(&bytes).ok()
}

impl Known {
    fn is_written(&self) -> bool {
        matches!(self.piece.holds, Holds::Register { written: true, .. })
    }

    fn role(&self) -> Role {
        match () {
            () if self.is_written() && self.proof_alone => Role::Scratch,
            () if self.is_written() => Role::Destination,
            () if self.registers.contains(&R10) => Role::Any,
            () => Role::Source,
        }
    }

    fn kind(&self) -> FieldKind {
        match self.piece.holds {
            Holds::Register { .. } => FieldKind::Register(self.role()),
            _ if self.signed => FieldKind::Signed { min: self.min as i32, max: self.max as i32 },
            _ => FieldKind::Unsigned { min: self.min as u32, max: self.max as u32 },
        }
    }

    /// The smallest number above r10 that a register field takes.
    fn least_beyond(&self) -> Option<u32> {
        self.registers.range(R10 + 1..).next().map(|least| *least as u32)
    }

    fn base_name(&self) -> &'static str {
        match self.piece.holds {
            Holds::Tag => "tag",
            Holds::Fixed => "fixed",
            Holds::Native => "hint",
            Holds::Selector { length: true } => "len",
            Holds::Selector { length: false } => "sel",
            Holds::Number { offset: true, .. } => "off",
            Holds::Number { .. } => "imm",
            Holds::Register { address, .. } => match self.role() {
                Role::Scratch => "tmp",
                Role::Destination => "dst",
                _ if address => "base",
                _ => "src",
            },
        }
    }

    /// What the description of the field says after its range.
    fn note(&self) -> String {
        let note = match self.piece.holds {
            Holds::Tag => "selects what the other bits mean",
            Holds::Fixed => "no other value is accepted",
            Holds::Native => "changes native code alone",
            Holds::Selector { length: true } => "changes how many instructions the proof has",
            Holds::Selector { length: false } => "changes what the proof does",
            Holds::Number { offset: true, .. } => "an offset in the proof",
            Holds::Number { .. } => "a constant in the proof",
            Holds::Register { .. } if self.is_written() && self.proof_alone => {
                "written by the proof, not seen by native code"
            }
            Holds::Register { .. } if self.is_written() => "written",
            Holds::Register { address: true, .. } => "read, as an address",
            Holds::Register { .. } => "read",
        };
        note.to_owned()
    }

    fn remarks(&self, form: &str) -> Vec<String> {
        let name = &self.name;
        let mut remarks = Vec::new();
        if self.least_beyond().is_some() {
            remarks.push(format!("{form}: numbers above r10 are accepted for the register {name}"));
        }
        if self.is_written() && self.registers.contains(&R10) {
            remarks.push(format!(
                "{form}: r10 is accepted for {name}, which the proof writes; the verifier refuses such a site, so it is not \
                 checked"
            ));
        }
        remarks
    }
}

/// Distinct names: `src`, `src2`, `src3`.
fn give_names(fields: &mut [Known]) {
    for at in 0..fields.len() {
        let base = fields[at].base_name();
        let before = fields[..at].iter().filter(|field| field.base_name() == base).count();
        fields[at].name = if before == 0 { base.to_owned() } else { format!("{base}{}", before + 1) };
    }
}

fn layout<'a>(fields: impl Iterator<Item = (&'a Known, FieldKind)>) -> Layout {
    fields.fold(Layout::new(), |layout, (field, kind)| {
        layout.field_at(field.name.clone(), kind, field.piece.low, field.piece.width)
    })
}

/// The proof of one payload of the form, as one line.
fn meaning(probe: &mut Probe, form: &LearnedForm, members: &[u64]) -> String {
    const MOST_SHOWN: usize = 6;
    let of_form: Vec<u64> = members.iter().copied().filter(|&member| form.covers(member)).take(64).collect();
    let samples = probe.samples(&of_form);
    let proofs = of_form.iter().zip(&samples).filter_map(|(payload, sample)| {
        let proof = sample.as_ref()?.proofs.iter().flatten().next()?;
        Some((*payload, program(proof)?))
    });
    let Some((payload, proof)) = proofs.max_by_key(|(_, proof)| encode_program(proof).len()) else {
        return "no proof sequence of it can be read".to_owned();
    };
    let shown: Vec<String> = proof.iter().take(MOST_SHOWN).map(ToString::to_string).collect();
    let more = if proof.len() > MOST_SHOWN { "; .." } else { "" };
    format!("{payload:#x} stands for {}{more}", shown.join("; "))
}
