// SPDX-License-Identifier: GPL-2.0-or-later
//! What a solver takes too long for, by normal forms. These steps are no matter of clauses: a verdict names them, and tests check them
//! exhaustively at small widths.

mod conditions;
mod gf2;
mod integers;
mod product;
mod sums;
#[cfg(test)]
mod tests;

pub(crate) use product::by_halves;

use rustc_hash::FxHashMap;

use crate::term::{Term, Terms};

/// A step that shows two terms to be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Bits have one polynomial over GF(2).
    Gf2,
    /// Numbers are one sum of bits.
    Sums,
    /// Numbers are one linear combination of integers and remainders.
    Integers,
    /// Choices are taken apart by their conditions.
    Conditions,
    /// High products are expanded to the partial products of halves, and these are left free.
    Halves,
}

impl Step {
    /// What it is called in verdicts and certificates.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Gf2 => "normal form over GF(2)",
            Step::Sums => "sum of bits",
            Step::Integers => "linear combination of integers",
            Step::Conditions => "choices by their conditions",
            Step::Halves => "product by halves, partial products free",
        }
    }
}

/// Whether two terms are one linear combination of integers where variables are at most what `bounds` says; false says nothing.
pub(crate) fn same_integer(terms: &Terms, bounds: &FxHashMap<Term, u64>, pairs: &[[Term; 2]]) -> bool {
    let mut integers = integers::Integers::new(terms, bounds);
    pairs.iter().all(|[a, b]| a == b || integers.equal(*a, *b))
}

/// Whether two terms are equal in all cases of the conditions that choices in them depend on; false says nothing.
pub(crate) fn same_in_all_cases(terms: &mut Terms, a: Term, b: Term) -> bool {
    conditions::equal(terms, a, b)
}

/// Normal forms of one collection of terms.
pub struct Algebra<'a> {
    polynomials: gf2::Polynomials<'a>,
    sums: sums::Sums<'a>,
}

impl<'a> Algebra<'a> {
    /// Nothing is known yet.
    pub fn new(terms: &'a Terms) -> Self {
        Algebra { polynomials: gf2::Polynomials::new(terms), sums: sums::Sums::new(terms) }
    }

    /// The step that shows two terms to be equal; none says nothing.
    pub fn equal(&mut self, a: Term, b: Term) -> Option<Step> {
        if self.sums.equal(a, b) {
            return Some(Step::Sums);
        }
        self.polynomials.equal(a, b).then_some(Step::Gf2)
    }
}
