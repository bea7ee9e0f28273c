// SPDX-License-Identifier: GPL-2.0-or-later
//! Choices taken apart: two terms are equal if they are where a condition holds and where it does not. Where a condition says that a term
//! is a number, the number is put in its place.

use kop_semantics::Domain;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::term::{Node, Op, Term, Terms};

/// Conditions that are looked at, one inside the other.
const DEEPEST: u32 = 5;

/// Whether two terms are equal in all cases of the conditions of their choices, by normalising alone. Terms without products or
/// quotients are left to the solver.
pub(super) fn equal(terms: &mut Terms, a: Term, b: Term) -> bool {
    is_hard(terms, &[a, b]) && equal_within(terms, a, b, DEEPEST)
}

fn equal_within(terms: &mut Terms, a: Term, b: Term, depth: u32) -> bool {
    if a == b {
        return true;
    }
    let Some(condition) = condition(terms, &[a, b]).filter(|_| depth > 0) else { return false };
    [true, false].into_iter().all(|holds| {
        let mut known = FxHashMap::from_iter([(condition, terms.constant(1, u64::from(holds)))]);
        if let Node::Binary(Op::Eq, number, term) = terms.node(condition)
            && holds
            && terms.as_constant(number).is_some()
        {
            known.insert(term, number);
        }
        let (a, b) = (terms.substitute(a, &mut known), terms.substitute(b, &mut known));
        equal_within(terms, a, b, depth - 1)
    })
}

/// The terms below `roots`, these first.
fn below(terms: &Terms, roots: &[Term], mut visit: impl FnMut(Term) -> bool) {
    let mut seen: FxHashSet<Term> = roots.iter().copied().collect();
    let mut pending: std::collections::VecDeque<Term> = roots.iter().copied().collect();
    while let Some(term) = pending.pop_front() {
        if !visit(term) {
            return;
        }
        pending.extend(terms.node(term).operands().filter(|operand| seen.insert(*operand)));
    }
}

fn is_hard(terms: &Terms, roots: &[Term]) -> bool {
    let mut hard = false;
    below(terms, roots, |term| {
        hard |= match terms.node(term) {
            Node::Binary(Op::Mul, a, _) => terms.as_constant(a).is_none(),
            Node::Binary(op, ..) => matches!(op, Op::Umulh | Op::Udiv | Op::Urem | Op::Sdiv | Op::Srem),
            _ => false,
        };
        !hard
    });
    hard
}

/// The first condition of a choice, or of one bit that others are made of.
fn condition(terms: &Terms, roots: &[Term]) -> Option<Term> {
    let mut found = None;
    below(terms, roots, |term| {
        if let Node::Ite(c, ..) = terms.node(term) {
            found = Some(innermost(terms, c));
        }
        found.is_none()
    });
    found
}

/// A bit that a condition is made of by logic.
fn innermost(terms: &Terms, condition: Term) -> Term {
    match terms.node(condition) {
        Node::Binary(Op::And | Op::Or | Op::Xor, a, b) => {
            innermost(terms, if terms.as_constant(a).is_some() { b } else { a })
        }
        _ => condition,
    }
}
