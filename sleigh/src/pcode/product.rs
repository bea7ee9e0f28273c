// SPDX-License-Identifier: GPL-2.0-or-later
//! Products: INT_MULT, the low bytes of a product of any size.

use kop_prover::term::{Node, Term, Terms};
use kop_semantics::Domain;

use super::number::{self, Number};
use super::{Unmodelled, shift};

/// The low bytes of the product.
///
/// # Errors
/// The size is no multiple of that of a limb.
pub(super) fn product(terms: &mut Terms, a: &Number, b: &Number) -> Result<Number, Unmodelled> {
    if let (Some(a), Some(b)) = (a.single(), b.single()) {
        return Ok(Number::new(vec![terms.mul(terms.width(a), a, b)]));
    }
    let size = a.bytes(terms);
    if !size.is_multiple_of(8) {
        return Err(Unmodelled::Operation("INT_MULT".to_owned(), size));
    }
    let mut total = number::constant(terms, size, 0);
    for (i, x) in a.limbs().iter().enumerate() {
        for (j, y) in b.limbs().iter().enumerate().take(a.limbs().len() - i) {
            let pair = pair(terms, *x, *y);
            let partial = number::slice(terms, &pair, 0, size);
            let partial = shift::left_by(terms, &partial, 64 * (i + j) as u32);
            total = number::sum(terms, &total, &partial).0;
        }
    }
    Ok(total)
}

/// The product of two limbs, in two limbs. The low one of copies of a sign is a choice, which is easier than a product.
fn pair(terms: &mut Terms, x: Term, y: Term) -> Number {
    let low = match (sign_of_fill(terms, x), sign_of_fill(terms, y)) {
        (Some(sign), _) => negated_if(terms, sign, y),
        (_, Some(sign)) => negated_if(terms, sign, x),
        _ => terms.mul(64, x, y),
    };
    Number::new(vec![low, terms.umulh(64, x, y)])
}

/// The bit that all bits of a limb are copies of.
fn sign_of_fill(terms: &Terms, limb: Term) -> Option<Term> {
    match terms.node(limb) {
        Node::SignExtend(bit) if terms.width(bit) == 1 => Some(bit),
        _ => None,
    }
}

/// Minus `limb` if the bit is 1, else zero.
fn negated_if(terms: &mut Terms, bit: Term, limb: Term) -> Term {
    let zero = terms.constant(64, 0);
    let kept = terms.ite(64, bit, limb, zero);
    terms.neg(64, kept)
}
