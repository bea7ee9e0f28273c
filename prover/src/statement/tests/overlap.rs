// SPDX-License-Identifier: GPL-2.0-or-later
//! Places that meet in some states alone, and code that is wrong there.

use kop_ops::aarch64::{Cond as ArmCond, Gpr as X, Mem as ArmMem, Width as W};
use kop_ops::ebpf::{AluOp, Cond as If, Size};
use kop_ops::x86_64::{Cond, Gpr, Mem, Scale, Size as S};

use super::*;

/// `if r3 == 0 { [r2] = r4 } else { [r1] = r4 }; r0 = [r1]`, 4 bytes stored and 8 bytes loaded.
fn stored_and_loaded() -> Vec<Insn> {
    vec![
        Insn::jump(If::Eq, Reg::R3, 0, 2),
        Insn::store(Size::B4, Reg::R1, 0, Reg::R4),
        Insn::Ja { off: 1 },
        Insn::store(Size::B4, Reg::R2, 0, Reg::R4),
        Insn::load(Size::B8, Reg::R0, Reg::R1, 0),
    ]
}

#[test]
fn bytes_that_are_stored_through_a_choice_are_loaded_behind_it() {
    let code = |how: u32| {
        x86(move |a| {
            a.mov(S::B8, Gpr::R10, Gpr::Rsi);
            a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
            a.cmov(Cond::Ne, S::B8, Gpr::R10, Gpr::Rdi);
            if how == 1 {
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
            }
            if how == 2 {
                // The upper half too early: wrong where r2 is between r1 + 1 and r1 + 7.
                a.mov(S::B4, Gpr::R11, Mem::at(Gpr::Rdi, 4));
            }
            a.mov(S::B4, Mem::at(Gpr::R10, 0), Gpr::Rcx);
            match how {
                0 => a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0)),
                2 => {
                    a.mov(S::B4, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
                    a.shl(S::B8, Gpr::R11, 32);
                    a.or(S::B8, Gpr::Rax, Gpr::R11);
                }
                3 => {
                    // Taken to be what was stored, wherever that was.
                    a.mov(S::B4, Gpr::Rax, Mem::at(Gpr::R10, 0));
                    a.mov(S::B4, Gpr::R11, Mem::at(Gpr::Rdi, 4));
                    a.shl(S::B8, Gpr::R11, 32);
                    a.or(S::B8, Gpr::Rax, Gpr::R11);
                }
                _ => {}
            }
        })
    };
    let proof = stored_and_loaded();
    proved(verdict(&proof, code(0)));
    refuted(verdict(&proof, code(1)));
    let found = refuted(verdict(&proof, code(2)));
    let distance = found.register(Reg::R2).wrapping_sub(found.register(Reg::R1));
    assert!(found.register(Reg::R3) == 0 && (1..8).contains(&distance), "{found:?}");
    refuted(verdict(&proof, code(3)));
}

#[test]
fn two_stores_through_one_choice_are_in_order() {
    // r6 = r3 != 0 ? r1 : r2; [r6] = r4; [r6 + 1] = r5; r0 = [r2 + 1], of two bytes each.
    let mut proof = vec![
        Insn::mov64(Reg::R6, Reg::R2),
        Insn::jump(If::Eq, Reg::R3, 0, 1),
        Insn::mov64(Reg::R6, Reg::R1),
        Insn::store(Size::B2, Reg::R6, 0, Reg::R4),
        Insn::store(Size::B2, Reg::R6, 1, Reg::R5),
        Insn::load(Size::B2, Reg::R0, Reg::R2, 1),
    ];
    let code = |swapped: bool, early: bool| {
        arm(move |a| {
            a.cmp_imm(W::X, X::X2, 0);
            a.csel(W::X, X::X9, X::X0, X::X1, ArmCond::Ne);
            a.add_imm(W::X, X::X10, X::X9, 1);
            if early {
                a.ldrh(X::X11, ArmMem::offset(X::X1, 1));
            }
            if !swapped {
                a.strh(X::X3, ArmMem::offset(X::X9, 0));
            }
            a.strh(X::X4, ArmMem::offset(X::X10, 0));
            if swapped {
                a.strh(X::X3, ArmMem::offset(X::X9, 0));
            }
            if !early {
                a.ldrh(X::X11, ArmMem::offset(X::X1, 1));
            }
            a.mov(W::X, X::X7, X::X11);
        })
    };
    proved(with_dead(&proof, code(false, false), &[Reg::R6]));
    refuted(with_dead(&proof, code(true, false), &[Reg::R6]));
    refuted(with_dead(&proof, code(false, true), &[Reg::R6]));
    // A proof that stores on the other side of the condition.
    proof[1] = Insn::jump(If::Ne, Reg::R3, 0, 1);
    refuted(with_dead(&proof, code(false, false), &[Reg::R6]));
}

#[test]
fn a_store_may_be_left_out_where_it_is_at_the_same_place() {
    let store = |base| Insn::store(Size::B8, base, 0, Reg::R3);
    let proof = [store(Reg::R1), store(Reg::R2)];
    let code = |size, distance: i32| {
        x86(move |a| {
            let end = a.label();
            a.mov(S::B8, Mem::at(Gpr::Rdi, 0), Gpr::Rdx);
            a.lea(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, distance));
            a.cmp(size, Gpr::R10, Gpr::Rsi);
            a.jcc(Cond::E, end);
            a.mov(S::B8, Mem::at(Gpr::Rsi, 0), Gpr::Rdx);
            a.bind(end);
        })
    };
    proved(verdict(&proof, code(S::B8, 0)));
    refuted(verdict(&proof, code(S::B4, 0)));
    refuted(verdict(&proof, code(S::B8, 1)));
    refuted(verdict(&proof, code(S::B8, 8)));
}

#[test]
fn one_access_for_two_whose_places_touch_where_they_do() {
    // if r2 == r1 + 4: r0 = [r1] | [r2] << 32
    let proof = [
        Insn::mov64(Reg::R0, 0),
        Insn::mov64(Reg::R5, Reg::R1),
        Insn::alu64(AluOp::Add, Reg::R5, 4),
        Insn::jump(If::Ne, Reg::R5, Reg::R2, 4),
        Insn::load(Size::B4, Reg::R0, Reg::R2, 0),
        Insn::alu64(AluOp::Lsh, Reg::R0, 32),
        Insn::load(Size::B4, Reg::R5, Reg::R1, 0),
        Insn::alu64(AluOp::Or, Reg::R0, Reg::R5),
    ];
    let code = |distance: i32, size| {
        x86(move |a| {
            let end = a.label();
            a.xor(S::B4, Gpr::Rax, Gpr::Rax);
            a.lea(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, distance));
            a.cmp(size, Gpr::R10, Gpr::Rsi);
            a.jcc(Cond::Ne, end);
            a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
            a.bind(end);
        })
    };
    proved(with_dead(&proof, code(4, S::B8), &[Reg::R5]));
    refuted(with_dead(&proof, code(5, S::B8), &[Reg::R5]));
    refuted(with_dead(&proof, code(4, S::B4), &[Reg::R5]));
    // Stores alike.
    let proof = [
        Insn::mov64(Reg::R5, Reg::R1),
        Insn::alu64(AluOp::Add, Reg::R5, 4),
        Insn::jump(If::Ne, Reg::R5, Reg::R2, 4),
        Insn::store(Size::B4, Reg::R1, 0, Reg::R3),
        Insn::mov64(Reg::R5, Reg::R3),
        Insn::alu64(AluOp::Rsh, Reg::R5, 32),
        Insn::store(Size::B4, Reg::R2, 0, Reg::R5),
    ];
    let code = |distance: i32, size| {
        x86(move |a| {
            let end = a.label();
            a.lea(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, distance));
            a.cmp(size, Gpr::R10, Gpr::Rsi);
            a.jcc(Cond::Ne, end);
            a.mov(S::B8, Mem::at(Gpr::Rdi, 0), Gpr::Rdx);
            a.bind(end);
        })
    };
    proved(with_dead(&proof, code(4, S::B8), &[Reg::R5]));
    refuted(with_dead(&proof, code(5, S::B8), &[Reg::R5]));
    refuted(with_dead(&proof, code(4, S::B4), &[Reg::R5]));
}

#[test]
fn places_in_the_middle_of_sums_meet() {
    // [r1] = r4; r0 = [r1 + r2] where the sum is r1 for r2 == 0, and r3 == r1 + r2 may be.
    let proof = [
        Insn::mov64(Reg::R5, Reg::R1),
        Insn::alu64(AluOp::Add, Reg::R5, Reg::R2),
        Insn::store(Size::B1, Reg::R1, 0, Reg::R4),
        Insn::store(Size::B1, Reg::R3, 0, Reg::R0),
        Insn::load(Size::B1, Reg::R0, Reg::R5, 0),
    ];
    let code = |early: u32| {
        x86(move |a| {
            let sum = Mem::at(Gpr::Rdi, 0).index(Gpr::Rsi, Scale::S1);
            if early == 2 {
                a.movzx(S::B4, Gpr::R10, S::B1, sum);
            }
            a.mov(S::B1, Mem::at(Gpr::Rdi, 0), Gpr::Rcx);
            if early == 1 {
                a.movzx(S::B4, Gpr::R10, S::B1, sum);
            }
            a.mov(S::B1, Mem::at(Gpr::Rdx, 0), Gpr::Rax);
            if early == 0 {
                a.movzx(S::B4, Gpr::R10, S::B1, sum);
            }
            a.mov(S::B4, Gpr::Rax, Gpr::R10);
        })
    };
    proved(with_dead(&proof, code(0), &[Reg::R5]));
    let found = refuted(with_dead(&proof, code(1), &[Reg::R5]));
    let [r1, r2, r3] = [Reg::R1, Reg::R2, Reg::R3].map(|register| found.register(register));
    assert_eq!(r1.wrapping_add(r2), r3, "{found:?}");
    refuted(with_dead(&proof, code(2), &[Reg::R5]));
    // The two stores in the other order: wrong where r1 == r3.
    let swapped = x86(|a| {
        a.mov(S::B1, Mem::at(Gpr::Rdx, 0), Gpr::Rax);
        a.mov(S::B1, Mem::at(Gpr::Rdi, 0), Gpr::Rcx);
        a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::Rdi, 0).index(Gpr::Rsi, Scale::S1));
    });
    let found = refuted(with_dead(&proof, swapped, &[Reg::R5]));
    assert_eq!(found.register(Reg::R1), found.register(Reg::R3), "{found:?}");
}

/// Roots that are proved to be one where another case makes them another's: r1 ^ r2 and the same by other means, stored through
/// both, and r3 in between.
#[test]
fn a_root_that_is_two_sums_is_one_in_every_case() {
    let xor = [Insn::mov64(Reg::R6, Reg::R1), Insn::alu64(AluOp::Xor, Reg::R6, Reg::R2)];
    let proof = [
        &xor[..],
        &[
            Insn::store(Size::B1, Reg::R6, 0, Reg::R4),
            Insn::store(Size::B1, Reg::R3, 0, Reg::R5),
            Insn::load(Size::B1, Reg::R0, Reg::R6, 0),
        ],
    ]
    .concat();
    let code = |reload: bool, offset: i32| {
        x86(move |a| {
            // (r1 | r2) - (r1 & r2)
            a.mov(S::B8, Gpr::R10, Gpr::Rdi);
            a.or(S::B8, Gpr::R10, Gpr::Rsi);
            a.mov(S::B8, Gpr::R11, Gpr::Rdi);
            a.and(S::B8, Gpr::R11, Gpr::Rsi);
            a.sub(S::B8, Gpr::R10, Gpr::R11);
            a.mov(S::B1, Mem::at(Gpr::R10, offset), Gpr::Rcx);
            a.mov(S::B1, Mem::at(Gpr::Rdx, 0), Gpr::R8);
            // r1 ^ r2
            a.mov(S::B8, Gpr::R11, Gpr::Rdi);
            a.xor(S::B8, Gpr::R11, Gpr::Rsi);
            if reload {
                a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::R11, 0));
            } else {
                a.movzx(S::B4, Gpr::Rax, S::B1, Gpr::Rcx);
            }
        })
    };
    proved(with_dead(&proof, code(true, 0), &[Reg::R6]));
    let found = refuted(with_dead(&proof, code(false, 0), &[Reg::R6]));
    let [r1, r2, r3] = [Reg::R1, Reg::R2, Reg::R3].map(|register| found.register(register));
    assert_eq!(r1 ^ r2, r3, "{found:?}");
    refuted(with_dead(&proof, code(true, 1), &[Reg::R6]));
}

#[test]
fn an_access_goes_round_the_end_of_the_numbers() {
    // 8 bytes from -4 on.
    let proof = [Insn::mov64(Reg::R1, -4), Insn::load(Size::B8, Reg::R0, Reg::R1, 0)];
    let code = |second: i32| {
        x86(move |a| {
            a.mov(S::B8, Gpr::Rdi, -4);
            a.xor(S::B4, Gpr::R10, Gpr::R10);
            a.mov(S::B4, Gpr::Rax, Mem::at(Gpr::R10, second));
            a.shl(S::B8, Gpr::Rax, 32);
            a.mov(S::B4, Gpr::R11, Mem::at(Gpr::Rdi, 0));
            a.or(S::B8, Gpr::Rax, Gpr::R11);
        })
    };
    proved(verdict(&proof, code(0)));
    refuted(verdict(&proof, code(4)));
    refuted(verdict(&proof, code(-4)));
}

#[test]
fn a_pointer_that_a_store_through_it_overwrites_is_another_one() {
    // r5 = [r1]; [r5] = r4; r0 = [r1]: where r5 is near r1, r0 is not r5.
    let proof = [
        Insn::load(Size::B8, Reg::R5, Reg::R1, 0),
        Insn::store(Size::B1, Reg::R5, 0, Reg::R4),
        Insn::load(Size::B8, Reg::R0, Reg::R1, 0),
    ];
    let code = |again: bool| {
        x86(move |a| {
            a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, 0));
            a.mov(S::B1, Mem::at(Gpr::R10, 0), Gpr::Rcx);
            if again {
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
            } else {
                a.mov(S::B8, Gpr::Rax, Gpr::R10);
            }
        })
    };
    proved(with_dead(&proof, code(true), &[Reg::R5]));
    refuted(with_dead(&proof, code(false), &[Reg::R5]));
    // Through the pointer that is there now.
    let proof = [
        Insn::load(Size::B8, Reg::R5, Reg::R1, 0),
        Insn::store(Size::B1, Reg::R5, 0, Reg::R4),
        Insn::load(Size::B8, Reg::R5, Reg::R1, 0),
        Insn::store(Size::B1, Reg::R5, 0, Reg::R3),
    ];
    let code = |again: bool| {
        x86(move |a| {
            a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, 0));
            a.mov(S::B1, Mem::at(Gpr::R10, 0), Gpr::Rcx);
            if again {
                a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, 0));
            }
            a.mov(S::B1, Mem::at(Gpr::R10, 0), Gpr::Rdx);
        })
    };
    let said = with_dead(&proof, code(true), &[Reg::R5]);
    assert!(said.name() != "refuted", "{said:?}");
    let said = with_dead(&proof, code(false), &[Reg::R5]);
    not_proved(said);
}

#[test]
fn a_place_that_a_condition_of_the_path_is_about() {
    // if r1 == r2 { [r1] = r4 } else { [r3] = r4 } by one store through r2 or r3.
    let store = |base| Insn::store(Size::B1, base, 0, Reg::R4);
    let proof =
        [Insn::jump(If::Ne, Reg::R1, Reg::R2, 2), store(Reg::R1), Insn::Ja { off: 1 }, store(Reg::R3)];
    let code = |width, cond| {
        arm(move |a| {
            a.cmp(width, X::X0, X::X1);
            a.csel(W::X, X::X9, X::X1, X::X2, cond);
            a.strb(X::X3, ArmMem::offset(X::X9, 0));
        })
    };
    proved(verdict(&proof, code(W::X, ArmCond::Eq)));
    refuted(verdict(&proof, code(W::W, ArmCond::Eq)));
    refuted(verdict(&proof, code(W::X, ArmCond::Ls)));
}
