// SPDX-License-Identifier: GPL-2.0-or-later
//! Conditions of jumps (RFC 9669 section 4.3).

use kop_ops::ebpf::{Cond, Operand, Reg};

use super::{Machine, Value, operand, register};
use crate::domain::Domain;

/// One bit: whether `dst cond src` holds on `WIDTH` bits.
#[inline(always)]
pub(super) fn holds<M: Machine, const WIDTH: u32>(m: &mut M, cond: Cond, dst: Reg, src: Operand) -> Value<M> {
    let a = register::<M, WIDTH>(m, dst);
    let b = operand::<M, WIDTH>(m, src);
    let d = m.domain();
    match cond {
        Cond::Eq => d.eq(WIDTH, a, b),
        Cond::Ne => {
            let equal = d.eq(WIDTH, a, b);
            d.not(1, equal)
        }
        Cond::Set => {
            let common = d.and(WIDTH, a, b);
            let zero = d.constant(WIDTH, 0);
            let none = d.eq(WIDTH, common, zero);
            d.not(1, none)
        }
        Cond::Lt => d.ult(WIDTH, a, b),
        Cond::Gt => d.ult(WIDTH, b, a),
        Cond::Ge => {
            let less = d.ult(WIDTH, a, b);
            d.not(1, less)
        }
        Cond::Le => {
            let greater = d.ult(WIDTH, b, a);
            d.not(1, greater)
        }
        Cond::SLt => d.slt(WIDTH, a, b),
        Cond::SGt => d.slt(WIDTH, b, a),
        Cond::SGe => {
            let less = d.slt(WIDTH, a, b);
            d.not(1, less)
        }
        Cond::SLe => {
            let greater = d.slt(WIDTH, b, a);
            d.not(1, greater)
        }
    }
}
