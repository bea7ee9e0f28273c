// SPDX-License-Identifier: GPL-2.0-or-later
//! The ways in which memory can overlap: for two roots of which one is written, one case for each distance at which what is touched
//! around them overlaps, and one in which it does not.
//!
//! What a root is made of does not matter: every two roots of which one is written are, as numbers, at one of the distances or apart, and
//! each case says which as a hypothesis. So it is right for a root that is a choice of two others, too: where it is apart from both, the
//! hypotheses contradict each other, and where it is one of them, the accesses through it are accesses through that one, whether or not
//! the choice was made so. Two roots that are only read may be at one address without a case: their bytes are variables, of which
//! it is said that they are equal once a model has them at one address with different values.

use std::time::Instant;

use kop_ops::ebpf::Reg;
use kop_semantics::Domain;

use super::decide::{Decided, decide_claim};
use super::obligation::Claim;
use super::same::Same;
use super::{Evidence, Options, Verdict};
use crate::machine::{Refusal, variable_name};
use crate::memory::{Extent, Memory, Place, Roots};
use crate::term::{Node, Term, Terms};

/// More cases than this are not looked at.
const MOST_CASES: usize = 1 << 14;

/// Makes the claim where the eBPF registers hold the given values and roots stand for what is said.
pub(super) type Make<'a> = dyn Fn(&mut Terms, &Roots, &[Term; 11]) -> Result<Claim, Refusal> + 'a;

/// What is assumed in one case.
#[derive(Clone, Debug)]
struct Case {
    /// The values of the eBPF registers at the start.
    initial: [Term; 11],
    roots: Roots,
    /// Roots that are not at these distances, the first and the last.
    apart: Vec<([Term; 2], i64, i64)>,
    /// What all that says, as bits that are 1.
    hypotheses: Vec<Term>,
}

/// Decides a claim in all its cases.
pub(super) fn decide(terms: &mut Terms, options: Options, make: &Make) -> Verdict {
    let deadline = Instant::now() + options.limit;
    let initial = Reg::ALL.map(|register| terms.variable(variable_name(register), 64));
    let first = Case { initial, roots: Roots::new(), apart: Vec::new(), hypotheses: Vec::new() };
    let (mut pending, mut evidence) = (vec![first], Evidence::default());
    let mut same = Same::default();
    while let Some(mut case) = pending.pop() {
        // Thousands of cases may each be decided without the solver, whose limit it is as well.
        if Instant::now() >= deadline {
            return Verdict::Timeout;
        }
        let mut claim = match make(terms, &case.roots, &case.initial) {
            Ok(claim) => claim,
            Err(refusal) => return Verdict::Unsupported(refusal.into()),
        };
        let how = (deadline, options.keep);
        if let Some((root, place)) = same.find(terms, &claim, &case.initial, how, &mut evidence) {
            case.roots.identify(root, place);
            pending.push(case);
            continue;
        }
        if let Some(pair) = undecided(&claim, &case) {
            match split(terms, case, pair) {
                Some(cases) if pending.len() + evidence.cases + cases.len() <= MOST_CASES => {
                    pending.extend(cases)
                }
                _ => return Verdict::Unsupported(Refusal::TooManyCases(MOST_CASES).into()),
            }
            continue;
        }
        claim.hypotheses.extend(&case.hypotheses);
        evidence.cases += 1;
        match decide_claim(terms, &claim, &case.initial, deadline, options.keep) {
            Decided::Proved(step) => step.count(&mut evidence),
            Decided::Other(verdict) => return verdict,
        }
    }
    Verdict::Proved(Box::new(evidence))
}

/// Two roots that may overlap, of which one is written, and about which nothing is assumed.
fn undecided(claim: &Claim, case: &Case) -> Option<[Extent; 2]> {
    let mut extents = Memory::extents(&claim.memories);
    extents.retain(|extent| Some(extent.root) != claim.stack);
    for (i, a) in extents.iter().enumerate() {
        for b in &extents[i + 1..] {
            if (a.written || b.written) && !is_known(case, *a, *b) {
                return Some([*a, *b]);
            }
        }
    }
    None
}

/// Whether it is assumed that what is touched around two roots does not overlap. It may be more than when that was assumed: roots
/// that were found to be one since then share what they touch.
fn is_known(case: &Case, a: Extent, b: Extent) -> bool {
    let covers = |x: Extent, y: Extent| {
        let Some((low, high)) = distances(x, y) else { return false };
        case.apart
            .iter()
            .any(|(roots, first, last)| *roots == [x.root, y.root] && *first <= low && high <= *last)
    };
    covers(a, b) || covers(b, a)
}

/// The distances at which what is touched around two roots overlaps: the first and the last.
fn distances(a: Extent, b: Extent) -> Option<(i64, i64)> {
    Some((a.low.checked_sub(b.high)?.checked_add(1)?, a.high.checked_sub(b.low)?.checked_sub(1)?))
}

/// The cases for two roots; none when there are too many.
fn split(terms: &mut Terms, case: Case, [a, b]: [Extent; 2]) -> Option<Vec<Case>> {
    let (first, last) = distances(a, b)?;
    let count = last.checked_sub(first)?.checked_add(1)?;
    if usize::try_from(count).ok()? > MOST_CASES {
        return None;
    }
    let mut cases: Vec<Case> =
        (first..=last).map(|distance| identified(terms, &case, a.root, b.root, distance)).collect();
    let mut apart = case;
    let far = overlapping(terms, (a.root, b.root), first, count);
    apart.hypotheses.push(terms.not(1, far));
    apart.apart.push(([a.root, b.root], first, last));
    cases.push(apart);
    Some(cases)
}

/// Whether `b - a` is one of `count` distances from `first` on.
fn overlapping(terms: &mut Terms, (a, b): (Term, Term), first: i64, count: i64) -> Term {
    let difference = terms.sub(64, b, a);
    let (first, count) = (terms.constant(64, first as u64), terms.constant(64, count as u64));
    let place = terms.sub(64, difference, first);
    terms.ult(64, place, count)
}

/// The case in which `b` is `a` plus a distance. Where one of them is the value of a register at the start, it is replaced.
fn identified(terms: &mut Terms, case: &Case, a: Term, b: Term, distance: i64) -> Case {
    let mut case = case.clone();
    let (there, back) = (distance as u64, (distance as u64).wrapping_neg());
    let sum = Place { root: a, offset: there }.address(terms);
    let equal = terms.eq(64, sum, b);
    case.hypotheses.push(equal);
    for (root, other, offset) in [(b, a, there), (a, b, back)] {
        if let Some(register) = case.initial.iter().position(|value| *value == root)
            && matches!(terms.node(root), Node::Variable(_))
            && !terms.depends_on(other, root)
        {
            let value = Place { root: other, offset }.address(terms);
            // Other registers may have been replaced by sums with this one; they stay what they are by the hypothesis.
            let elsewhere = case.initial.iter().any(|value| *value != root && terms.depends_on(*value, root));
            if !elsewhere {
                case.initial[register] = value;
                return case;
            }
        }
    }
    case.roots.identify(b, Place { root: a, offset: there });
    case
}
