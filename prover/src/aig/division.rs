// SPDX-License-Identifier: GPL-2.0-or-later
//! Dividers, with the results by zero that `Domain` defines.

use super::{Aig, Wire};

impl Aig {
    /// Quotient and remainder of unsigned numbers, by long division. By zero every step subtracts nothing and fits, so that the
    /// quotient is all ones and the remainder is `a`.
    pub(super) fn divided(&mut self, a: &[Wire], b: &[Wire]) -> (Vec<Wire>, Vec<Wire>) {
        let width = a.len();
        let mut divisor = b.to_vec();
        divisor.push(Wire::FALSE);
        let mut rest = vec![Wire::FALSE; width + 1];
        let mut quotient = vec![Wire::FALSE; width];
        for place in (0..width).rev() {
            // The rest is below the divisor, or the divisor is zero and the rest has few bits: the shift loses nothing.
            rest.pop();
            rest.insert(0, a[place]);
            let (less, fits) = self.difference(&rest, &divisor);
            rest = self.mux_all(fits, &less, &rest);
            quotient[place] = fits;
        }
        rest.pop();
        (quotient, rest)
    }

    /// The magnitude and the sign.
    fn magnitude(&mut self, a: &[Wire]) -> (Vec<Wire>, Wire) {
        let sign = a[a.len() - 1];
        let negated = self.negated(a);
        (self.mux_all(sign, &negated, a), sign)
    }

    pub(super) fn signed_quotient(&mut self, a: &[Wire], b: &[Wire]) -> Vec<Wire> {
        let ((x, a_sign), (y, b_sign)) = (self.magnitude(a), self.magnitude(b));
        let (quotient, _) = self.divided(&x, &y);
        let negated = self.negated(&quotient);
        // By zero: all ones, negated for a negative dividend, as the sign of zero is positive.
        let negative = self.xor(a_sign, b_sign);
        self.mux_all(negative, &negated, &quotient)
    }

    pub(super) fn signed_remainder(&mut self, a: &[Wire], b: &[Wire]) -> Vec<Wire> {
        let ((x, a_sign), (y, _)) = (self.magnitude(a), self.magnitude(b));
        let (_, rest) = self.divided(&x, &y);
        let negated = self.negated(&rest);
        self.mux_all(a_sign, &negated, &rest)
    }
}
