// SPDX-License-Identifier: GPL-2.0-or-later
//! What registers hold.

use std::time::Duration;

use kop_ops::aarch64::{Gpr as X, Width as W};
use kop_ops::ebpf::{AluOp, Cond, Size as Bytes};
use kop_ops::x86_64::{Cond as X86Cond, Gpr, Mem, Scale, Size};

use super::*;

const MOVE: [Insn; 1] = [Insn::Alu {
    op: AluOp::Mov,
    width: kop_ops::ebpf::Width::W32,
    dst: Reg::R0,
    src: kop_ops::ebpf::Operand::Reg(Reg::R1),
}];

#[test]
fn a_move_of_32_bits_zero_extends() {
    proved(verdict(&MOVE, x86(|a| a.mov(Size::B4, Gpr::Rax, Gpr::Rdi))));
    proved(verdict(&MOVE, arm(|a| a.mov(W::W, X::X7, X::X0))));
    for code in [x86(|a| a.mov(Size::B8, Gpr::Rax, Gpr::Rdi)), arm(|a| a.mov(W::X, X::X7, X::X0))] {
        let found = refuted(verdict(&MOVE, code));
        assert_eq!(found.what, "r0 differs");
        assert_eq!(
            (found.proof, found.native),
            (found.register(Reg::R1) & 0xffff_ffff, found.register(Reg::R1))
        );
        assert_ne!(found.proof, found.native);
    }
}

#[test]
fn a_register_that_only_the_proof_writes_has_to_be_dead() {
    let proof = [Insn::mov64(Reg::R2, 7), Insn::mov64(Reg::R0, Reg::R1)];
    let code = || x86(|a| a.mov(Size::B8, Gpr::Rax, Gpr::Rdi));
    assert_eq!(refuted(verdict(&proof, code())).what, "r2 differs");
    proved(with_dead(&proof, code(), &[Reg::R2]));
}

#[test]
fn a_jump_is_a_choice() {
    // r0 = r1 <s r2 ? r1 : r2
    let proof = [
        Insn::mov64(Reg::R0, Reg::R1),
        Insn::jump(Cond::SLt, Reg::R1, Reg::R2, 1),
        Insn::mov64(Reg::R0, Reg::R2),
    ];
    let with = |cond| {
        x86(move |a| {
            a.mov(Size::B8, Gpr::Rax, Gpr::Rdi);
            a.cmp(Size::B8, Gpr::Rdi, Gpr::Rsi);
            let end = a.label();
            a.jcc(cond, end);
            a.mov(Size::B8, Gpr::Rax, Gpr::Rsi);
            a.bind(end);
        })
    };
    proved(verdict(&proof, with(X86Cond::L)));
    proved(verdict(&proof, with(X86Cond::Le)));
    let found = refuted(verdict(&proof, with(X86Cond::B)));
    let (a, b) = (found.register(Reg::R1), found.register(Reg::R2));
    assert_ne!((a as i64) < (b as i64), a < b, "signed and unsigned order differ");
}

/// A quotient of unsigned numbers, zero by zero, where `div` would raise an exception.
#[test]
fn division_by_zero_is_kept_from_the_divider() {
    let proof = [Insn::alu64(AluOp::Div, Reg::R0, Reg::R1)];
    let code = |guarded: bool| {
        x86(move |a| {
            let (zero, end) = (a.label(), a.label());
            if guarded {
                a.test(Size::B8, Gpr::Rdi, Gpr::Rdi);
                a.jcc(X86Cond::E, zero);
            }
            a.mov(Size::B8, Gpr::R10, Gpr::Rdx);
            a.xor(Size::B4, Gpr::Rdx, Gpr::Rdx);
            a.div(Size::B8, Gpr::Rdi);
            a.mov(Size::B8, Gpr::Rdx, Gpr::R10);
            a.jmp(end);
            a.bind(zero);
            a.xor(Size::B4, Gpr::Rax, Gpr::Rax);
            a.bind(end);
        })
    };
    proved(verdict(&proof, code(true)));
    let found = refuted(verdict(&proof, code(false)));
    assert!(found.what.contains("raises an exception") && found.register(Reg::R1) == 0, "{found:?}");
    let arm = arm(|a| a.udiv(W::X, X::X7, X::X7, X::X0));
    proved(verdict(&proof, arm));
}

/// The high half of a product by four products of halves, as one would write it in eBPF.
fn high_product(carry: bool) -> Vec<Insn> {
    let [a, b, dst, t, u] = [Reg::R1, Reg::R2, Reg::R0, Reg::R3, Reg::R4];
    let mut proof = vec![
        // t = a0 b0 >> 32
        Insn::mov32(t, a),
        Insn::mov32(u, b),
        Insn::alu64(AluOp::Mul, t, u),
        Insn::alu64(AluOp::Rsh, t, 32),
        // u = a1 b0 + t
        Insn::mov64(dst, a),
        Insn::alu64(AluOp::Rsh, dst, 32),
        Insn::alu64(AluOp::Mul, u, dst),
        Insn::alu64(AluOp::Add, u, t),
        // t = b1, dst = a1 b1
        Insn::mov64(t, b),
        Insn::alu64(AluOp::Rsh, t, 32),
        Insn::alu64(AluOp::Mul, dst, t),
        // t = a0 b1 + low32(u)
        Insn::mov32(Reg::R5, a),
        Insn::alu64(AluOp::Mul, t, Reg::R5),
        Insn::mov32(Reg::R5, u),
    ];
    if carry {
        proof.push(Insn::alu64(AluOp::Add, t, Reg::R5));
    }
    // dst += u >> 32 + t >> 32
    proof.extend([
        Insn::alu64(AluOp::Rsh, u, 32),
        Insn::alu64(AluOp::Rsh, t, 32),
        Insn::alu64(AluOp::Add, dst, u),
        Insn::alu64(AluOp::Add, dst, t),
    ]);
    proof
}

#[test]
fn a_high_product_by_halves_is_that_of_one_instruction() {
    let temporaries = [Reg::R3, Reg::R4, Reg::R5];
    let by_mul = || {
        x86(|a| {
            a.mov(Size::B8, Gpr::Rax, Gpr::Rdi);
            a.mul(Size::B8, Gpr::Rsi);
            a.mov(Size::B8, Gpr::Rax, Gpr::Rdx);
        })
    };
    let by_umulh = || arm(|a| a.umulh(X::X7, X::X0, X::X1));
    for code in [by_mul(), by_umulh()] {
        let evidence = proved(with_dead(&high_product(true), code, &temporaries));
        assert_eq!(
            evidence.algebra,
            ["product by halves, partial products free", "linear combination of integers"]
        );
    }
    for code in [by_mul(), by_umulh()] {
        let found = refuted(with_dead(&high_product(false), code, &temporaries));
        let product = u128::from(found.register(Reg::R1)) * u128::from(found.register(Reg::R2));
        assert_eq!(found.native, (product >> 64) as u64);
    }
}

#[test]
fn a_time_limit_is_no_proof() {
    // (a + b) * (a - b) is a * a - b * b, which takes a solver very long at 64 bits.
    let [a, b, c] = [Reg::R1, Reg::R2, Reg::R3];
    let one = [
        Insn::mov64(c, a),
        Insn::alu64(AluOp::Add, a, b),
        Insn::alu64(AluOp::Sub, c, b),
        Insn::alu64(AluOp::Mul, a, c),
    ];
    let other = [Insn::alu64(AluOp::Mul, a, a), Insn::alu64(AluOp::Mul, b, b), Insn::alu64(AluOp::Sub, a, b)];
    let mut prover = Prover::new(Options { limit: Duration::from_millis(300), keep: false });
    let verdict = prover.equal(&one, &other, RegSet::of(&[a]));
    assert!(matches!(verdict, Verdict::Timeout), "{verdict:?}");
}

#[test]
fn the_time_limit_is_that_of_all_cases() {
    // The loads may overlap the store at fifteen distances, and every case is decided without a solver.
    let code = [
        Insn::load(Bytes::B8, Reg::R0, Reg::R2, 0),
        Insn::store(Bytes::B8, Reg::R1, 0, Reg::R3),
        Insn::load(Bytes::B8, Reg::R4, Reg::R2, 0),
    ];
    let within =
        |limit| Prover::new(Options { limit, keep: false }).equal(&code, &code, RegSet::of(&[Reg::R4]));
    let evidence = proved(within(Duration::from_secs(60)));
    assert!(evidence.cases > 15 && evidence.by_solver == 0, "{evidence:?}");
    let verdict = within(Duration::ZERO);
    assert!(matches!(verdict, Verdict::Timeout), "{verdict:?}");
}

#[test]
fn an_instruction_without_semantics_is_named() {
    let verdict = verdict(&MOVE, (Arch::X86_64, vec![0x0f, 0x0b, 0x0f, 0x05]));
    let Verdict::Unsupported(Reason::Instruction(named)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((named.offset, &*named.bytes), (2, &[0x0f, 0x05][..]));
}

#[test]
fn calls_have_no_meaning_in_a_sequence() {
    let verdict = verdict(&[Insn::call_helper(1)], x86(|_| ()));
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::Meaningless(_)))), "{verdict:?}");
}

#[test]
fn rewrites_are_equal_or_have_a_counterexample() {
    let [a, b] = [Reg::R1, Reg::R2];
    let swap = [Insn::alu64(AluOp::Xor, a, b), Insn::alu64(AluOp::Xor, b, a), Insn::alu64(AluOp::Xor, a, b)];
    let by_moves = [Insn::mov64(Reg::R0, a), Insn::mov64(a, b), Insn::mov64(b, Reg::R0)];
    let mut prover = Prover::default();
    proved(prover.equal(&swap, &by_moves, RegSet::of(&[a, b])));
    let found = refuted(prover.equal(&swap, &by_moves, RegSet::of(&[a, b, Reg::R0])));
    assert_eq!(found.what, "r0 differs");
    // An extension by shifts is a move that extends.
    let shifts = [Insn::alu64(AluOp::Lsh, a, 48), Insn::alu64(AluOp::Arsh, a, 48)];
    proved(prover.equal(&shifts, &[Insn::alu64(AluOp::MovSx16, a, a)], RegSet::of(&[a])));
    refuted(prover.equal(&shifts, &[Insn::alu32(AluOp::MovSx16, a, a)], RegSet::of(&[a])));
}

#[test]
fn a_certificate_of_a_claim_is_kept_where_it_is_asked_for() {
    let proof = [
        Insn::mov64(Reg::R0, Reg::R1),
        Insn::alu64(AluOp::Or, Reg::R0, Reg::R2),
        Insn::alu64(AluOp::And, Reg::R1, Reg::R2),
        Insn::alu64(AluOp::Add, Reg::R0, Reg::R1),
    ];
    let (arch, code) = x86(|a| a.lea(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, 0).index(Gpr::Rsi, Scale::S1)));
    let statement = Statement {
        proof: &proof,
        code: &code,
        arch,
        dead: RegSet::of(&[Reg::R1]),
        vectors: Vectors::default(),
        grants: Grants::default(),
    };
    let mut prover = Prover::new(Options { keep: true, ..Options::default() });
    let evidence = proved(prover.prove(&statement));
    assert_eq!((evidence.by_solver, evidence.refutations.len()), (1, 1));
    let refutation = &evidence.refutations[0];
    assert_eq!(crate::sat::check(&refutation.formula, &refutation.proof), Ok(()));
}
