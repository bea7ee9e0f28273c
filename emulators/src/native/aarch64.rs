// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64 drivers. There are no absolute addresses: x26 and x27 serve the loops, and TPIDR_EL0 holds a register while a
//! probe finds one for its addresses.

use kop_ops::aarch64::{Assembler, Cond, Gpr, Insn, Mem, Scalar, SysReg, V, Width};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::registers::{AARCH64 as MAP, AARCH64_PRESERVED, AARCH64_SCRATCH};
use kop_ops::state::Registers;
use kop_ops::{Arch, Vectors};

use super::{
    Driver, Drivers, LoopBatch, PROBE_AFTER, PROBE_BEFORE, ProbeFrame, RegisterFile, STACK_POINTER, control,
    positions,
};
use crate::engine::FrameBreach;

/// The AArch64 drivers.
#[derive(Clone, Copy, Debug)]
pub struct Aarch64;

/// The register that walks over the rows; what it holds otherwise must be preserved, which probes check.
const ROW: Gpr = Gpr::X26;
/// The register that holds the rows' end, likewise.
const END: Gpr = Gpr::X27;
/// The register that addresses a probe's blocks.
const BLOCK: Gpr = Gpr::X28;
/// The register that leads a probe to the code under test.
const LINK: Gpr = Gpr::X30;

/// The number of the stack pointer in a register file, after x0 to x30.
const SP: usize = 31;

impl Drivers for Aarch64 {
    const ARCH: Arch = Arch::Aarch64;

    fn chunk(batches: &[LoopBatch], place: u64) -> Driver {
        let mut driver = Driver { place, entry: place, ..Driver::default() };
        append(&mut driver, |a| {
            save(a);
            a.mov_imm64(Gpr::X9, STACK_POINTER);
            a.mov(Width::X, Gpr::Sp, Gpr::X9);
        });
        let mut residue = control::RESIDUES;
        for (number, batch) in batches.iter().enumerate() {
            let mut rows = batch.rows;
            for half in 0..2 {
                let end = rows + batch.halves[half] as u64 * batch.stride();
                if end > rows {
                    residue = half_loop(&mut driver, number, batch, half, rows..end, residue);
                }
                rows = end;
            }
        }
        leave(&mut driver);
        driver
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
        put(&mut driver, 0, code);
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

fn append(driver: &mut Driver, write: impl FnOnce(&mut Assembler)) {
    let mut asm = Assembler::new();
    write(&mut asm);
    driver.code.extend(asm.finish().expect("a driver's instructions have encodings").bytes);
}

fn put(driver: &mut Driver, number: usize, code: &[u8]) {
    let start = here(driver);
    driver.code.extend_from_slice(code);
    driver.under_test.push((number, start, here(driver)));
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
    });
    driver.exit = here(driver);
    append(driver, Assembler::ret);
}

/// Runs the code over the states of one half; returns where the next residue goes.
///
/// The halves differ in what the flags and the scratch registers hold before the code: after the loop's comparison of
/// two different numbers, or after one of equal numbers.
fn half_loop(
    driver: &mut Driver,
    number: usize,
    batch: &LoopBatch,
    half: usize,
    rows: std::ops::Range<u64>,
    mut residue: u64,
) -> u64 {
    let mut choices = Seeded::derived(batch.garbage, &[half as u64]);
    let mut expected: Vec<(Gpr, u64)> =
        batch.constant().iter().map(|reg| (MAP[reg.index()], batch.background[half][reg.index()])).collect();
    for gpr in AARCH64_PRESERVED.into_iter().filter(|gpr| ![ROW, END].contains(gpr)) {
        expected.push((gpr, one_instruction_garbage(&mut choices)));
    }
    append(driver, |a| {
        for &(gpr, value) in &expected {
            a.mov_imm64(gpr, value);
        }
        a.mov_imm64(ROW, rows.start);
        a.mov_imm64(END, rows.end);
        a.cmp(Width::X, ROW, END);
    });
    let top = driver.code.len();
    append(driver, |a| {
        for (i, reg) in positions(batch.inputs) {
            a.ldr(Width::X, MAP[reg.index()], Mem::offset(ROW, 8 * i as i32));
        }
        for scratch in AARCH64_SCRATCH {
            a.mov_imm64(scratch, one_instruction_garbage(&mut choices));
        }
        if (half as u64 + batch.garbage) % 2 == 1 {
            a.cmp(Width::X, ROW, ROW);
        }
    });
    put(driver, number, batch.code);
    append(driver, |a| {
        for (i, reg) in positions(batch.outputs) {
            a.str(Width::X, MAP[reg.index()], Mem::offset(ROW, 8 * (batch.inputs.len() + i) as i32));
        }
        a.add_imm(Width::X, ROW, ROW, batch.stride() as u32);
        a.cmp(Width::X, ROW, END);
    });
    let mut residues = Vec::new();
    let back = top as i64 - driver.code.len() as i64;
    append(driver, |a| {
        a.push(Insn::BCond { cond: Cond::Ne, offset: back as i32 });
        a.mov_imm64(ROW, residue);
        a.mov(Width::X, END, Gpr::Sp);
        expected.push((END, STACK_POINTER));
        for (i, &(gpr, value)) in expected.iter().enumerate() {
            a.str(Width::X, gpr, Mem::offset(ROW, 8 * i as i32));
            residues.push((number, residue, value));
            residue += 8;
        }
    });
    driver.residues.extend(residues);
    residue
}

/// Garbage with both halves non-zero that one MOVN makes.
fn one_instruction_garbage(choices: &mut impl Choices) -> u64 {
    !((choices.below(0xffff) + 1) << (16 * choices.below(4)))
}
