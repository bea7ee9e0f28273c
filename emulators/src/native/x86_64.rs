// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64 drivers. All memory of drivers lies below 2 GiB, so that absolute addresses reach it without a register.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::registers::{X86_64 as MAP, X86_64_PRESERVED, X86_64_SCRATCH};
use kop_ops::state::Registers;
use kop_ops::x86_64::{Assembler, Cond, Gpr, Insn, Mem, Rel, Size, Xmm};
use kop_ops::{Arch, Vectors};

use super::{
    Driver, Drivers, LoopBatch, PROBE_AFTER, PROBE_BEFORE, ProbeFrame, RegisterFile, STACK_POINTER, control,
    positions,
};
use crate::engine::FrameBreach;

/// The x86-64 drivers.
#[derive(Clone, Copy, Debug)]
pub struct X86_64;

/// The register that walks over the rows; what it holds otherwise must be preserved, which probes check.
const ROW: Gpr = Gpr::R12;

const CARRY: u64 = 1;
const PARITY: u64 = 1 << 2;
const ADJUST: u64 = 1 << 4;
const ZERO: u64 = 1 << 6;
const SIGN: u64 = 1 << 7;
const DIRECTION: u64 = 1 << 10;
const OVERFLOW: u64 = 1 << 11;
const ALWAYS_SET: u64 = 1 << 1;
const INTERRUPTS: u64 = 1 << 9;

impl Drivers for X86_64 {
    const ARCH: Arch = Arch::X86_64;

    fn chunk(batches: &[LoopBatch], place: u64) -> Driver {
        let mut driver = Driver { place, entry: place, ..Driver::default() };
        append(&mut driver, |a| {
            a.mov(Size::B8, absolute(control::SAVED), Gpr::Rsp);
            a.mov(Size::B8, Gpr::Rsp, STACK_POINTER as i32);
            a.cld();
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
            a.mov(Size::B8, absolute(control::SAVED), Gpr::Rsp);
            a.mov(Size::B8, Gpr::Rsp, control::FLAG_STACK as i32);
            a.pushq(absolute(general(control::PROBE_IN, 16)));
            a.popfq();
            for xmm in Xmm::ALL {
                a.movdqu(xmm, absolute(vector(control::PROBE_IN, xmm)));
            }
            for gpr in Gpr::ALL {
                a.mov(Size::B8, gpr, absolute(general(control::PROBE_IN, gpr.code())));
            }
            a.jmp_rm(absolute(control::PROBE_TARGET));
        });
        let mut after = Driver { place: PROBE_AFTER, ..Driver::default() };
        append(&mut after, |a| {
            for gpr in Gpr::ALL {
                a.mov(Size::B8, absolute(general(control::PROBE_OUT, gpr.code())), gpr);
            }
            a.mov(Size::B8, Gpr::Rsp, control::FLAG_STACK as i32);
            a.pushfq();
            a.popq(absolute(general(control::PROBE_OUT, 16)));
            a.cld();
            for xmm in Xmm::ALL {
                a.movdqu_store(absolute(vector(control::PROBE_OUT, xmm)), xmm);
            }
        });
        leave(&mut after);
        ProbeFrame { before: before.code, after: after.code, exit: after.exit - PROBE_AFTER }
    }

    fn probe(code: &[u8], place: u64, frame: &ProbeFrame) -> Driver {
        let mut driver =
            Driver { place, entry: PROBE_BEFORE, exit: PROBE_AFTER + frame.exit, ..Driver::default() };
        put(&mut driver, 0, code);
        let distance = PROBE_AFTER as i64 - here(&driver) as i64;
        append(&mut driver, |a| {
            // The displacement counts from the end of the instruction, which has five bytes.
            a.push(Insn::JmpRel { rel: Rel::Near, disp: (distance - 5) as i32 });
        });
        driver
    }

    fn register_file(registers: &Registers, garbage: u64) -> RegisterFile {
        let mut choices = Seeded::new(garbage);
        let mut general: Vec<u64> = Gpr::ALL.iter().map(|_| choices.bits()).collect();
        for (gpr, &value) in MAP.iter().zip(registers) {
            general[usize::from(gpr.code())] = value;
        }
        general[usize::from(Gpr::Rsp.code())] = STACK_POINTER;
        let any = CARRY | PARITY | ADJUST | ZERO | SIGN | OVERFLOW;
        let flags = ALWAYS_SET | INTERRUPTS | choices.bits() & any;
        let vectors =
            Xmm::ALL.iter().map(|_| u128::from(choices.bits()) << 64 | u128::from(choices.bits())).collect();
        RegisterFile { general, flags, vectors }
    }

    fn ebpf(file: &RegisterFile) -> Registers {
        MAP.map(|gpr| file.general[usize::from(gpr.code())])
    }

    fn breaches(before: &RegisterFile, after: &RegisterFile, vectors: Vectors) -> Vec<FrameBreach> {
        let mut breaches = Vec::new();
        for gpr in X86_64_PRESERVED {
            let (before, after) =
                (before.general[usize::from(gpr.code())], after.general[usize::from(gpr.code())]);
            if before != after {
                let register = gpr.name(Size::B8).to_owned();
                breaches.push(FrameBreach::Preserved { register, before, after });
            }
        }
        for xmm in Xmm::ALL {
            let number = usize::from(xmm.code());
            if before.vectors[number] != after.vectors[number] && vectors.x86_64 >> number & 1 == 0 {
                breaches.push(FrameBreach::Vector { register: xmm.to_string() });
            }
        }
        if after.flags & DIRECTION != 0 {
            breaches.push(FrameBreach::Direction);
        }
        breaches
    }

    fn store(file: &RegisterFile, bytes: &mut [u8]) {
        super::store_words(file, bytes);
    }

    fn load(bytes: &[u8]) -> RegisterFile {
        super::load_words(16, 16, bytes)
    }
}

fn absolute(address: u64) -> Mem {
    Mem::absolute(i32::try_from(address).expect("drivers use the lowest 2 GiB"))
}

fn general(block: u64, number: u8) -> u64 {
    block + 8 * u64::from(number)
}

fn vector(block: u64, xmm: Xmm) -> u64 {
    block + super::general_bytes(16) as u64 + 16 * u64::from(xmm.code())
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

fn leave(driver: &mut Driver) {
    append(driver, |a| a.mov(Size::B8, Gpr::Rsp, absolute(control::SAVED)));
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
    expected.push((Gpr::R9, choices.bits()));
    append(driver, |a| {
        for &(gpr, value) in &expected {
            a.movabs(gpr, value);
        }
        a.mov(Size::B8, ROW, rows.start as i32);
        a.cmp(Size::B8, ROW, rows.end as i32);
    });
    let top = driver.code.len();
    append(driver, |a| {
        for (i, reg) in positions(batch.inputs) {
            a.mov(Size::B8, MAP[reg.index()], Mem::at(ROW, 8 * i as i32));
        }
        for scratch in X86_64_SCRATCH {
            a.movabs(scratch, choices.bits());
        }
        if (half as u64 + batch.garbage) % 2 == 1 {
            a.cmp(Size::B8, ROW, ROW);
        }
    });
    put(driver, number, batch.code);
    append(driver, |a| {
        for (i, reg) in positions(batch.outputs) {
            a.mov(Size::B8, Mem::at(ROW, 8 * (batch.inputs.len() + i) as i32), MAP[reg.index()]);
        }
        a.add(Size::B8, ROW, batch.stride() as i32);
        a.cmp(Size::B8, ROW, rows.end as i32);
    });
    let mut residues = Vec::new();
    let back = top as i64 - driver.code.len() as i64;
    append(driver, |a| {
        // The displacement counts from the end of the instruction, which has six bytes.
        a.push(Insn::JccRel { cond: Cond::Ne, rel: Rel::Near, disp: (back - 6) as i32 });
        expected.push((Gpr::Rsp, STACK_POINTER));
        for &(gpr, value) in &expected {
            a.mov(Size::B8, absolute(residue), gpr);
            residues.push((number, residue, value));
            residue += 8;
        }
    });
    driver.residues.extend(residues);
    residue
}
