// SPDX-License-Identifier: GPL-2.0-or-later
//! What has to hold at the end, one thing at a time.

use std::fmt;

use kop_ops::ebpf::Reg;
use kop_semantics::Domain;

use crate::machine::Breach;
use crate::memory::{Access, Memory, Place};
use crate::term::{Term, Terms};

/// What a claim says of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An eBPF register is the same.
    Register(Reg),
    /// A byte of memory is the same: the address as a text.
    Memory(String),
    /// A register or flag that is not an eBPF register is as before.
    Kept(String),
    /// The end of the code, or the exit that it has been granted, is reached.
    End,
    /// The exit is taken in the same states.
    Taken,
    /// An access is one of the proof sequence's, too.
    Access(String),
    /// Something does not happen.
    Never(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Register(register) => write!(f, "{register} differs"),
            What::Memory(address) => write!(f, "the byte at {address} differs"),
            What::Kept(name) => write!(f, "{name} is not kept"),
            What::End => f.write_str("native code does not reach its end"),
            What::Taken => f.write_str("whether the jump is taken differs"),
            What::Access(text) => write!(f, "native code {text}, the proof sequence does not"),
            What::Never(text) => f.write_str(text),
        }
    }
}

/// Two values that have to be equal.
#[derive(Clone, Debug)]
pub(super) struct Obligation {
    pub what: What,
    /// What the proof sequence says.
    pub proof: Term,
    /// What native code makes.
    pub native: Term,
}

/// A claim in one case: under the hypotheses, all obligations hold.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub hypotheses: Vec<Term>,
    pub obligations: Vec<Obligation>,
    /// What both sides did to memory.
    pub memories: [Memory; 2],
    /// The root of the stack, which nobody else has an address in.
    pub stack: Option<Term>,
}

/// That a bit is 1.
pub(super) fn holds(terms: &mut Terms, what: What, bit: Term) -> Obligation {
    Obligation { what, proof: terms.constant(1, 1), native: bit }
}

/// That none of the breaches happens.
pub(super) fn no_breaches(terms: &mut Terms, breaches: Vec<Breach>) -> Vec<Obligation> {
    breaches
        .into_iter()
        .map(|breach| {
            let not = terms.not(1, breach.condition);
            holds(terms, What::Never(breach.text), not)
        })
        .collect()
}

/// That memory is the same at the end, wherever either side has written, but for what `private` says.
pub(super) fn same_memory(
    terms: &mut Terms,
    [proof, native]: [&Memory; 2],
    private: impl Fn(Place) -> bool,
) -> Vec<Obligation> {
    let mut places: Vec<Place> = proof.written().chain(native.written()).filter(|p| !private(*p)).collect();
    places.sort_unstable_by_key(|place| (place.root, place.offset as i64));
    places.dedup();
    places
        .into_iter()
        .map(|place| {
            let what = What::Memory(text(terms, place));
            Obligation { what, proof: proof.byte(terms, place), native: native.byte(terms, place) }
        })
        .collect()
}

/// That native code accesses no byte that the proof sequence does not, but for what `private` says; and writes none that it does not
/// write. Bytes are the same where their addresses are, however these are written: what is not seen from roots and distances is said of
/// the numbers.
pub(super) fn no_other_accesses(
    terms: &mut Terms,
    [proof, native]: [&Memory; 2],
    private: impl Fn(Place) -> bool,
) -> Vec<Obligation> {
    let mut obligations = Vec::new();
    for access in native.accesses() {
        for distance in 0..u64::from(access.bytes) {
            let place = access.place.plus(distance);
            if private(place) {
                continue;
            }
            let touched = proof.touches(terms, place, access.write);
            let not = terms.not(1, access.condition);
            let mut allowed = terms.or(1, not, touched);
            if terms.as_constant(allowed) != Some(1) {
                let elsewhere = proof.touches_elsewhere(terms, place, access.write);
                allowed = terms.or(1, allowed, elsewhere);
            }
            if terms.as_constant(allowed) != Some(1) {
                let what = What::Access(described(terms, access, place));
                obligations.push(holds(terms, what, allowed));
            }
        }
    }
    obligations
}

fn described(terms: &Terms, access: &Access, place: Place) -> String {
    let verb = if access.write { "writes" } else { "reads" };
    format!("{verb} the byte at {}", text(terms, place))
}

/// An address as a text.
fn text(terms: &Terms, place: Place) -> String {
    format!("{} {:+}", terms.show(place.root), place.offset as i64)
}
