// SPDX-License-Identifier: GPL-2.0-or-later
//! Proof sequences over terms.

use kop_ops::ebpf::{AtomicOp, Insn, Reg, Size};
use kop_semantics::Domain;
use kop_semantics::ebpf::{Machine, Next, step};

use super::flow::{EXIT, Merge, Then, Waiting, merge_all};
use super::{Common, Ran, Refusal};
use crate::memory::Roots;
use crate::term::{Term, Terms};

/// The registers r0 to r10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// 64 bits each.
    pub registers: [Term; 11],
}

impl Merge for State {
    fn merge(&self, terms: &mut Terms, condition: Term, other: &Self) -> Self {
        State { registers: merge_all(terms, 64, condition, &self.registers, &other.registers) }
    }
}

/// Runs a sequence from a state to its end; a jump out of it is one to the exit, if there `may_leave`.
///
/// # Errors
/// The [`Refusal`], when no formula can be made of it.
pub fn run(
    terms: &mut Terms,
    roots: &Roots,
    (insns, may_leave): (&[Insn], bool),
    state: State,
) -> Result<Ran<State>, Refusal> {
    // Places are slots, of which `ld_imm64` has two.
    let mut slots = Vec::with_capacity(insns.len());
    for insn in insns {
        slots.push(Some(insn));
        slots.resize(slots.len() + insn.slots() - 1, None);
    }
    let mut waiting = Waiting::new(terms, state.clone());
    let mut on = On { common: Common::new(terms, roots), state };
    while let Some((place, condition, state)) = waiting.next(slots.len())? {
        let insn = slots[place].ok_or_else(|| Refusal::Meaningless("a jump into ld_imm64".to_owned()))?;
        (on.common.path, on.state) = (condition, state);
        let next = step(&mut on, insn).map_err(|NoReference| Refusal::Meaningless(insn.to_string()))?;
        let then = then(&next, insn, place, (slots.len(), may_leave))?;
        waiting.send(&mut on.common, place, then, on.state.clone(), || insn.to_string())?;
    }
    match waiting.out(on.common.terms, slots.len()) {
        Some(out) => Ok(on.common.ran(out)),
        None => Err(Refusal::Meaningless("a sequence that does not end".to_owned())),
    }
}

fn then(
    next: &Next<Term>,
    insn: &Insn,
    place: usize,
    (end, may_leave): (usize, bool),
) -> Result<Then, Refusal> {
    let following = place + insn.slots();
    let target = || {
        let offset = insn.branch_offset().expect("jumps have an offset");
        following
            .checked_add_signed(offset as isize)
            .filter(|target| *target <= end)
            .or(may_leave.then_some(EXIT))
            .ok_or_else(|| Refusal::Meaningless(insn.to_string()))
    };
    match *next {
        Next::Fall => Ok(Then::To(following)),
        Next::Jump => Ok(Then::To(target()?)),
        Next::Branch(taken) => Ok(Then::Branch(taken, target()?, following)),
        Next::MayGoto | Next::Call(_) | Next::Exit | Next::Undefined => {
            Err(Refusal::Meaningless(insn.to_string()))
        }
    }
}

/// A reference to what a sequence has not.
struct NoReference;

/// The machine while code runs.
struct On<'a> {
    common: Common<'a>,
    state: State,
}

impl Machine for On<'_> {
    type Domain = Terms;
    type Stop = NoReference;

    fn domain(&mut self) -> &mut Terms {
        self.common.terms
    }

    fn get(&mut self, register: Reg) -> Term {
        self.state.registers[register.index()]
    }

    fn set(&mut self, register: Reg, value: Term) {
        self.state.registers[register.index()] = value;
    }

    fn load(&mut self, size: Size, address: Term) -> Result<Term, NoReference> {
        Ok(self.common.load(size.bytes() as u32, address))
    }

    fn store(&mut self, size: Size, address: Term, value: Term) -> Result<(), NoReference> {
        self.common.store(size.bytes() as u32, address, value);
        Ok(())
    }

    /// The kernel's verifier lets aligned addresses through alone.
    fn begin_atomic(&mut self, _op: AtomicOp, size: Size, address: Term) -> Result<(), NoReference> {
        let misaligned = self.common.misaligned(address, size.bytes() as u32);
        let reached = self.common.terms.and(1, self.common.path, misaligned);
        let defined = self.common.terms.not(1, reached);
        self.common.defined.push(defined);
        Ok(())
    }

    fn reference(&mut self, _kind: u8, _imm: u64) -> Result<Term, NoReference> {
        Err(NoReference)
    }
}
