// SPDX-License-Identifier: GPL-2.0-or-later
//! What a solver takes too long for, by normal forms. These steps are no matter of clauses: a verdict names them, and tests check them
//! exhaustively at small widths.

mod gf2;
#[cfg(test)]
mod tests;

use crate::term::{Term, Terms};

/// The name of the step that shows all pairs to be equal, if there is one.
pub fn all_equal(terms: &Terms, pairs: &[(Term, Term)]) -> Option<&'static str> {
    let mut polynomials = gf2::Polynomials::new(terms);
    pairs.iter().all(|(a, b)| polynomials.equal(*a, *b)).then_some("normal form over GF(2)")
}
