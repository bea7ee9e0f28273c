// SPDX-License-Identifier: GPL-2.0-or-later
//! The driver of programs on x86-64. All that it uses lies below 2 GiB, so that absolute addresses reach it without a
//! register.

use kop_ops::Arch;
use kop_ops::code::runtime::MAX_HELPERS;
use kop_ops::x86_64::{Assembler, Gpr, Item, Mem, Size};

use super::driver::control::{self, status};
use super::driver::{Abi, DriverCode, FLAGS, PLACE, ProgramDriver, word};

/// The x86-64 driver.
#[derive(Clone, Copy, Debug)]
pub struct X86_64;

const fn number(gpr: Gpr) -> usize {
    gpr.code() as usize
}

/// System V ABI for x86-64, sections 3.2.1 to 3.2.3.
const ABI: Abi = Abi {
    arguments: [number(Gpr::Rdi), number(Gpr::Rsi), number(Gpr::Rdx), number(Gpr::Rcx), number(Gpr::R8)],
    result: number(Gpr::Rax),
    stack_pointer: number(Gpr::Rsp),
    return_bytes: 8,
    frame_pointer: number(Gpr::Rbp),
    link: None,
    preserved: &[
        (number(Gpr::Rbx), "rbx is not preserved"),
        (number(Gpr::Rbp), "rbp is not preserved"),
        (number(Gpr::R12), "r12 is not preserved"),
        (number(Gpr::R13), "r13 is not preserved"),
        (number(Gpr::R14), "r14 is not preserved"),
        (number(Gpr::R15), "r15 is not preserved"),
    ],
    // Carry, parity, adjust, zero, sign and overflow; bit 1 and the interrupt flag (Intel SDM vol. 1, 3.4.3).
    any_flags: 0x8d5,
    set_flags: 0x202,
    direction_flag: 0x400,
};

impl ProgramDriver for X86_64 {
    const ARCH: Arch = Arch::X86_64;
    const ABI: &'static Abi = &ABI;

    fn code() -> DriverCode {
        let mut a = Assembler::new();
        let (save, leave, slot_gate) = (a.label(), a.label(), a.label());

        let start = here(&a);
        load_registers(&mut a, control::BEFORE);
        a.call_rm(absolute(control::ENTRY));
        store_registers(&mut a, control::AFTER);
        a.mov(Size::B8, absolute(control::STATUS), status::FINISHED);
        a.bind(leave);
        a.mov(Size::B8, Gpr::Rsp, absolute(control::SAVED));
        let out = a.label();
        a.jmp(out);
        // Unicorn translates anew, after each run, what holds the byte before the exit.
        a.nop();
        a.bind(out);
        let exit = here(&a);
        a.ret();

        let gate = here(&a);
        a.mov(Size::B8, absolute(control::STATUS), status::GATE);
        a.bind(save);
        a.mov(Size::B8, absolute(control::CALLEE), Gpr::R10);
        store_registers(&mut a, control::CALL);
        a.jmp(leave);

        let resume = here(&a);
        load_registers(&mut a, control::RESUME);
        a.ret();

        a.bind(slot_gate);
        a.mov(Size::B8, absolute(control::STATUS), status::SLOT);
        a.jmp(save);
        let slots = here(&a);
        for slot in 0..MAX_HELPERS {
            a.mov(Size::B4, Gpr::R10, slot as i32);
            a.jmp(slot_gate);
        }
        let code = a.finish().expect("every operand is a constant that fits");
        let address = |insn: usize| PLACE + code.insns[insn].0 as u64;
        DriverCode {
            start: address(start),
            resume: address(resume),
            exit: address(exit),
            gate: address(gate),
            slots: (0..MAX_HELPERS).map(|slot| address(slots + 2 * slot)).collect(),
            bytes: code.bytes,
        }
    }
}

/// The number of the next instruction.
fn here(a: &Assembler) -> usize {
    a.items().iter().filter(|item| !matches!(item, Item::Bind(_))).count()
}

fn load_registers(a: &mut Assembler, base: u64) {
    a.mov(Size::B8, absolute(control::SAVED), Gpr::Rsp);
    a.mov(Size::B8, Gpr::Rsp, control::FLAG_STACK as i32);
    a.pushq(absolute(word(base, FLAGS)));
    a.popfq();
    for gpr in Gpr::ALL {
        a.mov(Size::B8, gpr, absolute(word(base, number(gpr))));
    }
}

/// Leaves the stack pointer at the stack for flags, and the direction flag clear.
fn store_registers(a: &mut Assembler, base: u64) {
    for gpr in Gpr::ALL {
        a.mov(Size::B8, absolute(word(base, number(gpr))), gpr);
    }
    a.mov(Size::B8, Gpr::Rsp, control::FLAG_STACK as i32);
    a.pushfq();
    a.popq(absolute(word(base, FLAGS)));
    a.cld();
}

fn absolute(address: u64) -> Mem {
    Mem::absolute(i32::try_from(address).expect("drivers use the lowest 2 GiB"))
}
