// SPDX-License-Identifier: GPL-2.0-or-later
//! Code for x86-64.

use kop_ops::code::runtime;
use kop_ops::x86_64::{Assembler, Cond, Gpr, Mem, Size};
use kop_ops::{Access, Arch, Code, Fault, Slot};
use kop_semantics::{Trap, World};

use super::{code, engines, image, registers, run, run_conforming, run_in};

fn x86_64(write: impl FnOnce(&mut Assembler)) -> Code {
    let mut a = Assembler::new();
    write(&mut a);
    let assembled = a.finish().expect("it has an encoding");
    code(Arch::X86_64, assembled.bytes, assembled.insns.iter().map(|insn| insn.0))
}

fn register(number: i32) -> Mem {
    Mem::at(Gpr::Rdi, runtime::REGISTERS + 8 * number)
}

#[test]
fn memory_goes_in_and_comes_out() {
    let code = x86_64(|a| {
        // A word of each region is summed up, and its first byte replaced.
        a.xor(Size::B4, Gpr::Rax, Gpr::Rax);
        for number in [1, 2, 3] {
            a.mov(Size::B8, Gpr::Rdx, register(number));
            a.add(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdx, 8));
            a.mov(Size::B1, Mem::at(Gpr::Rdx, 0), number);
        }
        a.mov(Size::B8, Gpr::Rdx, register(10));
        a.add(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdx, -8));
        a.mov(Size::B1, Mem::at(Gpr::Rdx, -1), 10);
        a.ret();
    });
    for mut engine in engines(Arch::X86_64) {
        for slot in Slot::all() {
            let outcome = run_in(slot, engine.as_mut(), std::slice::from_ref(&code));
            let sum =
                [0x1111_1111_1111_1111, 0x2222_2222_2222_2222, 0x3333_3333_3333_3333, 0x4444_4444_4444_4444];
            assert_eq!(outcome.end, Ok(sum.iter().sum()), "{}", engine.name());
            let mut expected = image(slot);
            expected.window[0] = 1;
            expected.context[0] = 2;
            expected.maps[0] = 3;
            *expected.stack.last_mut().expect("it has bytes") = 10;
            assert_eq!(outcome.image, expected, "{}", engine.name());
            assert_eq!((outcome.registers, outcome.world), (None, World::default()));
        }
    }
}

#[test]
fn observing_code_tells_its_registers() {
    let mut code = x86_64(|a| {
        a.mov(Size::B8, register(7), 77);
        a.mov(Size::B4, Gpr::Rax, 1);
        a.ret();
    });
    code.observing = true;
    for mut engine in engines(Arch::X86_64) {
        let mut expected = registers(Slot::of_batch(2));
        expected[7] = 77;
        assert_eq!(run(engine.as_mut(), &code).registers, Some(expected), "{}", engine.name());
    }
}

#[test]
fn faults_name_address_and_instruction() {
    type Write = fn(&mut Assembler);
    let window = Slot::of_batch(2).window();
    let memory = |access, address| Fault::Memory { access, address: Some(address) };
    let cases: [(Write, Fault); 7] = [
        (|a| a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdx, -16)), memory(Access::Read, window - 16)),
        (|a| a.mov(Size::B4, Gpr::Rax, Mem::at(Gpr::Rdx, 4096)), memory(Access::Read, window + 4096)),
        (|a| a.mov(Size::B8, Mem::at(Gpr::Rdx, -8), Gpr::Rax), memory(Access::Write, window - 8)),
        (|a| a.lock_xadd(Size::B4, Mem::at(Gpr::Rdx, 8192), Gpr::Rax), memory(Access::Write, window + 8192)),
        (Assembler::ud2, Fault::Illegal),
        (Assembler::int3, Fault::Trap),
        (|a| a.div(Size::B4, Gpr::Rcx), Fault::Divide),
    ];
    for mut engine in engines(Arch::X86_64) {
        for (i, (write, fault)) in cases.iter().enumerate() {
            let code = x86_64(|a| {
                a.mov(Size::B4, Gpr::Rcx, 0);
                a.mov(Size::B8, Gpr::Rdx, register(1));
                a.mov(Size::B1, Mem::at(Gpr::Rdx, 5), 9);
                write(a);
                a.mov(Size::B1, Mem::at(Gpr::Rdx, 6), 9);
                a.ret();
            });
            let outcome = run(engine.as_mut(), &code);
            let Err(trap) = outcome.end else { panic!("{} case {i}: {:?}", engine.name(), outcome.end) };
            let context = format!("{} case {i}: {trap:x?}", engine.name());
            assert!(trap.fault.same_kind(*fault), "{context}");
            if let (Fault::Memory { address: a, .. }, Fault::Memory { address: b, .. }) = (trap.fault, *fault)
            {
                assert_eq!(a, b, "{context}");
            }
            assert_eq!((trap.program, trap.at), (0, Some(3)), "{context}");
            assert_eq!(outcome.image.window[5..7], [9, 0x11], "{context}");
            assert_eq!(outcome.registers, None);
        }
    }
}

#[test]
fn guarded_code_tells_its_faults_in_the_block() {
    let code = x86_64(|a| {
        a.mov(Size::B8, Mem::at(Gpr::Rdi, runtime::FAULT_AT), 7);
        a.mov(Size::B8, Mem::at(Gpr::Rdi, runtime::FAULT_ADDRESS), 0x999);
        a.mov(Size::B8, Mem::at(Gpr::Rdi, runtime::FAULT_KIND), runtime::fault::WRITE as i32);
        a.ret();
    });
    let fault = Fault::Memory { access: Access::Write, address: Some(0x999) };
    for mut engine in engines(Arch::X86_64) {
        assert_eq!(run(engine.as_mut(), &code).end, Err(Trap { fault, program: 0, at: Some(6) }));
    }
}

#[test]
fn code_finds_the_ranges_and_the_fuel() {
    let code = x86_64(|a| {
        a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, runtime::RANGE_COUNT));
        a.add(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, runtime::RANGES + 3 * 16 + 8));
        a.add(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, runtime::FUEL));
        a.ret();
    });
    for mut engine in engines(Arch::X86_64) {
        assert_eq!(run(engine.as_mut(), &code).end, Ok(4 + 4096 + 40 + 1_000_000), "{}", engine.name());
    }
}

#[test]
fn what_does_not_end_runs_away() {
    let code = x86_64(|a| {
        let top = a.label();
        a.bind(top);
        a.inc(Size::B8, Gpr::Rax);
        a.jmp(top);
    });
    let returns = x86_64(|a| {
        a.mov(Size::B4, Gpr::Rax, 3);
        a.ret();
    });
    for mut engine in engines(Arch::X86_64) {
        let Err(trap) = run(engine.as_mut(), &code).end else { panic!("it cannot end") };
        assert_eq!(trap.fault, Fault::RunAway, "{}", engine.name());
        assert_eq!(run(engine.as_mut(), &returns).end, Ok(3), "{}", engine.name());
    }
}

#[test]
fn a_broken_abi_is_a_fault() {
    type Write = fn(&mut Assembler);
    let cases: [(&str, Write); 9] = [
        ("rbx is not preserved", |a| a.inc(Size::B8, Gpr::Rbx)),
        ("rbp is not preserved", |a| a.mov(Size::B4, Gpr::Rbp, Gpr::Rbp)),
        ("r12 is not preserved", |a| a.inc(Size::B8, Gpr::R12)),
        ("r13 is not preserved", |a| a.inc(Size::B8, Gpr::R13)),
        ("r14 is not preserved", |a| a.inc(Size::B8, Gpr::R14)),
        ("r15 is not preserved", |a| a.mov(Size::B8, Gpr::R15, 0)),
        ("the direction flag is set", Assembler::std),
        ("the caller's stack changed", |a| a.mov(Size::B1, Mem::at(Gpr::Rsp, 8), 1)),
        ("the stack pointer is not what it was", |a| {
            a.popq(Gpr::Rcx);
            a.popq(Gpr::Rdx);
            a.pushq(Gpr::Rcx);
        }),
    ];
    for mut engine in engines(Arch::X86_64) {
        for (what, write) in cases {
            let code = x86_64(|a| {
                write(a);
                a.ret();
            });
            let trap = Trap { fault: Fault::Frame { what }, program: 0, at: None };
            assert_eq!(run(engine.as_mut(), &code).end, Err(trap), "{}", engine.name());
        }
    }
}

#[test]
fn helpers_that_there_are_not_are_refused_where_they_are_called() {
    let by_slot = x86_64(|a| {
        a.pushq(Gpr::Rbx);
        a.call_rm(Mem::at(Gpr::Rdi, runtime::HELPERS + 8));
        a.popq(Gpr::Rbx);
        a.ret();
    });
    let by_register = x86_64(|a| {
        a.pushq(Gpr::Rbx);
        a.mov(Size::B4, Gpr::R10, 1000);
        a.call_rm(Mem::at(Gpr::Rdi, runtime::GATE));
        a.popq(Gpr::Rbx);
        a.ret();
    });
    let unaligned = x86_64(|a| {
        a.call_rm(Mem::at(Gpr::Rdi, runtime::HELPERS));
        a.ret();
    });
    let refused = Fault::Helper { id: 1000 };
    let misplaced = Fault::Frame { what: "the stack is not aligned at a call" };
    for mut engine in engines(Arch::X86_64) {
        for (code, fault, at) in
            [(&by_slot, refused, Some(1)), (&by_register, refused, Some(2)), (&unaligned, misplaced, None)]
        {
            assert_eq!(
                run(engine.as_mut(), code).end,
                Err(Trap { fault, program: 0, at }),
                "{}",
                engine.name()
            );
        }
    }
}

/// Enters and leaves a function that calls others.
fn framed(a: &mut Assembler, write: impl FnOnce(&mut Assembler)) {
    a.pushq(Gpr::Rbx);
    a.mov(Size::B8, Gpr::Rbx, Gpr::Rdi);
    write(a);
    a.popq(Gpr::Rbx);
    a.ret();
}

#[test]
fn helpers_answer_and_clobber_what_they_may() {
    let preserved = [Gpr::Rbp, Gpr::R12, Gpr::R13, Gpr::R14, Gpr::R15];
    let clobbered = [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::Rcx, Gpr::R8, Gpr::R9, Gpr::R10, Gpr::R11];
    for by_register in [false, true] {
        let code = x86_64(|a| {
            framed(a, |a| {
                // r0 sums up what helper 5 returns, and 1 for each register that is not as the ABI says.
                preserved.iter().for_each(|&gpr| a.pushq(gpr));
                a.sub(Size::B8, Gpr::Rsp, 8);
                for (value, gpr) in (100..).zip(preserved).chain((200..).zip(clobbered)) {
                    a.mov(Size::B4, gpr, value);
                }
                a.mov(Size::B4, Gpr::Rdi, 1000);
                if by_register {
                    a.mov(Size::B4, Gpr::R10, 5);
                    a.call_rm(Mem::at(Gpr::Rbx, runtime::GATE));
                } else {
                    a.call_rm(Mem::at(Gpr::Rbx, runtime::HELPERS));
                }
                for (value, gpr, kept) in (100..)
                    .zip(preserved)
                    .map(|(value, gpr)| (value, gpr, true))
                    .chain((200..).zip(clobbered).map(|(value, gpr)| (value, gpr, false)))
                {
                    let as_expected = a.label();
                    a.cmp(Size::B8, gpr, value);
                    a.jcc(if kept { Cond::E } else { Cond::Ne }, as_expected);
                    a.inc(Size::B8, Gpr::Rax);
                    a.bind(as_expected);
                }
                a.add(Size::B8, Gpr::Rsp, 8);
                preserved.iter().rev().for_each(|&gpr| a.popq(gpr));
            });
        });
        for mut engine in engines(Arch::X86_64) {
            let outcome = run_conforming(engine.as_mut(), &code, 9);
            assert_eq!(outcome.end, Ok(1000), "{}", engine.name());
        }
    }
}

#[test]
fn helpers_that_are_called_for_ever_run_away() {
    let code = x86_64(|a| {
        framed(a, |a| {
            let top = a.label();
            a.bind(top);
            a.call_rm(Mem::at(Gpr::Rbx, runtime::HELPERS));
            a.jmp(top);
        });
    });
    for mut engine in engines(Arch::X86_64) {
        let outcome = run_conforming(engine.as_mut(), &code, 2000);
        let trap = Trap { fault: Fault::RunAway, program: 0, at: Some(2) };
        assert_eq!(outcome.end, Err(trap), "{}", engine.name());
    }
}

#[test]
fn codes_are_told_apart() {
    for mut engine in engines(Arch::X86_64) {
        let mut run_number = |number: i32, size: usize| {
            let mut code = x86_64(|a| {
                a.mov(Size::B4, Gpr::Rax, number);
                a.ret();
            });
            code.bytes.resize(code.bytes.len() + size, 0);
            assert_eq!(run(engine.as_mut(), &code).end, Ok(number as u64), "{}", engine.name());
        };
        // So much code that places are used again.
        for number in 1..20 {
            run_number(number, 4_000_000);
            run_number(number, 4_000_000);
            run_number(number + 100, 10);
        }
    }
}
