// SPDX-License-Identifier: GPL-2.0-or-later
//! Loops around store-exclusives. A store-exclusive may fail at any time, for which no formula is made: the formula is of the way on
//! which it succeeds, and whoever fails has to start over.
//!
//! What is proved is proved of every way nevertheless. A loop is the instructions from the one that is gone back to up to the
//! store-exclusive and its jump. All of its runs begin at the first of them: nothing jumps into its middle. A run that fails has
//! stored nothing and has changed only what instructions of the loop write. So the state in which any run begins, the first or a
//! later one, is that in which the loop was entered, but for what the loop writes: where a loop is entered, that becomes
//! anything at all, and the last run, which succeeds or leaves the loop, is among the runs that the formula is of.

use kop_ops::aarch64::{Gpr, Insn};
use kop_ops::ebpf::Reg;
use kop_semantics::Domain;
use kop_semantics::aarch64::{Decoded, Operation, Other, step};
use kop_semantics::native::Next;

use super::{FLAGS, On, State};
use crate::machine::{Common, Decided, Refusal, variable_name};
use crate::memory::Roots;
use crate::term::Terms;

/// A loop around a store-exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The offset of the store-exclusive.
    pub store: usize,
    /// The offset of the instruction that is gone back to when it fails.
    pub(super) first: usize,
    changes: Changes,
}

/// What instructions change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changes {
    gprs: [bool; 32],
    flags: [bool; FLAGS],
    vectors: [bool; 32],
    /// Whether they store.
    stores: bool,
}

impl Changes {
    fn and(&mut self, other: &Changes) {
        let either = |a: &mut [bool], b: &[bool]| a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
        either(&mut self.gprs, &other.gprs);
        either(&mut self.flags, &other.flags);
        either(&mut self.vectors, &other.vectors);
        self.stores |= other.stores;
    }
}

impl Retry {
    /// Makes what the loop changes anything, where the loop is entered as the `number`th one of a run of the code.
    pub(super) fn enter(&self, terms: &mut Terms, state: &mut State, number: usize) {
        let mut anything = |name: String, width| terms.variable(&format!("retry {number} {name}"), width);
        for (i, _) in self.changes.gprs.iter().enumerate().filter(|(_, changed)| **changed) {
            state.gprs[i] = anything(format!("x{i}"), 64);
        }
        for (i, _) in self.changes.flags.iter().enumerate().filter(|(_, changed)| **changed) {
            state.flags[i] = anything(format!("flag {i}"), 1);
        }
        for (i, _) in self.changes.vectors.iter().enumerate().filter(|(_, changed)| **changed) {
            state.vectors[i] = ["low", "high"].map(|half| anything(format!("v{i} {half}"), 64));
        }
        (state.monitor, state.mixed) = (None, false);
    }
}

/// The loops of a code.
///
/// # Errors
/// [`Refusal::Exclusive`] for a store-exclusive that is not followed by a jump back for when it fails, [`Refusal::Retry`] for one whose
/// loop stores something else or is jumped into.
pub fn retries(terms: &mut Terms, code: &[Decoded]) -> Result<Vec<Retry>, Refusal> {
    let is_exclusive = |insn: &Decoded| status(insn).is_some();
    if !code.iter().any(is_exclusive) {
        return Ok(Vec::new());
    }
    let initial = Reg::ALL.map(|register| terms.variable(variable_name(register), 64));
    let start = State::at_start(terms, &initial);
    let effects: Vec<(Changes, Option<i64>)> = code.iter().map(|insn| effect(terms, &start, insn)).collect();
    let stores = code.iter().enumerate().filter(|(_, insn)| is_exclusive(insn));
    stores.map(|(index, _)| retry(code, &effects, index)).collect()
}

/// Where a store-exclusive says whether it failed.
fn status(insn: &Decoded) -> Option<Gpr> {
    match insn.operation {
        Operation::Insn(Insn::StoreExclusive { rs, .. })
        | Operation::Other(Other::StoreExclusivePair { rs, .. }) => Some(rs),
        _ => None,
    }
}

/// The loop around the store-exclusive that is the instruction with this number.
fn retry(code: &[Decoded], effects: &[(Changes, Option<i64>)], index: usize) -> Result<Retry, Refusal> {
    let (store, status) = (code[index].offset, status(&code[index]));
    let first = code.get(index + 1).and_then(|next| match next.operation {
        Operation::Insn(Insn::CompareBranch { nonzero: true, rt, offset, .. })
            if Some(rt) == status && rt != Gpr::Xzr && offset < 0 =>
        {
            let target = next.offset.checked_add_signed(offset as isize)?;
            code.binary_search_by_key(&target, |insn| insn.offset).ok()
        }
        _ => None,
    });
    let first = first.ok_or(Refusal::Exclusive(store))?;
    let mut changes = Changes::default();
    effects[first..=index].iter().for_each(|(more, _)| changes.and(more));
    let middle = code[first].offset as i64 + 1..=code[index + 1].offset as i64;
    let mut outside = effects[..first].iter().chain(&effects[index + 2..]);
    // Where nothing is marked store-exclusives store nothing: this one has not where it fails, but one in front of it may have.
    let stores = changes.stores || code[first..index].iter().any(|insn| self::status(insn).is_some());
    if stores || outside.any(|(_, target)| target.is_some_and(|target| middle.contains(&target))) {
        return Err(Refusal::Retry(store));
    }
    Ok(Retry { store, first: code[first].offset, changes })
}

/// What an instruction changes in some state or other in which nothing is marked, and where it jumps to if it does.
fn effect(terms: &mut Terms, start: &State, insn: &Decoded) -> (Changes, Option<i64>) {
    let (mut changes, mut jump) = (Changes::default(), None);
    let always = terms.constant(1, 1);
    let roots = Roots::new();
    let mut ways = vec![(always, Decided::default())];
    while let Some((path, decided)) = ways.pop() {
        let common = Common::new(terms, &roots);
        let mut on = On { common, state: start.clone(), decided, unknown: false };
        match step(&mut on, insn) {
            Ok(Next::Jump(target) | Next::Branch { target, .. }) => jump = Some(target),
            Ok(Next::Fall | Next::Indirect(_) | Next::Trap) => {}
            Err(super::Undecided(bit)) => {
                on.decided.both_ways(on.common.terms, path, bit, &mut ways);
                continue;
            }
        }
        changes.and(&Changes {
            gprs: std::array::from_fn(|i| on.state.gprs[i] != start.gprs[i]),
            flags: std::array::from_fn(|i| on.state.flags[i] != start.flags[i]),
            vectors: std::array::from_fn(|i| on.state.vectors[i] != start.vectors[i]),
            stores: on.common.memory.accesses().iter().any(|access| access.write),
        });
    }
    (changes, jump)
}
