// SPDX-License-Identifier: GPL-2.0-or-later
//! Memory, overlap included.

use kop_ops::aarch64::{Gpr as X, Mem as ArmMem, Order, Width as W};
use kop_ops::ebpf::{AluOp, AtomicOp, Size};
use kop_ops::x86_64::{Gpr, Mem, Size as S};

use super::*;

/// Copies 16 bytes from r2 to r1, in two pieces one after the other; r5 is dead.
fn copy() -> Vec<Insn> {
    let piece =
        |off| [Insn::load(Size::B8, Reg::R5, Reg::R2, off), Insn::store(Size::B8, Reg::R1, off, Reg::R5)];
    [piece(0), piece(8)].concat()
}

#[test]
fn a_copy_piece_by_piece_is_proved_at_every_distance() {
    let code = x86(|a| {
        for off in [0, 8] {
            a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rsi, off));
            a.mov(S::B8, Mem::at(Gpr::Rdi, off), Gpr::R10);
        }
    });
    // Fifteen distances downwards, zero, fifteen upwards, and apart.
    assert_eq!(proved(with_dead(&copy(), code, &[Reg::R5])).cases, 32);
}

#[test]
fn a_copy_that_loads_first_is_refuted_by_an_overlap() {
    let wide = [
        x86(|a| {
            a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rsi, 0));
            a.mov(S::B8, Gpr::R11, Mem::at(Gpr::Rsi, 8));
            a.mov(S::B8, Mem::at(Gpr::Rdi, 0), Gpr::R10);
            a.mov(S::B8, Mem::at(Gpr::Rdi, 8), Gpr::R11);
        }),
        arm(|a| {
            a.ldp(W::X, X::X9, X::X10, ArmMem::offset(X::X1, 0));
            a.stp(W::X, X::X9, X::X10, ArmMem::offset(X::X0, 0));
        }),
    ];
    for code in wide {
        let found = refuted(with_dead(&copy(), code, &[Reg::R5]));
        let distance = found.register(Reg::R1).wrapping_sub(found.register(Reg::R2)) as i64;
        // The first store hits what the second load reads.
        assert!((1..16).contains(&distance), "{distance}");
        assert!(found.what.starts_with("the byte at"), "{}", found.what);
        // The bytes of the state, put into an array and copied both ways, differ.
        let byte = |address| found.memory.iter().find(|(at, _)| *at == address).map_or(0, |(_, byte)| *byte);
        let base = found.register(Reg::R2);
        let bytes: Vec<u8> = (0..32).map(|i| byte(base.wrapping_add(i))).collect();
        let to = distance as usize;
        let mut both_at_once = bytes.clone();
        both_at_once.copy_within(0..16, to);
        let mut one_by_one = bytes;
        one_by_one.copy_within(0..8, to);
        one_by_one.copy_within(8..16, to + 8);
        assert_ne!(both_at_once, one_by_one);
    }
}

#[test]
fn a_repeated_move_of_a_known_count_is_unrolled() {
    let proof: Vec<Insn> = (0..4)
        .flat_map(|off| {
            [Insn::load(Size::B1, Reg::R5, Reg::R2, off), Insn::store(Size::B1, Reg::R1, off, Reg::R5)]
        })
        .collect();
    let code = |count| {
        x86(move |a| {
            a.mov(S::B8, Gpr::R10, Gpr::Rcx);
            a.mov(S::B8, Gpr::R11, Gpr::Rdi);
            a.pushq(Gpr::Rsi);
            a.mov(S::B4, Gpr::Rcx, count);
            a.rep_movs(S::B1);
            a.popq(Gpr::Rsi);
            a.mov(S::B8, Gpr::Rdi, Gpr::R11);
            a.mov(S::B8, Gpr::Rcx, Gpr::R10);
        })
    };
    assert_eq!(proved(with_dead(&proof, code(4), &[Reg::R5])).cases, 8);
    refuted(with_dead(&proof, code(3), &[Reg::R5]));
    assert!(refuted(with_dead(&proof, code(5), &[Reg::R5])).what.contains("the proof sequence does not"));
    // With a count that nobody knows there is no formula.
    let verdict = with_dead(&proof, x86(|a| a.rep_movs(S::B1)), &[Reg::R5]);
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::Undecided(_)))), "{verdict:?}");
}

#[test]
fn native_code_accesses_no_other_bytes() {
    let proof = [Insn::load(Size::B4, Reg::R0, Reg::R1, 4)];
    proved(verdict(&proof, x86(|a| a.mov(S::B4, Gpr::Rax, Mem::at(Gpr::Rdi, 4)))));
    // The low half of a wider load is the same value, from bytes that may not be there.
    let wide = x86(|a| {
        a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 4));
        a.mov(S::B4, Gpr::Rax, Gpr::Rax);
    });
    assert_eq!(
        refuted(verdict(&proof, wide)).what,
        "native code reads the byte at r1 +8, the proof sequence does not"
    );
    // So is storing what was there.
    let stores = x86(|a| {
        a.mov(S::B4, Gpr::Rax, Mem::at(Gpr::Rdi, 4));
        a.mov(S::B4, Mem::at(Gpr::Rdi, 4), Gpr::Rax);
    });
    assert!(refuted(verdict(&proof, stores)).what.contains("writes the byte"));
    // Reading what is written only is no new access.
    let proof = [Insn::store(Size::B1, Reg::R1, 0, 7)];
    proved(verdict(
        &proof,
        x86(|a| {
            a.mov(S::B1, Gpr::R10, Mem::at(Gpr::Rdi, 0));
            a.mov(S::B1, Mem::at(Gpr::Rdi, 0), 7);
        }),
    ));
}

#[test]
fn an_access_under_a_condition_is_allowed_under_that_condition() {
    use kop_ops::ebpf::Cond;
    let proof = [Insn::jump(Cond::Eq, Reg::R2, 0, 1), Insn::load(Size::B8, Reg::R0, Reg::R1, 0)];
    let arms = |always: bool| {
        x86(move |a| {
            let end = a.label();
            a.test(S::B8, Gpr::Rsi, Gpr::Rsi);
            if !always {
                a.jcc(kop_ops::x86_64::Cond::E, end);
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
            } else {
                a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, 0));
                a.cmov(kop_ops::x86_64::Cond::Ne, S::B8, Gpr::Rax, Gpr::R10);
            }
            a.bind(end);
        })
    };
    proved(verdict(&proof, arms(false)));
    let found = refuted(verdict(&proof, arms(true)));
    assert!(found.what.contains("reads") && found.register(Reg::R2) == 0, "{found:?}");
}

#[test]
fn bytes_that_are_read_by_two_addresses_are_one_where_the_addresses_are() {
    // r0 = [r1] - [r2] is zero where r1 is r2: no state in which they are equal and the difference is not.
    let proof = [
        Insn::load(Size::B1, Reg::R0, Reg::R1, 0),
        Insn::load(Size::B1, Reg::R3, Reg::R2, 0),
        Insn::alu64(AluOp::Sub, Reg::R0, Reg::R3),
    ];
    // Native code that gives zero where the addresses are equal, and the difference elsewhere.
    let code = x86(|a| {
        let end = a.label();
        a.xor(S::B4, Gpr::Rax, Gpr::Rax);
        a.cmp(S::B8, Gpr::Rdi, Gpr::Rsi);
        a.jcc(kop_ops::x86_64::Cond::E, end);
        a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::Rdi, 0));
        a.movzx(S::B4, Gpr::R10, S::B1, Mem::at(Gpr::Rsi, 0));
        a.sub(S::B8, Gpr::Rax, Gpr::R10);
        a.bind(end);
    });
    proved(with_dead(&proof, code, &[Reg::R3]));
}

#[test]
fn atomic_accesses_are_aligned_where_the_proof_says_so() {
    let atomic = [Insn::atomic(AtomicOp::Add, Size::B8, Reg::R1, 8, Reg::R2)];
    proved(verdict(&atomic, x86(|a| a.lock_add(S::B8, Mem::at(Gpr::Rdi, 8), Gpr::Rsi))));
    let exclusive = |a: &mut aarch64::Assembler| {
        a.add_imm(W::X, X::X10, X::X0, 8);
        a.ldadd(kop_ops::aarch64::Size::B8, Order::Relaxed, X::X1, X::Xzr, X::X10);
    };
    proved(verdict(&atomic, arm(exclusive)));
    // A plain sequence has no aligned addresses.
    let plain = [
        Insn::load(Size::B8, Reg::R5, Reg::R1, 8),
        Insn::alu64(AluOp::Add, Reg::R5, Reg::R2),
        Insn::store(Size::B8, Reg::R1, 8, Reg::R5),
    ];
    let found = refuted(with_dead(&plain, arm(exclusive), &[Reg::R5]));
    assert!(found.what.contains("not aligned") && !found.register(Reg::R1).is_multiple_of(8), "{found:?}");
}

#[test]
fn three_pointers_in_a_row_are_looked_at() {
    let proof = [(Reg::R1, 1), (Reg::R2, 2), (Reg::R3, 3)]
        .map(|(base, value): (Reg, i32)| Insn::store(Size::B8, base, 0, value));
    let code = [
        0x48, 0xc7, 0x07, 1, 0, 0, 0, 0x49, 0x89, 0xd3, 0x49, 0x29, 0xfb, 0x49, 0x83, 0xfb, 0x04, 0x75, 0x0c,
        0x49, 0x89, 0xf3, 0x49, 0x29, 0xd3, 0x49, 0x83, 0xfb, 0x04, 0x74, 0x10, 0x48, 0xc7, 0x06, 2, 0, 0, 0,
        0x48, 0xc7, 0x02, 3, 0, 0, 0, 0xeb, 0x0e, 0x48, 0xc7, 0x02, 3, 0, 0, 0, 0x48, 0xc7, 0x06, 2, 0, 0, 0,
    ];
    let found = refuted(verdict(&proof, (Arch::X86_64, code.to_vec())));
    let [a, b, c] = [Reg::R1, Reg::R2, Reg::R3].map(|register| found.register(register));
    assert_eq!([c.wrapping_sub(a), b.wrapping_sub(c)], [4, 4]);
}

#[test]
fn what_was_popped_is_gone() {
    let code = x86(|a| {
        a.pushq(Gpr::Rdi);
        a.popq(Gpr::R10);
        a.sub(S::B8, Gpr::Rsp, 8);
        a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rsp, 0));
        a.add(S::B8, Gpr::Rsp, 8);
    });
    refuted(verdict(&[Insn::mov64(Reg::R0, Reg::R1)], code));
}

#[test]
fn a_pointer_that_went_over_the_stack_is_the_same_pointer() {
    let proof: Vec<Insn> = (0..2)
        .flat_map(|i| [Insn::load(Size::B1, Reg::R2, Reg::R5, i), Insn::store(Size::B1, Reg::R9, i, Reg::R2)])
        .collect();
    let code = x86(|a| {
        for register in [Gpr::Rdi, Gpr::Rsi, Gpr::Rcx, Gpr::R15, Gpr::R8] {
            a.pushq(register);
        }
        a.popq(Gpr::Rsi);
        a.popq(Gpr::Rdi);
        a.mov(S::B4, Gpr::Rcx, 2);
        a.rep_movs(S::B1);
        for register in [Gpr::Rcx, Gpr::Rsi, Gpr::Rdi] {
            a.popq(register);
        }
        a.movzx(S::B4, Gpr::Rsi, S::B1, Mem::at(Gpr::R15, 1));
    });
    // One byte up, none, one down, and apart: no case has to be searched, whatever is added to a pointer.
    let evidence = proved(verdict(&proof, code));
    assert_eq!((evidence.cases, evidence.by_terms), (4, 4));
}
