// SPDX-License-Identifier: GPL-2.0-or-later
//! Loops around store-exclusives that a failure leads further back than to their own beginning.

use kop_ops::aarch64::{Gpr as X, Size as ArmSize, Width as W};
use kop_ops::ebpf::{AtomicOp, Size};

use super::*;

/// `[base] += addend`, tried again from `again` on.
fn added(a: &mut aarch64::Assembler, base: X, addend: X, status: X, again: aarch64::Label) {
    a.ldxr(ArmSize::B8, X::X9, base);
    a.add(W::X, X::X9, X::X9, addend);
    a.stxr(ArmSize::B8, status, X::X9, base);
    a.cbnz(W::W, status, again);
}

#[test]
fn a_loop_around_a_loop_around_a_store_exclusive_stores_more_than_once() {
    let add = |dst, src| Insn::atomic(AtomicOp::Add, Size::B8, dst, 0, src);
    let proof = [add(Reg::R1, Reg::R3), add(Reg::R2, Reg::R4)];
    // Where the second store fails, one goes back to the first, which has been done.
    for before in [false, true] {
        let code = arm(|a| {
            let (outer, inner) = (a.label(), a.label());
            a.bind(outer);
            if before {
                a.mov_imm64(X::X12, 3);
            }
            a.bind(inner);
            added(a, X::X0, X::X2, X::X10, inner);
            added(a, X::X1, X::X3, X::X11, outer);
        });
        not_proved(verdict(&proof, code));
    }
    // Each by itself is right.
    let code = arm(|a| {
        let (one, two) = (a.label(), a.label());
        a.bind(one);
        added(a, X::X0, X::X2, X::X10, one);
        a.bind(two);
        added(a, X::X1, X::X3, X::X11, two);
    });
    proved(verdict(&proof, code));
}
