// SPDX-License-Identifier: GPL-2.0-or-later
//! Addresses that are written in one way in the proof sequence and in another in native code, as compilers do.

use std::time::Instant;

use kop_ops::aarch64::{Cond as ArmCond, Extend, Gpr as X, Mem as ArmMem, Width as W};
use kop_ops::ebpf::{AluOp, Cond as If, Size};
use kop_ops::x86_64::{Cond, Gpr, Mem, Scale, Size as S};

use super::*;

/// What comes of a load into r0, or of a store of r4, through r1 where r3 is not zero, else through r2.
fn through_either(store: bool) -> Vec<Insn> {
    let access = |base| match store {
        true => Insn::store(Size::B4, base, 4, Reg::R4),
        false => Insn::load(Size::B4, Reg::R0, base, 4),
    };
    vec![Insn::jump(If::Eq, Reg::R3, 0, 2), access(Reg::R1), Insn::Ja { off: 1 }, access(Reg::R2)]
}

/// The same with the pointer selected first: under the right condition or not, at this distance, so wide.
fn selected_x86(store: bool, cond: Cond, offset: i32, size: S) -> (Arch, Vec<u8>) {
    x86(|a| {
        a.mov(S::B8, Gpr::R10, Gpr::Rsi);
        a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
        a.cmov(cond, S::B8, Gpr::R10, Gpr::Rdi);
        let mem = Mem::at(Gpr::R10, offset);
        if store {
            a.mov(size, mem, Gpr::Rcx)
        } else {
            a.mov(size, Gpr::Rax, mem)
        }
        if !store && size == S::B8 {
            a.mov(S::B4, Gpr::Rax, Gpr::Rax);
        }
    })
}

fn selected_arm(store: bool, cond: ArmCond, offset: i32, width: W) -> (Arch, Vec<u8>) {
    arm(|a| {
        a.cmp_imm(W::X, X::X2, 0);
        a.csel(W::X, X::X9, X::X0, X::X1, cond);
        let mem = ArmMem::offset(X::X9, offset);
        if store {
            a.str(width, X::X3, mem)
        } else {
            a.ldr(width, X::X7, mem)
        }
        if !store && width == W::X {
            a.mov(W::W, X::X7, X::X7);
        }
    })
}

#[test]
fn a_pointer_that_is_selected_is_one_that_is_branched_to() {
    for store in [false, true] {
        let proof = through_either(store);
        proved(verdict(&proof, selected_x86(store, Cond::Ne, 4, S::B4)));
        proved(verdict(&proof, selected_arm(store, ArmCond::Ne, 4, W::W)));
        // The other base, another distance, more bytes.
        for (cond, offset, size) in [(Cond::E, 4, S::B4), (Cond::Ne, 5, S::B4), (Cond::Ne, 4, S::B8)] {
            let found = refuted(verdict(&proof, selected_x86(store, cond, offset, size)));
            let [a, b] = [Reg::R1, Reg::R2].map(|register| found.register(register));
            // Where both pointers are one it does not matter which is taken.
            assert!(cond == Cond::Ne || a != b, "{found:?}");
        }
        for (cond, offset, width) in [(ArmCond::Eq, 4, W::W), (ArmCond::Ne, 8, W::W), (ArmCond::Ne, 4, W::X)]
        {
            refuted(verdict(&proof, selected_arm(store, cond, offset, width)));
        }
    }
    // A store through the pointer that is not taken, of what was there, is an access still.
    let both = x86(|a| {
        a.mov(S::B8, Gpr::R10, Gpr::Rsi);
        a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
        a.cmov(Cond::Ne, S::B8, Gpr::R10, Gpr::Rdi);
        a.mov(S::B4, Mem::at(Gpr::R10, 4), Gpr::Rcx);
        a.mov(S::B4, Gpr::R11, Mem::at(Gpr::Rsi, 4));
        a.mov(S::B4, Mem::at(Gpr::Rsi, 4), Gpr::R11);
    });
    assert!(refuted(verdict(&through_either(true), both)).what.contains("the byte at"));
}

/// `r0 = [r1 + (r2 ^ r3)]`, or a store of r5 there, with the index as a difference.
fn at_difference(store: bool) -> Vec<Insn> {
    let mut proof = vec![
        Insn::mov64(Reg::R4, Reg::R2),
        Insn::alu64(AluOp::Or, Reg::R4, Reg::R3),
        Insn::mov64(Reg::R0, Reg::R2),
        Insn::alu64(AluOp::And, Reg::R0, Reg::R3),
        Insn::alu64(AluOp::Sub, Reg::R4, Reg::R0),
        Insn::alu64(AluOp::Add, Reg::R4, Reg::R1),
    ];
    proof.push(match store {
        true => Insn::store(Size::B8, Reg::R4, 0, Reg::R5),
        false => Insn::load(Size::B8, Reg::R0, Reg::R4, 0),
    });
    proof
}

fn at_exclusive_or(store: bool, offset: i32, or: bool) -> (Arch, Vec<u8>) {
    x86(|a| {
        a.mov(S::B8, Gpr::R10, Gpr::Rsi);
        if or {
            a.or(S::B8, Gpr::R10, Gpr::Rdx);
        } else {
            a.xor(S::B8, Gpr::R10, Gpr::Rdx);
        }
        let mem = Mem::at(Gpr::Rdi, offset).index(Gpr::R10, Scale::S1);
        if store { a.mov(S::B8, mem, Gpr::R8) } else { a.mov(S::B8, Gpr::Rax, mem) }
    })
}

#[test]
fn an_index_that_is_computed_in_another_way_is_the_same_index() {
    for store in [false, true] {
        let dead: &[Reg] = if store { &[Reg::R0, Reg::R4] } else { &[Reg::R4] };
        let proof = at_difference(store);
        let evidence = proved(with_dead(&proof, at_exclusive_or(store, 0, false), dead));
        // That the indices are the same is a formula; nothing about memory is.
        assert_eq!((evidence.cases, evidence.by_terms, evidence.formulas()), (1, 1, 1));
        for (offset, or) in [(1, false), (-1, false), (8, false), (0, true)] {
            refuted(with_dead(&proof, at_exclusive_or(store, offset, or), dead));
        }
    }
}

#[test]
fn addresses_that_are_equal_on_a_path_are_equal_there() {
    // Where r2 is below 8, its low three bits are r2.
    let proof = [
        Insn::mov64(Reg::R0, 0),
        Insn::jump(If::Gt, Reg::R2, 7, 3),
        Insn::mov64(Reg::R4, Reg::R1),
        Insn::alu64(AluOp::Add, Reg::R4, Reg::R2),
        Insn::load(Size::B1, Reg::R0, Reg::R4, 0),
    ];
    let code = |mask: i32| {
        x86(move |a| {
            let end = a.label();
            a.xor(S::B4, Gpr::Rax, Gpr::Rax);
            a.cmp(S::B8, Gpr::Rsi, 7);
            a.jcc(Cond::A, end);
            a.mov(S::B4, Gpr::R10, Gpr::Rsi);
            a.and(S::B4, Gpr::R10, mask);
            a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::Rdi, 0).index(Gpr::R10, Scale::S1));
            a.bind(end);
        })
    };
    proved(with_dead(&proof, code(7), &[Reg::R4]));
    let found = refuted(with_dead(&proof, code(3), &[Reg::R4]));
    assert!((4..8).contains(&found.register(Reg::R2)), "{found:?}");
}

#[test]
fn addresses_that_cannot_be_compared_in_time_are_not_refuted() {
    // r2 * r3, as a product and by halves of r2.
    let proof = [
        Insn::mov64(Reg::R5, Reg::R2),
        Insn::alu64(AluOp::Mul, Reg::R5, Reg::R3),
        Insn::alu64(AluOp::Add, Reg::R5, Reg::R1),
        Insn::load(Size::B1, Reg::R0, Reg::R5, 0),
    ];
    let (arch, code) = x86(|a| {
        a.mov(S::B8, Gpr::R10, Gpr::Rsi);
        a.shr(S::B8, Gpr::R10, 32);
        a.imul(S::B8, Gpr::R10, Gpr::Rdx);
        a.shl(S::B8, Gpr::R10, 32);
        a.mov(S::B4, Gpr::R11, Gpr::Rsi);
        a.imul(S::B8, Gpr::R11, Gpr::Rdx);
        a.add(S::B8, Gpr::R10, Gpr::R11);
        a.movzx(S::B4, Gpr::Rax, S::B1, Mem::at(Gpr::Rdi, 0).index(Gpr::R10, Scale::S1));
    });
    let (dead, vectors) = (RegSet::of(&[Reg::R5]), Vectors::default());
    let statement = Statement { proof: &proof, code: &code, arch, dead, vectors, grants: Grants::default() };
    let mut prover = Prover::new(Options { limit: std::time::Duration::from_secs(1), keep: false });
    let verdict = prover.prove(&statement);
    assert!(matches!(verdict, Verdict::Proved(_) | Verdict::Timeout), "{verdict:?}");
}

/// A sequence, and code for it.
type Pair = (&'static str, Vec<Insn>, (Arch, Vec<u8>));

fn pairs_x86() -> Vec<Pair> {
    let load = |dst, base, off| Insn::load(Size::B8, dst, base, off);
    let indexed = |shift: i32, off| {
        let sum = [
            Insn::mov64(Reg::R5, Reg::R2),
            Insn::alu64(AluOp::Lsh, Reg::R5, shift),
            Insn::alu64(AluOp::Add, Reg::R5, Reg::R1),
        ];
        [sum.to_vec(), vec![load(Reg::R0, Reg::R5, off)]].concat()
    };
    let halves = vec![
        Insn::load(Size::B4, Reg::R0, Reg::R1, 5),
        Insn::alu64(AluOp::Lsh, Reg::R0, 32),
        Insn::load(Size::B4, Reg::R5, Reg::R1, 1),
        Insn::alu64(AluOp::Or, Reg::R0, Reg::R5),
    ];
    let sum =
        vec![load(Reg::R0, Reg::R1, 0), load(Reg::R5, Reg::R2, 8), Insn::alu64(AluOp::Add, Reg::R0, Reg::R5)];
    let square = vec![load(Reg::R0, Reg::R1, 0), Insn::alu64(AluOp::Add, Reg::R0, Reg::R0)];
    let swap = vec![
        load(Reg::R5, Reg::R1, 0),
        load(Reg::R0, Reg::R2, 0),
        Insn::store(Size::B8, Reg::R1, 0, Reg::R0),
        Insn::store(Size::B8, Reg::R2, 0, Reg::R5),
    ];
    let add = vec![
        load(Reg::R5, Reg::R1, 16),
        Insn::alu64(AluOp::Add, Reg::R5, Reg::R2),
        Insn::store(Size::B8, Reg::R1, 16, Reg::R5),
    ];
    let bit = vec![
        Insn::mov64(Reg::R5, Reg::R1),
        Insn::jump(If::Eq, Reg::R3, 0, 1),
        Insn::alu64(AluOp::Add, Reg::R5, 8),
        load(Reg::R0, Reg::R5, 0),
    ];
    vec![
        (
            "lea and mov",
            vec![load(Reg::R0, Reg::R1, 24)],
            x86(|a| {
                a.lea(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, 16));
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::R10, 8));
            }),
        ),
        (
            "base and scaled index",
            indexed(3, -8),
            x86(|a| {
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, -8).index(Gpr::Rsi, Scale::S8));
            }),
        ),
        (
            "index by additions",
            indexed(2, 0),
            x86(|a| {
                a.lea(S::B8, Gpr::R10, Mem::at(Gpr::Rsi, 0).index(Gpr::Rsi, Scale::S1));
                a.add(S::B8, Gpr::R10, Gpr::R10);
                a.add(S::B8, Gpr::R10, Gpr::Rdi);
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::R10, 0));
            }),
        ),
        ("two unaligned halves at once", halves, x86(|a| a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 1)))),
        (
            "loads in the other order",
            sum,
            x86(|a| {
                a.mov(S::B8, Gpr::R10, Mem::at(Gpr::Rsi, 8));
                a.add(S::B8, Gpr::R10, Mem::at(Gpr::Rdi, 0));
                a.mov(S::B8, Gpr::Rax, Gpr::R10);
            }),
        ),
        (
            "a load twice",
            square,
            x86(|a| {
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
                a.add(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0));
            }),
        ),
        (
            "a swap of two places",
            swap,
            x86(|a| {
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rsi, 0));
                a.mov(S::B8, Gpr::R11, Mem::at(Gpr::Rdi, 0));
                a.mov(S::B8, Mem::at(Gpr::Rdi, 0), Gpr::Rax);
                a.mov(S::B8, Mem::at(Gpr::Rsi, 0), Gpr::R11);
            }),
        ),
        ("an addition in memory", add, x86(|a| a.add(S::B8, Mem::at(Gpr::Rdi, 16), Gpr::Rsi))),
        (
            "an index that is a bit",
            bit.clone(),
            x86(|a| {
                a.xor(S::B4, Gpr::R10, Gpr::R10);
                a.test(S::B8, Gpr::Rdx, Gpr::Rdx);
                a.setcc(Cond::Ne, Gpr::R10);
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0).index(Gpr::R10, Scale::S8));
            }),
        ),
        (
            "an index that is a mask",
            bit,
            x86(|a| {
                a.mov(S::B8, Gpr::R10, Gpr::Rdx);
                a.neg(S::B8, Gpr::R10);
                a.sbb(S::B8, Gpr::R10, Gpr::R10);
                a.and(S::B8, Gpr::R10, 8);
                a.mov(S::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0).index(Gpr::R10, Scale::S1));
            }),
        ),
        (
            "a pointer selected by masks",
            through_either(false),
            x86(|a| {
                a.mov(S::B8, Gpr::R10, Gpr::Rdx);
                a.neg(S::B8, Gpr::R10);
                a.sbb(S::B8, Gpr::R10, Gpr::R10);
                a.mov(S::B8, Gpr::R11, Gpr::Rdi);
                a.xor(S::B8, Gpr::R11, Gpr::Rsi);
                a.and(S::B8, Gpr::R10, Gpr::R11);
                a.xor(S::B8, Gpr::R10, Gpr::Rsi);
                a.mov(S::B4, Gpr::Rax, Mem::at(Gpr::R10, 4));
            }),
        ),
        (
            "a string that is moved",
            two_bytes(),
            x86(|a| {
                a.pushq(Gpr::Rdi);
                a.pushq(Gpr::Rsi);
                a.pushq(Gpr::Rcx);
                a.mov(S::B4, Gpr::Rcx, 2);
                a.rep_movs(S::B1);
                a.popq(Gpr::Rcx);
                a.popq(Gpr::Rsi);
                a.popq(Gpr::Rdi);
            }),
        ),
    ]
}

/// Two bytes, one after the other.
fn two_bytes() -> Vec<Insn> {
    let byte =
        |off| [Insn::load(Size::B1, Reg::R5, Reg::R2, off), Insn::store(Size::B1, Reg::R1, off, Reg::R5)];
    [byte(0), byte(1)].concat()
}

fn pairs_arm() -> Vec<Pair> {
    let load = |dst, base, off| Insn::load(Size::B8, dst, base, off);
    let two = |low, high| {
        vec![
            load(Reg::R5, Reg::R1, low),
            load(Reg::R0, Reg::R1, high),
            Insn::alu64(AluOp::Sub, Reg::R0, Reg::R5),
        ]
    };
    let stores =
        vec![Insn::store(Size::B8, Reg::R1, 3, Reg::R2), Insn::store(Size::B8, Reg::R1, 11, Reg::R3)];
    let narrow = vec![
        Insn::mov32(Reg::R5, Reg::R2),
        Insn::alu64(AluOp::Lsh, Reg::R5, 3),
        Insn::alu64(AluOp::Add, Reg::R5, Reg::R1),
        load(Reg::R0, Reg::R5, 0),
    ];
    let index = |extend| ArmMem::Register { base: X::X0, index: X::X1, extend, scaled: true };
    vec![
        (
            "pre-index",
            two(8, 16),
            arm(|a| {
                a.mov(W::X, X::X9, X::X0);
                a.ldr(W::X, X::X10, ArmMem::pre(X::X9, 8));
                a.ldr(W::X, X::X11, ArmMem::pre(X::X9, 8));
                a.sub(W::X, X::X7, X::X11, X::X10);
            }),
        ),
        (
            "post-index",
            two(0, 8),
            arm(|a| {
                a.mov(W::X, X::X9, X::X0);
                a.ldr(W::X, X::X10, ArmMem::post(X::X9, 8));
                a.ldr(W::X, X::X11, ArmMem::post(X::X9, -16));
                a.sub(W::X, X::X7, X::X11, X::X10);
            }),
        ),
        (
            "a pair for two loads",
            two(-8, 0),
            arm(|a| {
                a.ldp(W::X, X::X10, X::X11, ArmMem::offset(X::X0, -8));
                a.sub(W::X, X::X7, X::X11, X::X10);
            }),
        ),
        (
            "a pair for two stores, unaligned",
            stores,
            arm(|a| {
                a.add_imm(W::X, X::X9, X::X0, 3);
                a.stp(W::X, X::X1, X::X2, ArmMem::offset(X::X9, 0));
            }),
        ),
        ("an index of 32 bits", narrow, arm(|a| a.ldr(W::X, X::X7, index(Extend::Uxtw)))),
        (
            "an index that is a choice",
            through_either(false),
            arm(|a| {
                a.sub(W::X, X::X10, X::X0, X::X1);
                a.cmp_imm(W::X, X::X2, 0);
                a.csel(W::X, X::X10, X::X10, X::Xzr, ArmCond::Ne);
                a.add(W::X, X::X9, X::X1, X::X10);
                a.ldr(W::W, X::X7, ArmMem::offset(X::X9, 4));
            }),
        ),
    ]
}

#[test]
fn what_compilers_make_of_accesses_is_proved() {
    for (name, proof, code) in pairs_x86().into_iter().chain(pairs_arm()) {
        let start = Instant::now();
        let verdict = with_dead(&proof, code, &[Reg::R5]);
        println!("{name}: {:.3?}", start.elapsed());
        assert!(verdict.is_proved(), "{name}: {verdict:?}");
    }
}
