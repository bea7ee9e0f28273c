// SPDX-License-Identifier: GPL-2.0-or-later
//! Every instruction that computes, on values that the verifier knows nothing of: the kernel gives what `spec` gives.

use kop_ops::ProgramKind;
use kop_ops::ebpf::{AluOp, AtomicOp, Cond, EndKind, Insn, Operand, Reg, Size, Width};

use super::support::{Pair, object, parsed, skipped};

const DST: Reg = Reg::R6;
const SRC: Reg = Reg::R7;

/// Values at the edges of every width.
const VALUES: [u64; 13] = [
    0,
    1,
    2,
    31,
    64,
    0x7f80_ff01_8000_80ff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
];

const IMMEDIATES: [i32; 12] = [0, 1, -1, 2, 7, 31, 32, 63, 64, i32::MAX, i32::MIN, -128];

/// Pairs of values in which each occurs on either side, and with itself.
fn pairs() -> impl Iterator<Item = [u64; 3]> {
    let count = VALUES.len();
    [0, 1, 5, 11].into_iter().flat_map(move |step| {
        (0..count).map(move |i| [VALUES[i], VALUES[(i + step) % count], VALUES[(i * 3 + step) % count]])
    })
}

/// A program that loads r6, r7 and r0 from the window, does `body`, and stores them behind.
fn around(body: &[Insn]) -> Vec<Insn> {
    let load = |register, off| Insn::load(Size::B8, register, Reg::R1, off);
    let store = |register, off| Insn::store(Size::B8, Reg::R1, off, register);
    let mut program = vec![load(DST, 0), load(SRC, 8), load(Reg::R0, 16)];
    program.extend_from_slice(body);
    program.extend([store(DST, 24), store(SRC, 32), store(Reg::R0, 40), Insn::Exit]);
    program
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Compares `body` on all pairs of values.
fn compare(pair: &mut Pair, body: &[Insn]) {
    let object = object(ProgramKind::Raw, around(body));
    for values in pairs() {
        pair.compare(&object, &bytes(&values));
    }
}

fn sources() -> impl Iterator<Item = Operand> {
    [Operand::Reg(SRC), Operand::Reg(DST)].into_iter().chain(IMMEDIATES.map(Operand::Imm))
}

/// What the verifier refuses whatever the values: shifts by immediates above the width, division by an immediate of zero.
fn refused(op: AluOp, width: Width, src: Operand) -> bool {
    match (op, src) {
        (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Imm(imm)) => {
            !(0..width.bits() as i32).contains(&imm)
        }
        (AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod, Operand::Imm(0)) => true,
        _ => false,
    }
}

#[test]
fn arithmetic_is_the_kernels() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let mut programs = 0;
    for op in AluOp::ALL {
        for width in Width::ALL {
            for src in sources() {
                let insn = Insn::alu(op, width, DST, src);
                if insn.is_well_formed() && !refused(op, width, src) {
                    compare(&mut pair, &[insn]);
                    programs += 1;
                }
            }
        }
    }
    for width in Width::ALL {
        compare(&mut pair, &[Insn::Neg { width, dst: DST }]);
    }
    for kind in EndKind::ALL {
        for bits in [16, 32, 64] {
            compare(&mut pair, &[Insn::End { kind, bits, dst: DST }]);
        }
    }
    println!("{programs} programs on {} pairs of values", pairs().count());
}

#[test]
fn jumps_are_the_kernels() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    for cond in Cond::ALL {
        for width in Width::ALL {
            for src in sources() {
                let jump = Insn::Jump { cond, width, dst: DST, src, off: 1 };
                compare(&mut pair, &[jump, Insn::mov64(Reg::R0, 77)]);
            }
        }
    }
    let over = Insn::jump(Cond::Eq, DST, 0, 1);
    compare(&mut pair, &[over, Insn::Gotol { off: 1 }, Insn::mov64(Reg::R0, 1), Insn::mov64(SRC, 2)]);
    compare(&mut pair, &[Insn::load_imm64(DST, 0x8000_0000_7fff_ffff), Insn::load_imm64(SRC, 0xffff_ffff)]);
}

#[test]
fn loads_and_stores_are_the_kernels() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    for size in Size::ALL {
        for offset in [0, 1, 3, 5, 8] {
            for signed in [false, true] {
                let load = Insn::Load { size, signed, dst: DST, base: Reg::R1, off: offset };
                if load.is_well_formed() {
                    compare(&mut pair, &[load]);
                }
            }
            compare(&mut pair, &[Insn::store(size, Reg::R1, 100 + offset, SRC)]);
            for imm in IMMEDIATES {
                compare(&mut pair, &[Insn::store(size, Reg::R1, 100 + offset, imm)]);
            }
        }
        compare(&mut pair, &[Insn::store(size, Reg::R10, -8, SRC), Insn::load(size, DST, Reg::R10, -8)]);
    }
}

#[test]
fn atomics_are_the_kernels() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    for op in AtomicOp::ALL {
        for size in Size::ALL {
            // The value is the base itself, too; memory equals r0 in some of the states.
            for (base, src) in [(Reg::R1, SRC), (Reg::R1, DST), (Reg::R1, Reg::R0)] {
                for off in [0, 8, 64] {
                    let atomic = Insn::atomic(op, size, base, off, src);
                    if atomic.is_well_formed() {
                        compare(&mut pair, &[atomic, Insn::load(Size::B8, SRC, Reg::R1, off)]);
                    }
                }
            }
        }
    }
}

#[test]
fn control_flow_is_the_kernels() {
    if skipped() {
        return;
    }
    let mut pair = Pair::new();
    let table = [
        // A loop with a counter, whose upper half must not matter.
        "r6 = *(u64 *)(r1 + 0)\nw6 &= 63\nr0 = 1\nloop: r0 *= 3\nw6 += -1\nif w6 s> 0 goto loop\nexit",
        // may_goto goes on for long.
        "r0 = 0\nr2 = *(u64 *)(r1 + 0)\nr2 &= 15\nloop: may_goto end\nif r0 >= r2 goto end\nr0 += 1\ngoto loop\nend: exit",
        // Local calls: frames of their own, callee-saved registers.
        "r6 = *(u64 *)(r1 + 0)\n*(u64 *)(r10 - 8) = r6\nr1 = r6\ncall pc+3\nr0 += r6\nr7 = *(u64 *)(r10 - 8)\nexit\n\
         r6 = 9\n*(u64 *)(r10 - 8) = r1\nr7 = *(u64 *)(r10 - 8)\nr0 = r7\nr0 ^= -1\nexit",
        // A frame reached through its caller's pointer.
        "r2 = *(u64 *)(r1 + 8)\nr1 = r10\nr1 += -16\ncall pc+2\nr0 = *(u64 *)(r10 - 16)\nexit\n\
         *(u64 *)(r1 + 0) = r2\nr0 = 0\nexit",
    ];
    for text in table {
        let object = parsed(ProgramKind::Raw, text);
        for values in pairs() {
            pair.compare(&object, &bytes(&values));
        }
    }
}
