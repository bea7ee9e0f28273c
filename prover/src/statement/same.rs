// SPDX-License-Identifier: GPL-2.0-or-later
//! Roots of native code that are roots of the proof sequence plus a distance for all inputs, though their terms differ: as `a ^ b` is
//! `(a | b) - (a & b)`. Random numbers say which may be, and a proof that they are makes them one root, so that nothing is left to solve
//! about memory.

use std::time::{Duration, Instant};

use kop_ops::choices::{Choices, Seeded};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Evidence;
use super::decide::{Decided, decide_claim};
use super::obligation::{Claim, Obligation, What};
use crate::memory::{Memory, Place};
use crate::term::{Evaluator, Node, Term, Terms};

/// The time that one equality may take.
const LIMIT: Duration = Duration::from_secs(5);

/// States in which roots are compared before anything is proved.
const SAMPLES: usize = 16;

/// What has been found out about pairs of roots: the distance of the first from the second, if it is one.
#[derive(Debug, Default)]
pub(super) struct Same(FxHashMap<[Term; 2], Option<u64>>);

impl Same {
    /// A root of native code's accesses that the proof sequence has none of, and the place that it is.
    pub fn find(
        &mut self,
        terms: &mut Terms,
        claim: &Claim,
        initial: &[Term; 11],
        (deadline, keep): (Instant, bool),
        evidence: &mut Evidence,
    ) -> Option<(Term, Place)> {
        let [proof, native] = claim.memories.each_ref().map(roots);
        let others = native.iter().filter(|root| !proof.contains(root) && Some(**root) != claim.stack);
        for &root in others {
            for &other in &proof {
                let distance = match self.0.get(&[root, other]) {
                    Some(known) => *known,
                    None => {
                        let distance = distance(terms, root, other).filter(|distance| {
                            let place = Place { root: other, offset: *distance };
                            is_proved(terms, (root, place), initial, (deadline, keep), evidence)
                        });
                        self.0.insert([root, other], distance);
                        distance
                    }
                };
                if let Some(offset) = distance {
                    return Some((root, Place { root: other, offset }));
                }
            }
        }
        None
    }
}

/// The roots of accesses, each once, in order.
fn roots(memory: &Memory) -> Vec<Term> {
    let mut seen = FxHashSet::default();
    memory.accesses().iter().map(|access| access.place.root).filter(|root| seen.insert(*root)).collect()
}

/// How far `root` is from `other` in all of some states, if it is equally far.
fn distance(terms: &Terms, root: Term, other: Term) -> Option<u64> {
    let variables = variables(terms, &[root, other]);
    let mut choices = Seeded::new(1);
    let mut distances = (0..SAMPLES).map(|sample| {
        let number =
            |choices: &mut Seeded| choices.bits() >> if sample % 2 == 0 { 0 } else { choices.below(64) };
        let assignment = variables.iter().map(|variable| (*variable, number(&mut choices))).collect();
        let mut values = Evaluator::new(terms, &assignment);
        values.value(root).wrapping_sub(values.value(other))
    });
    let first = distances.next()?;
    distances.all(|distance| distance == first).then_some(first)
}

/// The numbers of the variables in some terms.
fn variables(terms: &Terms, roots: &[Term]) -> Vec<u32> {
    let (mut seen, mut variables) = (FxHashSet::default(), Vec::new());
    let mut pending = roots.to_vec();
    while let Some(term) = pending.pop() {
        if seen.insert(term) {
            match terms.node(term) {
                Node::Variable(number) => variables.push(number),
                node => pending.extend(node.operands()),
            }
        }
    }
    variables
}

/// Whether a root is a place in every state, by a proof like any other.
fn is_proved(
    terms: &mut Terms,
    (root, place): (Term, Place),
    initial: &[Term; 11],
    (deadline, keep): (Instant, bool),
    evidence: &mut Evidence,
) -> bool {
    let obligation =
        Obligation { what: What::Access("elsewhere".to_owned()), proof: place.address(terms), native: root };
    let claim = Claim {
        hypotheses: Vec::new(),
        obligations: vec![obligation],
        memories: [Memory::new(), Memory::new()],
        stack: None,
    };
    match decide_claim(terms, &claim, initial, deadline.min(Instant::now() + LIMIT), keep) {
        Decided::Proved(step) => {
            step.count(evidence);
            true
        }
        Decided::Other(_) => false,
    }
}
