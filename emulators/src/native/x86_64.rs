// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64 drivers. All memory of drivers lies below 2 GiB, so that absolute addresses reach it without a register.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::Reg;
use kop_ops::registers::{X86_64 as MAP, X86_64_PRESERVED, X86_64_SCRATCH};
use kop_ops::state::Registers;
use kop_ops::x86_64::{Assembler, Cond, Gpr, Insn, Mem, Rel, Scale, Size, Xmm};
use kop_ops::{Arch, Vectors};

use super::{
    CHUNK_FRAME, ChunkFrame, Driver, Drivers, Loop, PROBE_AFTER, PROBE_BEFORE, ProbeFrame, RegisterFile,
    STACK_POINTER, block, control, positions,
};
use crate::engine::FrameBreach;

/// The x86-64 drivers.
#[derive(Clone, Copy, Debug)]
pub struct X86_64;

/// The register that walks over the rows, and over the blocks; what it holds otherwise must be preserved, which probes check.
const ROW: Gpr = Gpr::R12;
/// The scratch register that leads to a loop.
const TARGET: Gpr = Gpr::R10;

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

    const GENERAL: usize = 16;
    const STACK: usize = Gpr::Rsp.code() as usize;

    fn chunk_frame() -> ChunkFrame {
        let mut frame = Driver { place: CHUNK_FRAME, ..Driver::default() };
        append(&mut frame, |a| {
            a.mov(Size::B8, absolute(control::SAVED), Gpr::Rsp);
            a.mov(Size::B8, ROW, block::FIRST as i32);
            a.mov(Size::B8, absolute(control::CURRENT), ROW);
        });
        let next = here(&frame);
        append(&mut frame, |a| {
            a.mov(Size::B8, TARGET, in_block(block::END));
            a.mov(Size::B8, absolute(control::ROWS_END), TARGET);
            for gpr in Gpr::ALL.into_iter().filter(|gpr| ![ROW, TARGET, Gpr::Rsp].contains(gpr)) {
                a.mov(Size::B8, gpr, in_block(block::BEFORE + 8 * u64::from(gpr.code())));
            }
            a.mov(Size::B8, Gpr::Rsp, STACK_POINTER as i32);
            a.mov(Size::B8, TARGET, in_block(block::LOOP));
            a.mov(Size::B8, ROW, in_block(block::ROW));
            a.jmp_rm(TARGET);
        });
        let done = here(&frame);
        append(&mut frame, |a| {
            a.cld();
            a.mov(Size::B8, ROW, absolute(control::CURRENT));
            for gpr in Gpr::ALL.into_iter().filter(|&gpr| gpr != ROW) {
                a.mov(Size::B8, in_block(block::after(16) + 8 * u64::from(gpr.code())), gpr);
            }
            a.add(Size::B8, ROW, block::size(16) as i32);
            a.mov(Size::B8, absolute(control::CURRENT), ROW);
            a.cmp(Size::B8, ROW, absolute(control::LAST));
        });
        let back = next as i64 - here(&frame) as i64;
        // The displacement counts from the end of the instruction, which has six bytes.
        append(&mut frame, |a| a.jcc_rel(Cond::Ne, (back - 6) as i32));
        leave(&mut frame);
        ChunkFrame { code: frame.code, done: done - CHUNK_FRAME, exit: frame.exit - CHUNK_FRAME }
    }

    fn chunk_loop(of: &Loop, place: u64, frame: &ChunkFrame) -> Vec<u8> {
        let mut driver = Driver { place, ..Driver::default() };
        append(&mut driver, |a| {
            for (i, reg) in positions(of.inputs) {
                a.mov(Size::B8, MAP[reg.index()], Mem::at(ROW, 8 * i as i32));
            }
            garbage(a, of);
        });
        driver.code.extend_from_slice(of.code);
        append(&mut driver, |a| {
            for (i, reg) in positions(of.inputs).filter(|&(_, reg)| of.outputs.has(reg)) {
                a.mov(Size::B8, Mem::at(ROW, 8 * i as i32), MAP[reg.index()]);
            }
            a.add(Size::B8, ROW, of.stride() as i32);
            a.cmp(Size::B8, ROW, absolute(control::ROWS_END));
        });
        let back = place as i64 - here(&driver) as i64;
        append(&mut driver, |a| a.jcc_rel(Cond::Ne, (back - 6) as i32));
        let done = (CHUNK_FRAME + frame.done) as i64 - here(&driver) as i64;
        append(&mut driver, |a| a.jmp_rel((done - 5) as i32));
        driver.code
    }

    fn kept_by_loops() -> impl Iterator<Item = usize> {
        X86_64_PRESERVED.into_iter().filter(|&gpr| gpr != ROW).map(|gpr| usize::from(gpr.code()))
    }

    fn number(reg: Reg) -> usize {
        usize::from(MAP[reg.index()].code())
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
        driver.code.extend_from_slice(code);
        driver.under_test = place..here(&driver);
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

fn in_block(offset: u64) -> Mem {
    Mem::at(ROW, offset as i32)
}

fn append(driver: &mut Driver, write: impl FnOnce(&mut Assembler)) {
    let mut asm = Assembler::new();
    write(&mut asm);
    driver.code.extend(asm.finish().expect("a driver's instructions have encodings").bytes);
}

fn here(driver: &Driver) -> u64 {
    driver.place + driver.code.len() as u64
}

fn leave(driver: &mut Driver) {
    append(driver, |a| {
        a.mov(Size::B8, Gpr::Rsp, absolute(control::SAVED));
        // Unicorn translates anew, after each run, what holds the byte before the exit, which is the `nop`.
        a.jmp_rel(1);
        a.nop();
    });
    driver.exit = here(driver);
    append(driver, Assembler::ret);
}

/// Garbage in flags and scratch registers, which depends on the row.
fn garbage(a: &mut Assembler, of: &Loop) {
    let [first, second] = X86_64_SCRATCH;
    let mut choices = of.garbage();
    let (bit, overflows) = of.flags(&mut choices);
    a.imul_imm(Size::B8, second, ROW, choices.bits() as i32 | 1);
    a.mov(Size::B8, first, ROW);
    a.and(Size::B8, first, 1 << bit);
    if overflows {
        a.shl(Size::B8, first, 63 - bit as u8);
    }
    a.neg(Size::B8, first);
    // What follows leaves the flags alone.
    a.lea(Size::B8, first, Mem::at(first, choices.bits() as i32).index(second, Scale::S2));
}
