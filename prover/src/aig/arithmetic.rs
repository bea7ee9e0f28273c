// SPDX-License-Identifier: GPL-2.0-or-later
//! Adders, multipliers, shifters and comparisons. Numbers are slices of wires, the lowest bit first.

use super::{Aig, Wire};

impl Aig {
    /// `a` where `c`, else `b`, bit by bit.
    pub(super) fn mux_all(&mut self, c: Wire, a: &[Wire], b: &[Wire]) -> Vec<Wire> {
        a.iter().zip(b).map(|(x, y)| self.mux(c, *x, *y)).collect()
    }

    /// Sum and carry of three bits.
    fn full_adder(&mut self, a: Wire, b: Wire, carry: Wire) -> (Wire, Wire) {
        let half = self.xor(a, b);
        let sum = self.xor(half, carry);
        let (both, through) = (self.and(a, b), self.and(half, carry));
        (sum, self.or(both, through))
    }

    /// The sum of two numbers and a carry, without the carry out: a ripple-carry adder.
    pub(super) fn sum(&mut self, a: &[Wire], b: &[Wire], carry: Wire) -> Vec<Wire> {
        let mut carry = carry;
        a.iter()
            .zip(b)
            .map(|(x, y)| {
                let (sum, out) = self.full_adder(*x, *y, carry);
                carry = out;
                sum
            })
            .collect()
    }

    /// The complement of every bit.
    fn complement(bits: &[Wire]) -> Vec<Wire> {
        bits.iter().map(|bit| !*bit).collect()
    }

    pub(super) fn negated(&mut self, a: &[Wire]) -> Vec<Wire> {
        let zero = vec![Wire::FALSE; a.len()];
        self.sum(&zero, &Self::complement(a), Wire::TRUE)
    }

    /// The difference, and whether there was no borrow: whether `a` is at least `b`.
    pub(super) fn difference(&mut self, a: &[Wire], b: &[Wire]) -> (Vec<Wire>, Wire) {
        let mut carry = Wire::TRUE;
        let bits = a
            .iter()
            .zip(b)
            .map(|(x, y)| {
                let (sum, out) = self.full_adder(*x, !*y, carry);
                carry = out;
                sum
            })
            .collect();
        (bits, carry)
    }

    pub(super) fn equal(&mut self, a: &[Wire], b: &[Wire]) -> Wire {
        let same: Vec<Wire> = a.iter().zip(b).map(|(x, y)| !self.xor(*x, *y)).collect();
        self.all(&same)
    }

    /// Whether `a` is less than `b` as unsigned numbers: the borrow of their difference.
    pub(super) fn less(&mut self, a: &[Wire], b: &[Wire]) -> Wire {
        !self.difference(a, b).1
    }

    /// The low half of the product: rows of partial products, added one after another.
    pub(crate) fn product(&mut self, a: &[Wire], b: &[Wire]) -> Vec<Wire> {
        let width = a.len();
        let mut sum = vec![Wire::FALSE; width];
        for (place, &bit) in b.iter().enumerate() {
            if bit == Wire::FALSE {
                continue;
            }
            let row: Vec<Wire> = a[..width - place].iter().map(|x| self.and(*x, bit)).collect();
            let upper = self.sum(&sum[place..], &row, Wire::FALSE);
            sum.splice(place.., upper);
        }
        sum
    }

    /// The high half of the product of unsigned numbers.
    pub(super) fn high_product(&mut self, a: &[Wire], b: &[Wire]) -> Vec<Wire> {
        let width = a.len();
        let wide = |bits: &[Wire]| {
            let mut bits = bits.to_vec();
            bits.resize(2 * width, Wire::FALSE);
            bits
        };
        self.product(&wide(a), &wide(b)).split_off(width)
    }

    /// `a` shifted right by the number `amount`, `fill` coming in: one stage for each bit of the amount that matters.
    pub(super) fn shifted(&mut self, a: &[Wire], amount: &[Wire], fill: Wire) -> Vec<Wire> {
        let width = a.len();
        let mut bits = a.to_vec();
        for (stage, &bit) in amount.iter().enumerate() {
            let distance = 1usize.checked_shl(stage as u32).filter(|distance| *distance < width);
            let moved: Vec<Wire> = match distance {
                Some(distance) => (0..width).map(|i| *bits.get(i + distance).unwrap_or(&fill)).collect(),
                None => vec![fill; width],
            };
            bits = self.mux_all(bit, &moved, &bits);
        }
        bits
    }
}
