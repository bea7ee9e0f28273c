// SPDX-License-Identifier: GPL-2.0-or-later
//! Single eBPF instructions as a JIT translates them: those for which a solver alone would take long, and atomic ones.

use kop_ops::aarch64::{Gpr as X, Insn as ArmInsn, Mem as ArmMem, Order, Size as ArmSize, Width as W};
use kop_ops::ebpf::{AluOp, AtomicOp, Size, Width};
use kop_ops::x86_64::{Cond, Gpr, Mem, Size as S};

use super::*;

fn alu(op: AluOp, width: Width) -> [Insn; 1] {
    [Insn::alu(op, width, Reg::R0, Reg::R1)]
}

/// `rax op= rdi` by `div` or `idiv`, where a zero divisor gives zero, or leaves the dividend where the remainder is wanted.
fn x86_division(size: S, signed: bool, rest: bool) -> (Arch, Vec<u8>) {
    x86(|a| {
        let (zero, minus_one, end) = (a.label(), a.label(), a.label());
        a.mov(S::B8, Gpr::R10, Gpr::Rdx);
        a.test(size, Gpr::Rdi, Gpr::Rdi);
        a.jcc(Cond::E, zero);
        if signed {
            a.cmp(size, Gpr::Rdi, -1);
            a.jcc(Cond::E, minus_one);
            if size == S::B8 {
                a.cqo()
            } else {
                a.cdq()
            }
            a.idiv(size, Gpr::Rdi);
        } else {
            a.xor(S::B4, Gpr::Rdx, Gpr::Rdx);
            a.div(size, Gpr::Rdi);
        }
        if rest {
            a.mov(size, Gpr::Rax, Gpr::Rdx);
        }
        a.jmp(end);
        a.bind(minus_one);
        if rest {
            a.xor(S::B4, Gpr::Rax, Gpr::Rax)
        } else {
            a.neg(size, Gpr::Rax)
        }
        a.jmp(end);
        a.bind(zero);
        if rest {
            a.mov(size, Gpr::Rax, Gpr::Rax)
        } else {
            a.xor(S::B4, Gpr::Rax, Gpr::Rax)
        }
        a.bind(end);
        a.mov(S::B8, Gpr::Rdx, Gpr::R10);
    })
}

#[test]
fn divisions_by_div() {
    for (width, size) in [(Width::W64, S::B8), (Width::W32, S::B4)] {
        proved(verdict(&alu(AluOp::Div, width), x86_division(size, false, false)));
        proved(verdict(&alu(AluOp::Mod, width), x86_division(size, false, true)));
        refuted(verdict(&alu(AluOp::Div, width), x86_division(size, false, true)));
    }
}

#[test]
fn divisions_by_idiv() {
    for (width, size) in [(Width::W64, S::B8), (Width::W32, S::B4)] {
        proved(verdict(&alu(AluOp::SDiv, width), x86_division(size, true, false)));
        proved(verdict(&alu(AluOp::SMod, width), x86_division(size, true, true)));
    }
}

#[test]
fn divisions_by_udiv_and_sdiv() {
    for (width, w) in [(Width::W64, W::X), (Width::W32, W::W)] {
        proved(verdict(&alu(AluOp::Div, width), arm(|a| a.udiv(w, X::X7, X::X7, X::X0))));
        proved(verdict(&alu(AluOp::SDiv, width), arm(|a| a.sdiv(w, X::X7, X::X7, X::X0))));
        let rest = |signed: bool| {
            arm(move |a| {
                if signed {
                    a.sdiv(w, X::X9, X::X7, X::X0)
                } else {
                    a.udiv(w, X::X9, X::X7, X::X0)
                }
                a.msub(w, X::X7, X::X9, X::X0, X::X7);
            })
        };
        proved(verdict(&alu(AluOp::Mod, width), rest(false)));
        proved(verdict(&alu(AluOp::SMod, width), rest(true)));
    }
}

#[test]
fn products_and_shifts() {
    for (width, s, w) in [(Width::W64, S::B8, W::X), (Width::W32, S::B4, W::W)] {
        proved(verdict(&alu(AluOp::Mul, width), x86(|a| a.imul(s, Gpr::Rax, Gpr::Rdi))));
        proved(verdict(&alu(AluOp::Mul, width), arm(|a| a.mul(w, X::X7, X::X7, X::X0))));
        proved(verdict(&alu(AluOp::Lsh, width), x86(|a| a.shlx(s, Gpr::Rax, Gpr::Rax, Gpr::Rdi))));
        proved(verdict(&alu(AluOp::Arsh, width), x86(|a| a.sarx(s, Gpr::Rax, Gpr::Rax, Gpr::Rdi))));
        proved(verdict(&alu(AluOp::Rsh, width), arm(|a| a.lsr(w, X::X7, X::X7, X::X0))));
        refuted(verdict(&alu(AluOp::Rsh, width), x86(|a| a.sarx(s, Gpr::Rax, Gpr::Rax, Gpr::Rdi))));
    }
}

#[test]
fn atomic_operations() {
    let atomic = |op| [Insn::atomic(op, Size::B8, Reg::R1, 8, Reg::R2)];
    let to = Mem::at(Gpr::Rdi, 8);
    proved(verdict(&atomic(AtomicOp::FetchAdd), x86(|a| a.lock_xadd(S::B8, to, Gpr::Rsi))));
    proved(verdict(&atomic(AtomicOp::Xchg), x86(|a| a.lock_xchg(S::B8, to, Gpr::Rsi))));
    proved(verdict(&atomic(AtomicOp::CmpXchg), x86(|a| a.lock_cmpxchg(S::B8, to, Gpr::Rsi))));
    refuted(verdict(&atomic(AtomicOp::Add), x86(|a| a.lock_sub(S::B8, to, Gpr::Rsi))));
    let exclusive = |op: AtomicOp| {
        arm(move |a| {
            let (base, order) = (X::X9, Order::AcquireRelease);
            a.add_imm(W::X, base, X::X0, 8);
            match op {
                AtomicOp::FetchAdd => a.ldadd(ArmSize::B8, order, X::X1, X::X1, base),
                AtomicOp::Xchg => a.swp(ArmSize::B8, order, X::X1, X::X1, base),
                _ => a.cas(ArmSize::B8, order, X::X7, X::X1, base),
            }
        })
    };
    for op in [AtomicOp::FetchAdd, AtomicOp::Xchg, AtomicOp::CmpXchg] {
        proved(verdict(&atomic(op), exclusive(op)));
    }
}

#[test]
fn a_loop_around_a_store_exclusive_runs_once() {
    let proof = [Insn::atomic(AtomicOp::Add, Size::B8, Reg::R1, 0, Reg::R2)];
    let code = |wrong: bool| {
        arm(move |a| {
            let again = a.label();
            a.bind(again);
            a.ldxr(ArmSize::B8, X::X9, X::X0);
            a.add(W::X, X::X9, X::X9, if wrong { X::X2 } else { X::X1 });
            a.stxr(ArmSize::B8, X::X10, X::X9, X::X0);
            a.cbnz(W::W, X::X10, again);
        })
    };
    proved(verdict(&proof, code(false)));
    refuted(verdict(&proof, code(true)));
}

#[test]
fn a_store_exclusive_that_is_not_tried_again_is_not_proved() {
    let proof = [Insn::atomic(AtomicOp::Add, Size::B8, Reg::R1, 0, Reg::R2)];
    // Nothing looks at the status, or something else than the status is looked at.
    for looks_at in [None, Some(X::X11)] {
        let code = arm(move |a| {
            let again = a.label();
            a.bind(again);
            a.ldxr(ArmSize::B8, X::X9, X::X0);
            a.add(W::X, X::X9, X::X9, X::X1);
            a.stxr(ArmSize::B8, X::X10, X::X9, X::X0);
            if let Some(register) = looks_at {
                a.cbnz(W::W, register, again);
            }
        });
        let said = verdict(&proof, code);
        let Verdict::Unsupported(reason) = said else { panic!("{said:?}") };
        assert_eq!(
            reason.to_string(),
            "the store-exclusive at +0x8 is not tried again at once when it fails"
        );
    }
}

/// `[r1] += r2`.
fn increment() -> [Insn; 1] {
    [Insn::atomic(AtomicOp::Add, Size::B8, Reg::R1, 0, Reg::R2)]
}

/// What is said of a loop that adds, with something before it, in front of the load, in front of the store, and behind it.
fn tried_again(
    [before, load, store, behind]: [fn(&mut aarch64::Assembler); 4],
    proof: &[Insn],
    status: X,
) -> Verdict {
    let code = arm(|a| {
        let again = a.label();
        before(a);
        a.bind(again);
        load(a);
        a.ldxr(ArmSize::B8, X::X9, X::X0);
        a.add(W::X, X::X10, X::X9, X::X1);
        store(a);
        a.stxr(ArmSize::B8, status, X::X10, X::X0);
        a.cbnz(W::W, status, again);
        behind(a);
    });
    verdict(proof, code)
}

/// That a claim holds where the store-exclusive succeeds at once, and is not said to hold.
#[track_caller]
fn unsure(verdict: Verdict) {
    let Verdict::Unsupported(Reason::Code(refusal)) = verdict else { panic!("{verdict:?}") };
    assert!(matches!(refusal, Refusal::Retry(_)), "{refusal}");
}

#[test]
fn a_store_exclusive_is_tried_again_from_the_same_state() {
    let nothing: fn(&mut aarch64::Assembler) = |_| {};
    // The status is scratch, and what the loop makes of nothing is made again.
    proved(tried_again([nothing, nothing, nothing, nothing], &increment(), X::X11));
    proved(tried_again([nothing, |a| a.mov_imm64(X::X12, 3), nothing, nothing], &increment(), X::X11));
    // A constant that was made before is there in every try.
    proved(tried_again(
        [|a| a.mov(W::X, X::X12, X::X1), nothing, |a| a.sub(W::X, X::X13, X::X12, X::X1), nothing],
        &increment(),
        X::X11,
    ));
    // The number of tries in r0, which is one if all goes well.
    let counted = [Insn::mov64(Reg::R0, 1), increment()[0]];
    let count: fn(&mut aarch64::Assembler) = |a| a.add_imm(W::X, X::X12, X::X12, 1);
    let clear: fn(&mut aarch64::Assembler) = |a| a.mov_imm64(X::X12, 0);
    let result: fn(&mut aarch64::Assembler) = |a| a.mov(W::X, X::X7, X::X12);
    unsure(tried_again([clear, nothing, count, result], &counted, X::X11));
    // Cleared in the loop, it is one.
    proved(tried_again([nothing, clear, count, result], &counted, X::X11));
    // What is stored on the way stays.
    let twice = [increment()[0], Insn::store(Size::B8, Reg::R1, 8, Reg::R2)];
    unsure(tried_again(
        [nothing, |a| a.str(W::X, X::X1, ArmMem::offset(X::X0, 8)), nothing, nothing],
        &twice,
        X::X11,
    ));
    // The carry of the addition before the loop is lost in the first try.
    let carry = [Insn::mov64(Reg::R0, 0), increment()[0]];
    unsure(tried_again(
        [
            |a| a.adds(W::X, X::X12, X::Xzr, X::Xzr),
            |a| a.adc(W::X, X::X12, X::Xzr, X::Xzr),
            |a| a.subs(W::X, X::X13, X::X9, X::X9),
            |a| a.mov(W::X, X::X7, X::X12),
        ],
        &carry,
        X::X11,
    ));
    // XZR says that all went well, always.
    let verdict = tried_again([nothing; 4], &increment(), X::Xzr);
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::Exclusive(8)))), "{verdict:?}");
    // Wrong at once is wrong.
    refuted(tried_again([nothing, nothing, count, |a| a.mov(W::X, X::X7, X::X1)], &increment(), X::X11));
}

#[test]
fn a_loop_around_a_store_exclusive_begins_at_its_beginning() {
    // The jump goes behind the load: the second try has no mark, and adds to the sum.
    let code = arm(|a| {
        let again = a.label();
        a.ldxr(ArmSize::B8, X::X9, X::X0);
        a.bind(again);
        a.add(W::X, X::X9, X::X9, X::X1);
        a.stxr(ArmSize::B8, X::X10, X::X9, X::X0);
        a.cbnz(W::W, X::X10, again);
    });
    unsure(verdict(&increment(), code));
    // The first try begins in the middle: what is in front of it happens in the second one only.
    let code = arm(|a| {
        let (again, middle) = (a.label(), a.label());
        a.b(middle);
        a.bind(again);
        a.add_imm(W::X, X::X7, X::X7, 1);
        a.bind(middle);
        a.ldxr(ArmSize::B8, X::X9, X::X0);
        a.add(W::X, X::X9, X::X9, X::X1);
        a.stxr(ArmSize::B8, X::X10, X::X9, X::X0);
        a.cbnz(W::W, X::X10, again);
    });
    unsure(verdict(&increment(), code));
}

#[test]
fn a_loop_around_a_store_exclusive_may_be_left() {
    use kop_ops::aarch64::Cond as ArmCond;
    // As the JIT compares and exchanges without FEAT_LSE.
    let exchange = |leak: bool| {
        arm(move |a| {
            let (again, differs) = (a.label(), a.label());
            a.mov_imm64(X::X11, 0);
            a.bind(again);
            a.ldxr(ArmSize::B8, X::X12, X::X0);
            a.cmp(W::X, X::X12, X::X7);
            a.b_cond(ArmCond::Ne, differs);
            a.stlxr(ArmSize::B8, X::X11, X::X1, X::X0);
            a.cbnz(W::W, X::X11, again);
            a.bind(differs);
            // Whoever leaves the loop in the second try has the status of the first one.
            a.add(W::X, X::X7, X::X12, if leak { X::X11 } else { X::Xzr });
        })
    };
    let proof = [Insn::atomic(AtomicOp::CmpXchg, Size::B8, Reg::R1, 0, Reg::R2)];
    proved(verdict(&proof, exchange(false)));
    unsure(verdict(&proof, exchange(true)));
}

/// What is said of a jump whose native code may go to `exit`.
fn jump(proof: &[Insn], (arch, code): (Arch, Vec<u8>), exit: i64) -> Verdict {
    let grants = Grants { exit: Some(exit), ..Grants::default() };
    let (dead, vectors) = (RegSet::EMPTY, Vectors::default());
    Prover::default().prove(&Statement { proof, code: &code, arch, dead, vectors, grants })
}

/// `cmp rdi, rsi` and a branch to +0x40, which the processor counts from its own end.
fn x86_jump(cond: Cond) -> (Arch, Vec<u8>) {
    let (arch, mut code) = x86(|a| {
        let end = a.label();
        a.cmp(S::B8, Gpr::Rdi, Gpr::Rsi);
        a.jcc(cond, end);
        a.bind(end);
    });
    assert_eq!(code.len(), 5, "the branch is short");
    code[4] = 0x40 - 5;
    (arch, code)
}

#[test]
fn jumps_are_taken_when_the_condition_holds() {
    let proof = [Insn::jump(kop_ops::ebpf::Cond::SLt, Reg::R1, Reg::R2, 100)];
    proved(jump(&proof, x86_jump(Cond::L), 0x40));
    let found = refuted(jump(&proof, x86_jump(Cond::B), 0x40));
    assert_eq!(found.what, "whether the jump is taken differs");
    // The branch goes elsewhere.
    let found = refuted(jump(&proof, x86_jump(Cond::L), 0x41));
    assert!(found.what.ends_with("leaves the code"), "{}", found.what);
    // Nobody granted an exit: the sequence leaves itself.
    assert!(matches!(verdict(&proof, x86_jump(Cond::L)), Verdict::Unsupported(_)));
}

#[test]
fn a_branch_around_a_branch_is_a_jump() {
    let always = [Insn::Ja { off: -7 }];
    proved(jump(&always, arm(|a| a.push(ArmInsn::B { offset: -64 })), -64));
    let proof = [Insn::jump(kop_ops::ebpf::Cond::Eq, Reg::R1, 0, 100)];
    let around = |zero: bool| {
        arm(move |a| {
            let insn = if zero { ArmInsn::cbz(W::X, X::X0) } else { ArmInsn::cbnz(W::X, X::X0) };
            a.push(insn.with_offset(8));
            a.push(ArmInsn::B { offset: 1 << 20 });
        })
    };
    proved(jump(&proof, around(false), (1 << 20) + 4));
    refuted(jump(&proof, around(true), (1 << 20) + 4));
}

#[test]
fn a_register_that_is_granted_need_not_be_kept() {
    let proof = [Insn::mov64(Reg::R0, 1)];
    let (arch, code) = x86(|a| {
        a.mov(S::B4, Gpr::R9, 1);
        a.mov(S::B8, Gpr::Rax, Gpr::R9);
    });
    assert_eq!(refuted(verdict(&proof, (arch, code.clone()))).what, "r9 is not kept");
    let grants = Grants { registers: 1 << Gpr::R9.code(), exit: None };
    let (dead, vectors) = (RegSet::EMPTY, Vectors::default());
    let statement = Statement { proof: &proof, code: &code, arch, dead, vectors, grants };
    proved(Prover::default().prove(&statement));
}
