// SPDX-License-Identifier: GPL-2.0-or-later
//! Pointers to the part of the stack that native code makes room for.

use kop_ops::ebpf::{AluOp, Cond as If, Size};
use kop_ops::x86_64::{Cond, Gpr, Mem, Scale, Size as S};

use super::*;

#[test]
fn a_pointer_to_the_stack_may_be_chosen_and_is_apart() {
    // if r3 != 0 { [r1] = r4 }, without a branch: what is not to be stored goes to the stack.
    let proof = [Insn::jump(If::Eq, Reg::R3, 0, 1), Insn::store(Size::B8, Reg::R1, 0, Reg::R4)];
    let code = |how: u32| {
        x86(move |a| {
            a.pushq(Gpr::Rax);
            if how == 3 {
                a.lea(S::B8, Gpr::R10, Mem::at(Gpr::Rsp, -8));
            } else {
                a.mov(S::B8, Gpr::R10, Gpr::Rsp);
            }
            a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
            a.cmov(if how == 1 { Cond::E } else { Cond::Ne }, S::B8, Gpr::R10, Gpr::Rdi);
            a.mov(S::B8, Mem::at(Gpr::R10, if how == 4 { 1 } else { 0 }), Gpr::Rcx);
            // The slot holds r4 in one of the cases: rax may not be taken from it.
            if how == 2 { a.popq(Gpr::Rax) } else { a.popq(Gpr::R11) }
        })
    };
    proved(verdict(&proof, code(0)));
    for how in 1..5 {
        refuted(verdict(&proof, code(how)));
    }
}

#[test]
fn the_stack_may_be_used_on_one_path() {
    // if r3 != 0 { r0 = r1 } by way of the stack.
    let proof = [Insn::jump(If::Eq, Reg::R3, 0, 1), Insn::mov64(Reg::R0, Reg::R1)];
    let code = |from, popped: bool| {
        x86(move |a| {
            let end = a.label();
            a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
            a.jcc(Cond::E, end);
            a.pushq(Gpr::Rdi);
            a.mov(S::B8, Gpr::R10, Gpr::Rsp);
            if popped {
                a.popq(Gpr::R11);
            }
            a.mov(S::B8, Gpr::Rax, Mem::at(from, 0));
            if !popped {
                a.popq(Gpr::R11);
            }
            a.bind(end);
        })
    };
    proved(verdict(&proof, code(Gpr::R10, false)));
    proved(verdict(&proof, code(Gpr::Rsp, false)));
    let found = refuted(verdict(&proof, code(Gpr::R10, true)));
    assert!(found.register(Reg::R3) != 0, "{found:?}");
}

#[test]
fn many_choices_of_pointers_are_not_refuted() {
    let mut proof = Vec::new();
    for bit in 0..5 {
        proof.push(Insn::mov64(Reg::R5, Reg::R2));
        proof.push(Insn::alu64(AluOp::And, Reg::R5, 1 << bit));
        proof.push(Insn::jump(If::Eq, Reg::R5, 0, 1));
        proof.push(Insn::mov64(Reg::R1, if bit % 2 == 0 { Reg::R3 } else { Reg::R4 }));
    }
    proof.push(Insn::load(Size::B1, Reg::R0, Reg::R1, 0));
    let code = |wrong: bool| {
        x86(move |a| {
            for bit in 0..5 {
                a.test(S::B4, Gpr::Rsi, 1 << bit);
                let from = if (bit % 2 == 0) != (wrong && bit == 3) { Gpr::Rdx } else { Gpr::Rcx };
                a.cmov(Cond::Ne, S::B8, Gpr::Rdi, from);
            }
            a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::Rdi, 0));
        })
    };
    let said = with_dead(&proof, code(false), &[Reg::R5]);
    assert_ne!(said.name(), "refuted", "{said:?}");
    not_proved(with_dead(&proof, code(true), &[Reg::R5]));
    // A place on the stack that no distance is known of is neither right nor wrong.
    let indexed = x86(|a| {
        a.pushq(Gpr::Rdi);
        a.mov(S::B4, Gpr::R10, Gpr::Rsi);
        a.and(S::B4, Gpr::R10, 7);
        a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::Rsp, 0).index(Gpr::R10, Scale::S1));
        a.popq(Gpr::Rdi);
    });
    let byte = [
        Insn::mov64(Reg::R5, Reg::R2),
        Insn::alu64(AluOp::And, Reg::R5, 7),
        Insn::alu64(AluOp::Lsh, Reg::R5, 3),
        Insn::mov64(Reg::R0, Reg::R1),
        Insn::alu64(AluOp::Rsh, Reg::R0, Reg::R5),
        Insn::alu64(AluOp::And, Reg::R0, 255),
    ];
    let said = with_dead(&byte, indexed, &[Reg::R5]);
    assert_ne!(said.name(), "refuted", "{said:?}");
    // The last of them on the stack: what is stored there is loaded from there.
    let store = |wrong: bool| {
        x86(move |a| {
            a.pushq(Gpr::Rax);
            a.mov(S::B8, Gpr::R10, Gpr::Rsp);
            for bit in 0..5 {
                a.test(S::B4, Gpr::Rsi, 1 << bit);
                a.cmov(Cond::Ne, S::B8, Gpr::R10, Gpr::Rdi);
            }
            a.mov(S::B1, Mem::at(Gpr::R10, 0), Gpr::Rcx);
            if wrong { a.popq(Gpr::Rax) } else { a.popq(Gpr::R11) }
        })
    };
    let proof = [
        Insn::mov64(Reg::R5, Reg::R2),
        Insn::alu64(AluOp::And, Reg::R5, 31),
        Insn::jump(If::Eq, Reg::R5, 0, 1),
        Insn::store(Size::B1, Reg::R1, 0, Reg::R4),
    ];
    let said = with_dead(&proof, store(false), &[Reg::R5]);
    assert_ne!(said.name(), "refuted", "{said:?}");
    not_proved(with_dead(&proof, store(true), &[Reg::R5]));
}
