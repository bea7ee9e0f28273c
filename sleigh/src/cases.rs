// SPDX-License-Identifier: GPL-2.0-or-later
//! Cases that together are all inputs, where both sides are easier to compare in each than in all at once.

use kop_ops::x86_64::{Gpr, Size};
use kop_prover::term::{Term, Terms};
use kop_semantics::Domain;
use kop_semantics::x86_64::{Op, Operand, Place};

use crate::ours::Decoded;

/// Some of the inputs.
pub(crate) struct Case {
    /// The locations at the start.
    pub start: Vec<Term>,
    /// Bits that are 0 in this case.
    pub excluded: Vec<Term>,
}

/// The cases of an instruction.
pub(crate) fn cases(terms: &mut Terms, insn: &Decoded, start: Vec<Term>) -> Vec<Case> {
    let Decoded::X86_64(decoded) = insn else { return vec![Case { start, excluded: Vec::new() }] };
    match decoded.op {
        Op::BitTest { size, dst: Place::Mem(_), index: Operand::Place(Place::Reg(index)), .. } => {
            by_bytes(terms, start, index, size)
        }
        Op::Divide { signed, size, .. } => by_high_half(terms, start, signed, size),
        _ => vec![Case { start, excluded: Vec::new() }],
    }
}

/// The byte of its word that a bit lies in is known in each case: one side accesses it by words, the other by bytes.
fn by_bytes(terms: &mut Terms, start: Vec<Term>, index: Gpr, size: Size) -> Vec<Case> {
    let place = usize::from(index.code());
    let cases = (0..size.bytes()).map(|byte| {
        let bits = terms.constant(size.bytes().trailing_zeros(), byte.into());
        let mut start = start.clone();
        start[place] = with_bits(terms, start[place], 3, bits);
        Case { start, excluded: Vec::new() }
    });
    cases.collect()
}

/// The high half of the dividend only extends the low half, or it does not.
fn by_high_half(terms: &mut Terms, start: Vec<Term>, signed: bool, size: Size) -> Vec<Case> {
    let width = size.bits();
    let (low_of, high_of, shift) = match size {
        Size::B1 => (Gpr::Rax, Gpr::Rax, 8),
        _ => (Gpr::Rax, Gpr::Rdx, 0),
    };
    let [low_of, high_of] = [low_of, high_of].map(|register| usize::from(register.code()));
    let low = terms.extract(64, 0, width, start[low_of]);
    let high = terms.extract(64, shift, width, start[high_of]);
    let extension = if signed {
        let sign = terms.extract(width, width - 1, 1, low);
        terms.sign_extend(1, width, sign)
    } else {
        terms.constant(width, 0)
    };
    let mut narrow = start.clone();
    narrow[high_of] = with_bits(terms, start[high_of], shift, extension);
    let extends = terms.eq(width, high, extension);
    vec![Case { start: narrow, excluded: Vec::new() }, Case { start, excluded: vec![extends] }]
}

/// `value` of 64 bits with `bits` from `low` on.
fn with_bits(terms: &mut Terms, value: Term, low: u32, bits: Term) -> Term {
    let end = low + terms.width(bits);
    let mut whole = bits;
    if low > 0 {
        let below = terms.extract(64, 0, low, value);
        whole = terms.concat(end, low, whole, below);
    }
    if end < 64 {
        let above = terms.extract(64, end, 64 - end, value);
        whole = terms.concat(64, end, above, whole);
    }
    whole
}
