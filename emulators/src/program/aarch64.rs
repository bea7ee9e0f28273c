// SPDX-License-Identifier: GPL-2.0-or-later
//! The driver of programs on AArch64. There are no absolute addresses: x16 and x17 serve where the platform's ABI lets a
//! veneer clobber them.

use kop_ops::Arch;
use kop_ops::aarch64::{Assembler, Gpr, Item, Mem, Scalar, SysReg, V, Width};
use kop_ops::code::runtime::MAX_HELPERS;

use super::driver::control::{self, status};
use super::driver::{Abi, DriverCode, FLAGS, PLACE, ProgramDriver, VECTORS};

/// The AArch64 driver.
#[derive(Clone, Copy, Debug)]
pub struct Aarch64;

/// The register that addresses register files.
const BASE: Gpr = Gpr::X17;
/// The register that leads to code.
const TARGET: Gpr = Gpr::X16;
/// The word of the stack pointer.
const SP: usize = 31;
/// The word of the link register.
const LINK: usize = 30;

const PRESERVED_VECTORS: [V; 8] = [V::V8, V::V9, V::V10, V::V11, V::V12, V::V13, V::V14, V::V15];

/// Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64), section 6; x18 belongs to the platform.
const ABI: Abi = Abi {
    arguments: [0, 1, 2, 3, 4],
    result: 0,
    stack_pointer: SP,
    return_bytes: 0,
    frame_pointer: 25,
    link: Some(LINK),
    preserved: &[
        (18, "x18 is not preserved"),
        (19, "x19 is not preserved"),
        (20, "x20 is not preserved"),
        (21, "x21 is not preserved"),
        (22, "x22 is not preserved"),
        (23, "x23 is not preserved"),
        (24, "x24 is not preserved"),
        (25, "x25 is not preserved"),
        (26, "x26 is not preserved"),
        (27, "x27 is not preserved"),
        (28, "x28 is not preserved"),
        (29, "x29 is not preserved"),
        (VECTORS, "d8 is not preserved"),
        (VECTORS + 1, "d9 is not preserved"),
        (VECTORS + 2, "d10 is not preserved"),
        (VECTORS + 3, "d11 is not preserved"),
        (VECTORS + 4, "d12 is not preserved"),
        (VECTORS + 5, "d13 is not preserved"),
        (VECTORS + 6, "d14 is not preserved"),
        (VECTORS + 7, "d15 is not preserved"),
    ],
    any_flags: 0xf000_0000,
    set_flags: 0,
    direction_flag: 0,
};

impl ProgramDriver for Aarch64 {
    const ARCH: Arch = Arch::Aarch64;
    const ABI: &'static Abi = &ABI;

    fn code() -> DriverCode {
        let mut a = Assembler::new();
        let (save, leave, slot_gate) = (a.label(), a.label(), a.label());

        let start = here(&a);
        load_registers(&mut a, control::BEFORE);
        a.mov_imm64(TARGET, control::ENTRY);
        a.ldr(Width::X, TARGET, Mem::base(TARGET));
        a.blr(TARGET);
        store_registers(&mut a, control::AFTER);
        a.mov_imm64(Gpr::X9, status::FINISHED as u64);
        a.bind(leave);
        a.mov_imm64(Gpr::X10, control::STATUS);
        a.str(Width::X, Gpr::X9, Mem::base(Gpr::X10));
        a.mov_imm64(Gpr::X9, control::SAVED);
        a.ldp(Width::X, Gpr::X10, Gpr::X30, Mem::base(Gpr::X9));
        a.mov(Width::X, Gpr::Sp, Gpr::X10);
        let out = a.label();
        a.b(out);
        // Unicorn translates anew, after each run, what holds the byte before the exit.
        a.nop();
        a.bind(out);
        let exit = here(&a);
        a.ret();

        let gate = here(&a);
        a.mov_imm64(TARGET, status::GATE as u64);
        a.bind(save);
        a.mov_imm64(BASE, control::CALLEE);
        a.str(Width::X, Gpr::X10, Mem::base(BASE));
        store_registers(&mut a, control::CALL);
        a.mov(Width::X, Gpr::X9, TARGET);
        a.b(leave);

        let resume = here(&a);
        load_registers(&mut a, control::RESUME);
        a.ldr(Width::X, TARGET, word(LINK));
        // What a helper function leaves in the link register is not for its caller to rely on.
        a.mov(Width::X, Gpr::X30, BASE);
        a.br(TARGET);

        a.bind(slot_gate);
        a.mov_imm64(TARGET, status::SLOT as u64);
        a.b(save);
        let slots = here(&a);
        for slot in 0..MAX_HELPERS {
            a.mov_imm64(Gpr::X10, slot as u64);
            a.b(slot_gate);
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

/// Leaves the base of the register file in its register.
fn load_registers(a: &mut Assembler, base: u64) {
    a.mov(Width::X, Gpr::X10, Gpr::Sp);
    a.mov_imm64(Gpr::X9, control::SAVED);
    a.stp(Width::X, Gpr::X10, Gpr::X30, Mem::base(Gpr::X9));
    a.mov_imm64(BASE, base);
    a.ldr(Width::X, Gpr::X9, word(SP));
    a.mov(Width::X, Gpr::Sp, Gpr::X9);
    a.ldr(Width::X, Gpr::X9, word(FLAGS));
    a.msr(SysReg::Nzcv, Gpr::X9);
    for (i, vector) in PRESERVED_VECTORS.into_iter().enumerate() {
        a.v_load(Scalar::D, vector, word(VECTORS + i));
    }
    for gpr in others() {
        a.ldr(Width::X, gpr, word(gpr.number() as usize));
    }
}

/// Leaves the register that leads to code as it is.
fn store_registers(a: &mut Assembler, base: u64) {
    a.mov_imm64(BASE, base);
    for gpr in others() {
        a.str(Width::X, gpr, word(gpr.number() as usize));
    }
    a.mov(Width::X, Gpr::X9, Gpr::Sp);
    a.str(Width::X, Gpr::X9, word(SP));
    a.mrs(Gpr::X9, SysReg::Nzcv);
    a.str(Width::X, Gpr::X9, word(FLAGS));
    for (i, vector) in PRESERVED_VECTORS.into_iter().enumerate() {
        a.v_store(Scalar::D, vector, word(VECTORS + i));
    }
}

fn others() -> impl Iterator<Item = Gpr> {
    Gpr::ALL.into_iter().filter(|gpr| ![BASE, TARGET].contains(gpr))
}

fn word(number: usize) -> Mem {
    Mem::offset(BASE, 8 * number as i32)
}
