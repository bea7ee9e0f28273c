// SPDX-License-Identifier: GPL-2.0-or-later
//! Control flow on all paths at once: states wait at the instruction they go to next, the lowest goes first, and states that meet are
//! merged. A jump back is followed when it is certain.

use std::collections::BTreeMap;

use kop_semantics::Domain;

use super::{Common, Refusal};
use crate::term::{Term, Terms};

/// Where states wait that have left the code for the one place outside that they may go to.
pub(super) const EXIT: usize = usize::MAX;

/// Instructions that are run at most.
pub(super) const MOST_STEPS: usize = 1 << 16;

/// A state that can be chosen by a condition.
pub(super) trait Merge: Clone {
    /// This state where `condition`, else the other.
    #[must_use]
    fn merge(&self, terms: &mut Terms, condition: Term, other: &Self) -> Self;
}

/// Merges registers one by one.
pub(super) fn merge_all<const N: usize>(
    terms: &mut Terms,
    width: u32,
    condition: Term,
    a: &[Term; N],
    b: &[Term; N],
) -> [Term; N] {
    std::array::from_fn(|i| if a[i] == b[i] { a[i] } else { terms.ite(width, condition, a[i], b[i]) })
}

/// Where control goes after an instruction.
pub(super) enum Then {
    /// To this place.
    To(usize),
    /// To the first place if the bit is 1, else to the second.
    Branch(Term, usize, usize),
    /// Nowhere.
    Stop,
}

/// The state behind code, on all ways out of it together.
pub(super) struct Out<S> {
    /// One bit: whether the end is reached.
    pub ended: Term,
    /// One bit: whether the code is left for the exit.
    pub left: Term,
    pub state: S,
}

/// States on their way, by where they are: places are instructions, the end behind the last, and [`EXIT`].
pub(super) struct Waiting<S> {
    states: BTreeMap<usize, (Term, S)>,
    steps: usize,
}

impl<S: Merge> Waiting<S> {
    pub fn new(terms: &mut Terms, state: S) -> Self {
        let always = terms.constant(1, 1);
        Waiting { states: BTreeMap::from([(0, (always, state))]), steps: 0 }
    }

    /// The next state that is not at the end yet, with its condition; it is none that waits any more.
    pub fn next(&mut self, end: usize) -> Result<Option<(usize, Term, S)>, Refusal> {
        match self.states.first_key_value() {
            Some((&place, _)) if place < end => {
                self.count()?;
                let (condition, state) = self.states.remove(&place).expect("it is the first");
                Ok(Some((place, condition, state)))
            }
            _ => Ok(None),
        }
    }

    /// Counts one more step.
    pub fn count(&mut self) -> Result<(), Refusal> {
        self.steps += 1;
        if self.steps > MOST_STEPS { Err(Refusal::TooLong(MOST_STEPS)) } else { Ok(()) }
    }

    /// Sends a state on from `place`. `text` says what instruction is there.
    pub fn send(
        &mut self,
        common: &mut Common,
        place: usize,
        then: Then,
        state: S,
        text: impl Fn() -> String,
    ) -> Result<(), Refusal> {
        let path = common.path;
        match then {
            Then::Stop => {}
            Then::To(target) => self.arrive(common.terms, target, path, state),
            Then::Branch(taken, target, next) => {
                if let Some(value) = common.terms.as_constant(taken) {
                    self.arrive(common.terms, if value == 1 { target } else { next }, path, state);
                    return Ok(());
                }
                if target <= place {
                    return Err(Refusal::Undecided(text()));
                }
                let not = common.terms.not(1, taken);
                let (yes, no) = (common.terms.and(1, path, taken), common.terms.and(1, path, not));
                self.arrive(common.terms, target, yes, state.clone());
                self.arrive(common.terms, next, no, state);
            }
        }
        Ok(())
    }

    fn arrive(&mut self, terms: &mut Terms, place: usize, condition: Term, state: S) {
        if terms.as_constant(condition) == Some(0) {
            return;
        }
        let waiting = self.states.remove(&place);
        let arrived = match waiting {
            None => (condition, state),
            Some((other, waiting)) => {
                (terms.or(1, condition, other), state.merge(terms, condition, &waiting))
            }
        };
        self.states.insert(place, arrived);
    }

    /// The state at the end and at the exit, unless neither is ever reached.
    pub fn out(mut self, terms: &mut Terms, end: usize) -> Option<Out<S>> {
        let never = terms.constant(1, 0);
        Some(match (self.states.remove(&end), self.states.remove(&EXIT)) {
            (None, None) => return None,
            (Some((ended, state)), None) => Out { ended, left: never, state },
            (None, Some((left, state))) => Out { ended: never, left, state },
            (Some((ended, at_end)), Some((left, at_exit))) => {
                Out { ended, left, state: at_exit.merge(terms, left, &at_end) }
            }
        })
    }
}
