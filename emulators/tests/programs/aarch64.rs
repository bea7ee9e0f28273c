// SPDX-License-Identifier: GPL-2.0-or-later
//! Code for AArch64.

use kop_ops::aarch64::{Assembler, Cond, Gpr, Insn, Mem, Scalar, V, Width};
use kop_ops::code::runtime;
use kop_ops::{Access, Arch, Code, Fault, Slot};
use kop_semantics::{Trap, World};

use super::{code, engines, image, registers, run, run_conforming, run_in};

fn aarch64(write: impl FnOnce(&mut Assembler)) -> Code {
    let mut a = Assembler::new();
    write(&mut a);
    let assembled = a.finish().expect("it has an encoding");
    code(Arch::Aarch64, assembled.bytes, assembled.insns.iter().map(|insn| insn.0))
}

fn register(number: i32) -> Mem {
    Mem::offset(Gpr::X0, runtime::REGISTERS + 8 * number)
}

#[test]
fn memory_goes_in_and_comes_out() {
    let code = aarch64(|a| {
        // A word of each region is summed up, and its first byte replaced.
        a.mov_imm64(Gpr::X9, 0);
        for number in [1, 2, 3] {
            a.ldr(Width::X, Gpr::X10, register(number));
            a.ldr(Width::X, Gpr::X11, Mem::offset(Gpr::X10, 8));
            a.add(Width::X, Gpr::X9, Gpr::X9, Gpr::X11);
            a.mov_imm64(Gpr::X11, number as u64);
            a.strb(Gpr::X11, Mem::base(Gpr::X10));
        }
        a.ldr(Width::X, Gpr::X10, register(10));
        a.ldr(Width::X, Gpr::X11, Mem::offset(Gpr::X10, -8));
        a.add(Width::X, Gpr::X9, Gpr::X9, Gpr::X11);
        a.mov_imm64(Gpr::X11, 10);
        a.strb(Gpr::X11, Mem::offset(Gpr::X10, -1));
        a.mov(Width::X, Gpr::X0, Gpr::X9);
        a.ret();
    });
    for mut engine in engines(Arch::Aarch64) {
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
    let mut code = aarch64(|a| {
        a.mov_imm64(Gpr::X9, 77);
        a.str(Width::X, Gpr::X9, register(7));
        a.ret();
    });
    code.observing = true;
    for mut engine in engines(Arch::Aarch64) {
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
    let cases: [(Write, Fault); 6] = [
        (|a| a.ldr(Width::X, Gpr::X0, Mem::offset(Gpr::X10, -16)), memory(Access::Read, window - 16)),
        (|a| a.ldr(Width::W, Gpr::X0, Mem::offset(Gpr::X10, 4096)), memory(Access::Read, window + 4096)),
        (|a| a.str(Width::X, Gpr::X0, Mem::offset(Gpr::X10, -8)), memory(Access::Write, window - 8)),
        (
            |a| a.stp(Width::X, Gpr::X0, Gpr::X1, Mem::offset(Gpr::X10, -16)),
            memory(Access::Write, window - 16),
        ),
        (|a| a.push(Insn::Udf { imm: 0 }), Fault::Illegal),
        (|a| a.brk(1), Fault::Trap),
    ];
    for mut engine in engines(Arch::Aarch64) {
        for (i, (write, fault)) in cases.iter().enumerate() {
            let code = aarch64(|a| {
                a.mov_imm64(Gpr::X9, 9);
                a.ldr(Width::X, Gpr::X10, register(1));
                a.strb(Gpr::X9, Mem::offset(Gpr::X10, 5));
                write(a);
                a.strb(Gpr::X9, Mem::offset(Gpr::X10, 6));
                a.ret();
            });
            let outcome = run(engine.as_mut(), &code);
            let Err(trap) = outcome.end else { panic!("{} case {i}: {:?}", engine.name(), outcome.end) };
            assert_eq!(trap, Trap { fault: *fault, program: 0, at: Some(3) }, "{} case {i}", engine.name());
            assert_eq!(outcome.image.window[5..7], [9, 0x11], "{} case {i}", engine.name());
            assert_eq!(outcome.registers, None);
        }
    }
}

#[test]
fn guarded_code_tells_its_faults_in_the_block() {
    let code = aarch64(|a| {
        for (offset, value) in [
            (runtime::FAULT_AT, 7),
            (runtime::FAULT_ADDRESS, 0x999),
            (runtime::FAULT_KIND, runtime::fault::WRITE),
        ] {
            a.mov_imm64(Gpr::X9, value);
            a.str(Width::X, Gpr::X9, Mem::offset(Gpr::X0, offset));
        }
        a.ret();
    });
    let fault = Fault::Memory { access: Access::Write, address: Some(0x999) };
    for mut engine in engines(Arch::Aarch64) {
        assert_eq!(run(engine.as_mut(), &code).end, Err(Trap { fault, program: 0, at: Some(6) }));
    }
}

#[test]
fn what_does_not_end_runs_away() {
    let code = aarch64(|a| {
        let top = a.label();
        a.bind(top);
        a.add_imm(Width::X, Gpr::X0, Gpr::X0, 1);
        a.b(top);
    });
    let returns = aarch64(|a| {
        a.mov_imm64(Gpr::X0, 3);
        a.ret();
    });
    for mut engine in engines(Arch::Aarch64) {
        let Err(trap) = run(engine.as_mut(), &code).end else { panic!("it cannot end") };
        assert_eq!(trap.fault, Fault::RunAway, "{}", engine.name());
        assert_eq!(run(engine.as_mut(), &returns).end, Ok(3), "{}", engine.name());
    }
}

#[test]
fn a_broken_abi_is_a_fault() {
    type Write = fn(&mut Assembler);
    let increment = |number| {
        let gpr = Gpr::from_number(number).expect("it has a number");
        move |a: &mut Assembler| a.add_imm(Width::X, gpr, gpr, 1)
    };
    let cases: [(&str, Write); 4] = [
        ("d8 is not preserved", |a| a.v_load(Scalar::D, V::V8, Mem::base(Gpr::X0))),
        ("d15 is not preserved", |a| a.movi_zero(V::V15)),
        ("the caller's stack changed", |a| a.strb(Gpr::X0, Mem::offset(Gpr::Sp, 8))),
        ("the stack pointer is not what it was", |a| a.add_imm(Width::X, Gpr::Sp, Gpr::Sp, 16)),
    ];
    for mut engine in engines(Arch::Aarch64) {
        let mut check = |what: &str, write: &dyn Fn(&mut Assembler)| {
            let code = aarch64(|a| {
                write(a);
                a.ret();
            });
            let end = run(engine.as_mut(), &code).end;
            let Err(Trap { fault: Fault::Frame { what: found }, program: 0, at: None }) = end else {
                panic!("{}: {what}: {end:?}", engine.name())
            };
            assert_eq!(found, what, "{}", engine.name());
        };
        for number in 18..=29 {
            check(&format!("x{number} is not preserved"), &increment(number));
        }
        for (what, write) in cases {
            check(what, &write);
        }
    }
}

/// Enters and leaves a function that calls others.
fn framed(a: &mut Assembler, write: impl FnOnce(&mut Assembler)) {
    a.stp(Width::X, Gpr::X19, Gpr::X30, Mem::pre(Gpr::Sp, -16));
    a.mov(Width::X, Gpr::X19, Gpr::X0);
    write(a);
    a.ldp(Width::X, Gpr::X19, Gpr::X30, Mem::post(Gpr::Sp, 16));
    a.ret();
}

fn call(a: &mut Assembler, function: i32) {
    a.ldr(Width::X, Gpr::X9, Mem::offset(Gpr::X19, function));
    a.blr(Gpr::X9);
}

#[test]
fn helpers_that_there_are_not_are_refused_where_they_are_called() {
    let by_slot = aarch64(|a| framed(a, |a| call(a, runtime::HELPERS + 8)));
    let by_register = aarch64(|a| {
        framed(a, |a| {
            a.mov_imm64(Gpr::X10, 1000);
            call(a, runtime::GATE);
        });
    });
    let fault = Fault::Helper { id: 1000 };
    for mut engine in engines(Arch::Aarch64) {
        for (code, at) in [(&by_slot, Some(3)), (&by_register, Some(4))] {
            assert_eq!(
                run(engine.as_mut(), code).end,
                Err(Trap { fault, program: 0, at }),
                "{}",
                engine.name()
            );
        }
    }
}

#[test]
fn helpers_answer_and_clobber_what_they_may() {
    let gpr = |number| Gpr::from_number(number).expect("it has a number");
    for by_register in [false, true] {
        let code = aarch64(|a| {
            framed(a, |a| {
                // r0 sums up what helper 5 returns, and 1 for each register that is not as the ABI says.
                a.sub_imm(Width::X, Gpr::Sp, Gpr::Sp, 96);
                for number in 20..=29 {
                    a.str(Width::X, gpr(number), Mem::offset(Gpr::Sp, 8 * i32::from(number - 20)));
                }
                for number in (1..=17).chain(20..=29) {
                    a.mov_imm64(gpr(number), 100 + u64::from(number));
                }
                a.mov_imm64(Gpr::X0, 1000);
                if by_register {
                    a.mov_imm64(Gpr::X10, 5);
                    a.ldr(Width::X, Gpr::X11, Mem::offset(Gpr::X19, runtime::GATE));
                } else {
                    a.ldr(Width::X, Gpr::X11, Mem::offset(Gpr::X19, runtime::HELPERS));
                }
                a.blr(Gpr::X11);
                for number in (1..=17).chain(20..=29) {
                    let as_expected = a.label();
                    a.cmp_imm(Width::X, gpr(number), 100 + u32::from(number));
                    a.b_cond(if number >= 20 { Cond::Eq } else { Cond::Ne }, as_expected);
                    a.add_imm(Width::X, Gpr::X0, Gpr::X0, 1);
                    a.bind(as_expected);
                }
                for number in 20..=29 {
                    a.ldr(Width::X, gpr(number), Mem::offset(Gpr::Sp, 8 * i32::from(number - 20)));
                }
                a.add_imm(Width::X, Gpr::Sp, Gpr::Sp, 96);
            });
        });
        for mut engine in engines(Arch::Aarch64) {
            assert_eq!(
                run_conforming(engine.as_mut(), &code, 9).end,
                Ok(1000),
                "{} {by_register}",
                engine.name()
            );
        }
    }
}

#[test]
fn helpers_that_are_called_for_ever_run_away() {
    let code = aarch64(|a| {
        framed(a, |a| {
            let top = a.label();
            a.bind(top);
            call(a, runtime::HELPERS);
            a.b(top);
        });
    });
    for mut engine in engines(Arch::Aarch64) {
        let trap = Trap { fault: Fault::RunAway, program: 0, at: Some(3) };
        assert_eq!(run_conforming(engine.as_mut(), &code, 2000).end, Err(trap), "{}", engine.name());
    }
}

#[test]
fn codes_are_told_apart() {
    for mut engine in engines(Arch::Aarch64) {
        let mut run_number = |number: u64, size: usize| {
            let mut code = aarch64(|a| {
                a.mov_imm64(Gpr::X0, number);
                a.ret();
            });
            code.bytes.resize(code.bytes.len() + size, 0);
            assert_eq!(run(engine.as_mut(), &code).end, Ok(number), "{}", engine.name());
        };
        // So much code that places are used again.
        for number in 1..20 {
            run_number(number, 4_000_000);
            run_number(number, 4_000_000);
            run_number(number + 100, 12);
        }
    }
}
