// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64 drivers. There are no absolute addresses: x26 and x27 serve the loops, and TPIDR_EL0 holds a register while a
//! probe finds one for its addresses.

use kop_ops::aarch64::{Assembler, Cond, Gpr, Insn, Mem, Scalar, Shift, SysReg, V, Width};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::Reg;
use kop_ops::registers::{AARCH64 as MAP, AARCH64_PRESERVED, AARCH64_SCRATCH};
use kop_ops::state::Registers;
use kop_ops::{Arch, Vectors};

use super::{
    CHUNK_FRAME, ChunkFrame, Driver, Drivers, Loop, PROBE_AFTER, PROBE_BEFORE, ProbeFrame, RegisterFile,
    STACK_POINTER, block, control, positions,
};
use crate::engine::FrameBreach;

/// The AArch64 drivers.
#[derive(Clone, Copy, Debug)]
pub struct Aarch64;

/// The register that walks over the rows, and over the blocks; what it holds otherwise must be preserved, which probes check.
const ROW: Gpr = Gpr::X26;
/// The register that holds the rows' end, likewise.
const END: Gpr = Gpr::X27;
/// The scratch register that leads to a loop.
const TARGET: Gpr = Gpr::X9;
/// The register that addresses a probe's blocks.
const BLOCK: Gpr = Gpr::X28;
/// The register that leads a probe to the code under test.
const LINK: Gpr = Gpr::X30;

/// The number of the stack pointer in a register file, after x0 to x30.
const SP: usize = 31;

impl Drivers for Aarch64 {
    const ARCH: Arch = Arch::Aarch64;

    const GENERAL: usize = SP + 1;
    const STACK: usize = SP;

    fn chunk_frame() -> ChunkFrame {
        let mut frame = Driver { place: CHUNK_FRAME, ..Driver::default() };
        append(&mut frame, |a| {
            save(a);
            a.mov_imm64(ROW, block::FIRST);
            a.mov_imm64(END, control::CURRENT);
            a.str(Width::X, ROW, Mem::base(END));
        });
        let next = here(&frame);
        let walked = || Gpr::ALL.into_iter().filter(|gpr| ![ROW, END].contains(gpr));
        append(&mut frame, |a| {
            a.mov_imm64(TARGET, STACK_POINTER);
            a.mov(Width::X, Gpr::Sp, TARGET);
            for gpr in walked().filter(|&gpr| gpr != TARGET) {
                a.ldr(Width::X, gpr, in_block(block::BEFORE + 8 * gpr.number() as u64));
            }
            a.ldr(Width::X, TARGET, in_block(block::LOOP));
            a.ldr(Width::X, END, in_block(block::END));
            a.ldr(Width::X, ROW, in_block(block::ROW));
            a.br(TARGET);
        });
        let done = here(&frame);
        append(&mut frame, |a| {
            a.mov_imm64(END, control::CURRENT);
            a.ldr(Width::X, ROW, Mem::base(END));
            for gpr in walked() {
                a.str(Width::X, gpr, in_block(block::after(SP + 1) + 8 * gpr.number() as u64));
            }
            a.mov(Width::X, END, Gpr::Sp);
            a.str(Width::X, END, in_block(block::after(SP + 1) + 8 * SP as u64));
            a.add_imm(Width::X, ROW, ROW, block::size(SP + 1) as u32);
            a.mov_imm64(END, control::CURRENT);
            a.str(Width::X, ROW, Mem::base(END));
            a.ldr(Width::X, END, Mem::offset(END, (control::LAST - control::CURRENT) as i32));
            a.cmp(Width::X, ROW, END);
        });
        let back = next as i64 - here(&frame) as i64;
        append(&mut frame, |a| a.push(Insn::BCond { cond: Cond::Ne, offset: back as i32 }));
        leave(&mut frame);
        ChunkFrame { code: frame.code, done: done - CHUNK_FRAME, exit: frame.exit - CHUNK_FRAME }
    }

    fn chunk_loop(of: &Loop, place: u64, frame: &ChunkFrame) -> Vec<u8> {
        let mut driver = Driver { place, ..Driver::default() };
        append(&mut driver, |a| {
            for (i, reg) in positions(of.inputs) {
                a.ldr(Width::X, MAP[reg.index()], Mem::offset(ROW, 8 * i as i32));
            }
            garbage(a, of);
        });
        driver.code.extend_from_slice(of.code);
        append(&mut driver, |a| {
            for (i, reg) in positions(of.inputs).filter(|&(_, reg)| of.outputs.has(reg)) {
                a.str(Width::X, MAP[reg.index()], Mem::offset(ROW, 8 * i as i32));
            }
            a.add_imm(Width::X, ROW, ROW, of.stride() as u32);
            a.cmp(Width::X, ROW, END);
        });
        let back = place as i64 - here(&driver) as i64;
        append(&mut driver, |a| a.push(Insn::BCond { cond: Cond::Ne, offset: back as i32 }));
        let done = (CHUNK_FRAME + frame.done) as i64 - here(&driver) as i64;
        append(&mut driver, |a| a.push(Insn::B { offset: done as i32 }));
        driver.code
    }

    fn kept_by_loops() -> impl Iterator<Item = usize> {
        let kept = AARCH64_PRESERVED.into_iter().filter(|gpr| ![ROW, END].contains(gpr));
        kept.map(|gpr| gpr.number() as usize).chain([SP])
    }

    fn number(reg: Reg) -> usize {
        MAP[reg.index()].number() as usize
    }

    fn probe_frame() -> ProbeFrame {
        let mut before = Driver { place: PROBE_BEFORE, ..Driver::default() };
        append(&mut before, |a| {
            save(a);
            a.mov_imm64(BLOCK, control::PROBE_TARGET);
            a.ldr(Width::X, LINK, Mem::base(BLOCK));
            a.mov_imm64(BLOCK, control::PROBE_IN);
            a.ldr(Width::X, Gpr::X9, general(SP));
            a.mov(Width::X, Gpr::Sp, Gpr::X9);
            a.ldr(Width::X, Gpr::X9, general(SP + 1));
            a.msr(SysReg::Nzcv, Gpr::X9);
            for v in V::ALL {
                a.v_load(Scalar::Q, v, vector(v));
            }
            for gpr in others() {
                a.ldr(Width::X, gpr, general(gpr.number() as usize));
            }
            a.ret();
        });
        let mut after = Driver { place: PROBE_AFTER, ..Driver::default() };
        append(&mut after, |a| {
            for gpr in others().chain([LINK]) {
                a.str(Width::X, gpr, general(gpr.number() as usize));
            }
            a.mrs(Gpr::X9, SysReg::TpidrEl0);
            a.str(Width::X, Gpr::X9, general(BLOCK.number() as usize));
            a.mov(Width::X, Gpr::X9, Gpr::Sp);
            a.str(Width::X, Gpr::X9, general(SP));
            a.mrs(Gpr::X9, SysReg::Nzcv);
            a.str(Width::X, Gpr::X9, general(SP + 1));
            for v in V::ALL {
                a.v_store(Scalar::Q, v, vector(v));
            }
        });
        leave(&mut after);
        ProbeFrame { before: before.code, after: after.code, exit: after.exit - PROBE_AFTER }
    }

    fn probe(code: &[u8], place: u64, frame: &ProbeFrame) -> Driver {
        let mut driver =
            Driver { place, entry: PROBE_BEFORE, exit: PROBE_AFTER + frame.exit, ..Driver::default() };
        append(&mut driver, |a| {
            a.ldr(Width::X, LINK, general(LINK.number() as usize));
            a.ldr(Width::X, BLOCK, general(BLOCK.number() as usize));
        });
        let start = here(&driver);
        driver.code.extend_from_slice(code);
        driver.under_test = start..here(&driver);
        append(&mut driver, |a| {
            a.msr(SysReg::TpidrEl0, BLOCK);
            a.mov_imm64(BLOCK, control::PROBE_OUT);
        });
        let distance = PROBE_AFTER as i64 - here(&driver) as i64;
        append(&mut driver, |a| a.push(Insn::B { offset: distance as i32 }));
        driver
    }

    fn register_file(registers: &Registers, garbage: u64) -> RegisterFile {
        let mut choices = Seeded::new(garbage);
        let mut general: Vec<u64> = (0..=SP).map(|_| choices.bits()).collect();
        for (gpr, &value) in MAP.iter().zip(registers) {
            general[gpr.number() as usize] = value;
        }
        general[SP] = STACK_POINTER;
        let flags = choices.bits() & 0xf000_0000;
        let vectors =
            V::ALL.iter().map(|_| u128::from(choices.bits()) << 64 | u128::from(choices.bits())).collect();
        RegisterFile { general, flags, vectors }
    }

    fn ebpf(file: &RegisterFile) -> Registers {
        MAP.map(|gpr| file.general[gpr.number() as usize])
    }

    fn breaches(before: &RegisterFile, after: &RegisterFile, vectors: Vectors) -> Vec<FrameBreach> {
        let mut breaches = Vec::new();
        let preserved = AARCH64_PRESERVED.into_iter().map(|gpr| gpr.number() as usize).chain([SP]);
        for number in preserved {
            let (before, after) = (before.general[number], after.general[number]);
            if before != after {
                let register = if number == SP { "sp".to_owned() } else { format!("x{number}") };
                breaches.push(FrameBreach::Preserved { register, before, after });
            }
        }
        for (number, v) in V::ALL.into_iter().enumerate() {
            if before.vectors[number] != after.vectors[number] && vectors.aarch64 >> number & 1 == 0 {
                breaches.push(FrameBreach::Vector { register: v.to_string() });
            }
        }
        breaches
    }

    fn store(file: &RegisterFile, bytes: &mut [u8]) {
        super::store_words(file, bytes);
    }

    fn load(bytes: &[u8]) -> RegisterFile {
        super::load_words(SP + 1, 32, bytes)
    }
}

/// The numbered registers that a probe's frame may load before, and store after, those it needs itself.
fn others() -> impl Iterator<Item = Gpr> {
    Gpr::ALL.into_iter().filter(|gpr| ![BLOCK, LINK].contains(gpr))
}

fn general(number: usize) -> Mem {
    Mem::offset(BLOCK, 8 * number as i32)
}

fn vector(v: V) -> Mem {
    Mem::offset(BLOCK, (super::general_bytes(SP + 1) + 16 * v as usize) as i32)
}

fn in_block(offset: u64) -> Mem {
    Mem::offset(ROW, offset as i32)
}

fn append(driver: &mut Driver, write: impl FnOnce(&mut Assembler)) {
    let mut asm = Assembler::new();
    write(&mut asm);
    driver.code.extend(asm.finish().expect("a driver's instructions have encodings").bytes);
}

fn here(driver: &Driver) -> u64 {
    driver.place + driver.code.len() as u64
}

fn save(a: &mut Assembler) {
    a.mov(Width::X, Gpr::X10, Gpr::Sp);
    a.mov_imm64(Gpr::X9, control::SAVED);
    a.stp(Width::X, Gpr::X10, Gpr::X30, Mem::base(Gpr::X9));
}

fn leave(driver: &mut Driver) {
    append(driver, |a| {
        a.mov_imm64(Gpr::X9, control::SAVED);
        a.ldp(Width::X, Gpr::X10, Gpr::X30, Mem::base(Gpr::X9));
        a.mov(Width::X, Gpr::Sp, Gpr::X10);
        // Unicorn translates anew, after each run, what holds the byte before the exit, which is the `nop`.
        a.push(Insn::B { offset: 8 });
        a.nop();
    });
    driver.exit = here(driver);
    append(driver, Assembler::ret);
}

/// Garbage in flags and scratch registers, which depends on the row.
fn garbage(a: &mut Assembler, of: &Loop) {
    let first = AARCH64_SCRATCH[0];
    let mut choices = of.garbage();
    let (bit, overflows) = of.flags(&mut choices);
    if overflows {
        a.lsl_imm(Width::X, first, ROW, 63 - bit as u8);
        a.and_imm(Width::X, first, first, 1 << 63);
    } else {
        a.and_imm(Width::X, first, ROW, 1 << bit);
    }
    a.negs(Width::X, first, first);
    // What follows leaves the flags alone.
    for scratch in AARCH64_SCRATCH.into_iter().rev() {
        a.eon_shifted(Width::X, scratch, first, ROW, Shift::Ror, choices.below(64) as u8);
    }
}
