// SPDX-License-Identifier: GPL-2.0-or-later
//! What native code may not touch or do.

use kop_ops::aarch64::{Gpr as X, Mem as ArmMem, Width as W};
use kop_ops::x86_64::{Cond, Gpr, Mem, Size, Xmm};

use super::*;

/// r0 = r1, and native code that does so and something else.
fn and_something(something: impl FnOnce(&mut x86_64::Assembler)) -> Verdict {
    verdict(
        &[Insn::mov64(Reg::R0, Reg::R1)],
        x86(|a| {
            a.mov(Size::B8, Gpr::Rax, Gpr::Rdi);
            something(a);
        }),
    )
}

fn and_something_arm(something: impl FnOnce(&mut aarch64::Assembler)) -> Verdict {
    verdict(
        &[Insn::mov64(Reg::R0, Reg::R1)],
        arm(|a| {
            a.mov(W::X, X::X7, X::X0);
            something(a);
        }),
    )
}

#[test]
fn scratch_may_be_clobbered() {
    proved(and_something(|a| {
        a.mov(Size::B8, Gpr::R10, 7);
        a.add(Size::B8, Gpr::R11, Gpr::R10);
    }));
    proved(and_something_arm(|a| {
        a.mov_imm64(X::X9, 7);
        a.adds(W::X, X::X13, X::X9, X::X9);
    }));
}

#[test]
fn preserved_registers_are_kept() {
    for register in [Gpr::R9, Gpr::R12] {
        let found = refuted(and_something(|a| a.not(Size::B8, register)));
        assert_eq!(found.what, format!("{} is not kept", format!("{register:?}").to_lowercase()));
        // Saved and restored, it is.
        proved(and_something(|a| {
            a.pushq(register);
            a.not(Size::B8, register);
            a.popq(register);
        }));
    }
    for register in [X::X5, X::X18, X::X29] {
        refuted(and_something_arm(|a| a.mvn(W::X, register, register)));
    }
}

#[test]
fn the_stack_pointer_is_kept_and_nothing_below_it_is_touched() {
    assert_eq!(refuted(and_something(|a| a.pushq(Gpr::Rax))).what, "rsp is not kept");
    let below = |a: &mut x86_64::Assembler| a.mov(Size::B8, Mem::at(Gpr::Rsp, -8), Gpr::Rax);
    assert!(refuted(and_something(below)).what.contains("below the stack pointer"));
    proved(and_something(|a| {
        a.sub(Size::B8, Gpr::Rsp, 16);
        a.mov(Size::B8, Mem::at(Gpr::Rsp, 8), Gpr::Rax);
        a.mov(Size::B8, Gpr::R10, Mem::at(Gpr::Rsp, 8));
        a.add(Size::B8, Gpr::Rsp, 16);
    }));
    // What was pushed is gone once it is popped.
    assert!(
        refuted(and_something(|a| {
            a.pushq(Gpr::Rax);
            a.popq(Gpr::R10);
            a.mov(Size::B8, Gpr::R10, Mem::at(Gpr::Rsp, -8));
        }))
        .what
        .contains("below the stack pointer")
    );
    // Giving up the caller's part for a moment is enough for an interrupt.
    assert!(
        refuted(and_something(|a| {
            a.add(Size::B8, Gpr::Rsp, 8);
            a.sub(Size::B8, Gpr::Rsp, 8);
        }))
        .what
        .contains("gives up")
    );
    let verdict = and_something(|a| a.mov(Size::B8, Gpr::Rsp, Gpr::Rdi));
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::Stack(_)))), "{verdict:?}");
    // The caller's part of the stack is nobody's.
    assert!(
        refuted(and_something(|a| a.mov(Size::B8, Gpr::R10, Mem::at(Gpr::Rsp, 0)))).what.contains("reads")
    );
    refuted(and_something_arm(|a| a.str(W::X, X::X7, ArmMem::offset(X::Sp, -16))));
    let found = refuted(and_something_arm(|a| {
        a.str(W::X, X::X7, ArmMem::pre(X::Sp, -8));
        a.ldr(W::X, X::X9, ArmMem::post(X::Sp, 8));
    }));
    assert!(found.what.contains("not aligned"), "{found:?}");
    proved(and_something_arm(|a| {
        a.str(W::X, X::X7, ArmMem::pre(X::Sp, -16));
        a.ldr(W::X, X::X9, ArmMem::post(X::Sp, 16));
    }));
}

#[test]
fn the_direction_flag_is_clear_at_the_end() {
    assert_eq!(refuted(and_something(|a| a.std())).what, "the Direction flag is not kept");
    proved(and_something(|a| {
        a.std();
        a.cld();
    }));
}

/// The flags are pushed twice, those on top with the given bits of RFLAGS flipped popped, and those below popped, too.
fn flipped_and_put_back(bits: i32) -> Verdict {
    and_something(|a| {
        a.pushfq();
        a.pushfq();
        a.xor(Size::B8, Mem::at(Gpr::Rsp, 0), bits);
        a.popfq();
        a.popfq();
    })
}

#[test]
fn flags_that_the_processor_acts_on_are_kept_at_every_step() {
    // TF, IOPL, NT, AC, ID: put back at the end, and yet the processor would have acted on them (Intel SDM vol. 1, section 3.4.3).
    for (bit, name) in [(8, "Trap"), (12, "IoLow"), (14, "Nested"), (18, "Alignment"), (21, "Identification")]
    {
        let found = refuted(flipped_and_put_back(1 << bit));
        assert!(found.what.ends_with(&format!("changes the {name} flag")), "{}", found.what);
    }
    // IF among those that are popped depends on the privilege level.
    assert!(refuted(flipped_and_put_back(1 << 9)).what.ends_with("changes the Interrupt flag"));
    // None, CF, ZF, DF.
    for bits in [0, 1, 1 << 6, 1 << 10] {
        proved(flipped_and_put_back(bits));
    }
    // On a path that is never taken it does not happen.
    proved(and_something(|a| {
        let end = a.label();
        a.xor(Size::B4, Gpr::R10, Gpr::R10);
        a.jcc(Cond::E, end);
        a.pushq(0x100);
        a.popfq();
        a.bind(end);
    }));
}

#[test]
fn the_stack_pointer_is_aligned_at_every_step() {
    // Nothing is accessed: an interrupt's handler on this stack would fault all the same.
    let moved = |by: u32| {
        and_something_arm(move |a| {
            a.sub_imm(W::X, X::Sp, X::Sp, by);
            a.add_imm(W::X, X::Sp, X::Sp, by);
        })
    };
    assert!(refuted(moved(8)).what.ends_with("leaves the stack pointer not aligned"));
    proved(moved(32));
}

#[test]
fn nothing_depends_on_flags_or_scratch() {
    for register in [Gpr::R10, Gpr::R11] {
        let found = refuted(and_something(|a| a.add(Size::B8, Gpr::Rax, register)));
        assert_eq!(found.what, "r0 differs");
        assert!(found.others.iter().any(|(name, _)| *name == format!("native {register:?}").to_lowercase()));
    }
    refuted(and_something(|a| a.adc(Size::B8, Gpr::Rax, 0)));
    proved(and_something(|a| {
        a.clc();
        a.adc(Size::B8, Gpr::Rax, 0);
    }));
    refuted(and_something_arm(|a| a.adc(W::X, X::X7, X::X7, X::Xzr)));
}

#[test]
fn simd_registers_are_kept_unless_they_are_declared() {
    let (arch, code) = x86(|a| {
        a.mov_to_xmm(Size::B8, Xmm::ALL[1], Gpr::Rdi);
        a.mov_from_xmm(Size::B8, Gpr::Rax, Xmm::ALL[1]);
    });
    let proof = [Insn::mov64(Reg::R0, Reg::R1)];
    let mut statement = Statement {
        proof: &proof,
        code: &code,
        arch,
        dead: RegSet::EMPTY,
        vectors: Vectors::default(),
        grants: Grants::default(),
    };
    assert_eq!(refuted(Prover::default().prove(&statement)).what, "xmm1 is not kept");
    statement.vectors.x86_64 = 0b10;
    proved(Prover::default().prove(&statement));
    statement.vectors.x86_64 = 0b01;
    refuted(Prover::default().prove(&statement));
}

#[test]
fn code_ends_at_its_end() {
    assert!(refuted(and_something(|a| a.jmp_rel(1))).what.contains("leaves the code"));
    assert!(refuted(and_something(|a| a.ud2())).what.contains("raises an exception"));
    let verdict = and_something(|a| a.ret());
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::Indirect(_)))), "{verdict:?}");
    // Leaving under a condition is found where the condition holds.
    let found = refuted(and_something(|a| {
        a.cmp(Size::B4, Gpr::Rax, 77);
        a.jcc_rel(Cond::E, 1);
    }));
    assert_eq!(found.register(Reg::R1) as u32, 77);
    // Under one that never holds, it is none.
    proved(and_something(|a| {
        a.xor(Size::B4, Gpr::R10, Gpr::R10);
        a.jcc_rel(Cond::Ne, 1);
    }));
}

#[test]
fn code_behind_a_byte_that_is_jumped_over_is_not_refuted() {
    let proof = [Insn::mov64(Reg::R0, Reg::R1)];
    // jmp +1; a byte that is read as the beginning of a call; mov rax, rdi; nop.
    let code = vec![0xeb, 1, 0xe8, 0x48, 0x89, 0xf8, 0x90];
    let said = verdict(&proof, (Arch::X86_64, code));
    assert!(matches!(said, Verdict::Unsupported(Reason::Code(Refusal::Middle(_)))), "{said:?}");
}

#[test]
fn endless_loops_are_no_proof() {
    let verdict = and_something(|a| {
        let again = a.label();
        a.bind(again);
        a.jmp(again);
    });
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::TooLong(_)))), "{verdict:?}");
    let verdict = and_something(|a| {
        let again = a.label();
        a.bind(again);
        a.dec(Size::B8, Gpr::R10);
        a.jcc(Cond::Ne, again);
    });
    assert!(matches!(verdict, Verdict::Unsupported(Reason::Code(Refusal::Undecided(_)))), "{verdict:?}");
}
