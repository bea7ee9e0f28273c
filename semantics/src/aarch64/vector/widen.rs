// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations whose results have twice the size of what they start from.

use kop_ops::aarch64::{PmullForm, Scalar};

use super::reduce::widened;
use super::{Lanes, LongOp, Three, lanes};
use crate::aarch64::Machine;
use crate::circuits::carryless_product;
use crate::domain::Domain;

/// PMULL, PMULL2.
pub(super) fn polynomial<M: Machine>(m: &mut M, form: PmullForm, upper: bool, (vd, vn, vm): Three) {
    match form {
        PmullForm::Bytes => {
            let (a, b) = (lanes::read_half(m, 8, upper, vn), lanes::read_half(m, 8, upper, vm));
            let products = a.zip(b, 16, |a, b| {
                let [low, high] = carryless_product(m.domain(), 8, a, b);
                m.domain().concat(16, 8, high, low)
            });
            lanes::write(m, vd, &products);
        }
        PmullForm::Doubleword => {
            let half = usize::from(upper);
            let (a, b) = (m.vector(vn)[half], m.vector(vm)[half]);
            let product = carryless_product(m.domain(), 64, a, b);
            m.set_vector(vd, product);
        }
    }
}

/// SADDL to UMLSL.
pub(super) fn long<M: Machine>(
    m: &mut M,
    op: LongOp,
    signed: bool,
    (lane, upper): (Scalar, bool),
    (vd, vn, vm): Three,
) {
    let bits = 8 * lane.bytes();
    let wide = 2 * bits;
    let second = lanes::read_half(m, bits, upper, vm);
    let b = widened(m.domain(), signed, second);
    let a = match op {
        LongOp::Addw | LongOp::Subw => {
            let halves = m.vector(vn);
            Lanes::split(m.domain(), wide, b.all().len(), halves)
        }
        LongOp::Addl | LongOp::Subl | LongOp::Mull | LongOp::Mlal | LongOp::Mlsl => {
            let first = lanes::read_half(m, bits, upper, vn);
            widened(m.domain(), signed, first)
        }
    };
    let result = match op {
        LongOp::Addl | LongOp::Addw => a.zip(b, wide, |a, b| m.domain().add(wide, a, b)),
        LongOp::Subl | LongOp::Subw => a.zip(b, wide, |a, b| m.domain().sub(wide, a, b)),
        LongOp::Mull => a.zip(b, wide, |a, b| m.domain().mul(wide, a, b)),
        LongOp::Mlal | LongOp::Mlsl => {
            let products = a.zip(b, wide, |a, b| m.domain().mul(wide, a, b));
            let halves = m.vector(vd);
            let old = Lanes::split(m.domain(), wide, products.all().len(), halves);
            let adds = op == LongOp::Mlal;
            old.zip(products, wide, |old, product| {
                if adds { m.domain().add(wide, old, product) } else { m.domain().sub(wide, old, product) }
            })
        }
    };
    lanes::write(m, vd, &result);
}
