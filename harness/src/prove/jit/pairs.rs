// SPDX-License-Identifier: GPL-2.0-or-later
//! Two instructions that the compiler may make one of: a move and an operation on its result, two shifts or a shift and a mask, a
//! load and a byte swap. Whether it does depends on registers, numbers and features, so that all of these are looked at.

use kop_ops::ebpf::{AluOp, EndKind, Insn, Reg, Size, Width};

use super::operands::IMMEDIATES;

/// A kind of pair, by its first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    Move(Width),
    Shift(AluOp, Width),
    Load(Size),
}

impl Pair {
    /// Every kind.
    pub const ALL: [Pair; 9] = [
        Pair::Move(Width::W32),
        Pair::Move(Width::W64),
        Pair::Shift(AluOp::Lsh, Width::W32),
        Pair::Shift(AluOp::Lsh, Width::W64),
        Pair::Shift(AluOp::Rsh, Width::W32),
        Pair::Shift(AluOp::Rsh, Width::W64),
        Pair::Load(Size::B2),
        Pair::Load(Size::B4),
        Pair::Load(Size::B8),
    ];

    /// Its name in reports.
    pub fn name(self) -> String {
        match self {
            Pair::Move(width) => format!("mov{}+alu", width.bits()),
            Pair::Shift(op, width) => format!("{op:?}{}+alu", width.bits()).to_lowercase(),
            Pair::Load(size) => format!("load{}+swap", size.bits()),
        }
    }

    /// How many there are, registers and numbers taken together: one number for each instruction that has one.
    pub const fn space(self) -> u64 {
        const OFF: u64 = 1 << 16;
        match self {
            // Ten destinations and ten other sources; thirteen operations of two widths, from a register or an immediate.
            Pair::Move(_) => 10 * 10 * 13 * 2 * (11 + (1 << 32)),
            // Three shifts and a mask, of two widths.
            Pair::Shift(_, width) => 10 * width.bits() as u64 * (3 * (32 + 64) + 2 * (1 << 32)),
            // Nine conversions of the result.
            Pair::Load(_) => 10 * 11 * OFF * 9,
        }
    }

    /// Those that are looked at.
    pub fn instances(self) -> Vec<[Insn; 2]> {
        match self {
            Pair::Move(width) => moves(width),
            Pair::Shift(op, width) => shifts(op, width),
            Pair::Load(size) => loads(size),
        }
    }
}

/// Moves between different registers, with every operation on the result, of every source register and of immediates.
fn moves(first: Width) -> Vec<[Insn; 2]> {
    const NUMBERS: [i32; 14] =
        [0, 1, -1, 2, 3, 7, 8, 128, -129, 0xff, 0xffff, 0x1234_5678, i32::MIN, i32::MAX];
    // Divisions are formulas of their own for each register on x86-64, which makes no move part of them.
    const FEW: [Reg; 3] = [Reg::R0, Reg::R1, Reg::R7];
    let mut all = Vec::new();
    for (op, width) in operations() {
        let division = is_division(op);
        let registers = if division { &FEW[..] } else { &Reg::ALL[..] };
        for &dst in registers.iter().filter(|dst| **dst != Reg::R10) {
            for &src in registers.iter().filter(|src| **src != dst) {
                let moved = Insn::alu(AluOp::Mov, first, dst, src);
                all.extend(registers.iter().map(|&other| [moved, Insn::alu(op, width, dst, other)]));
                all.extend(NUMBERS.map(|imm| [moved, Insn::alu(op, width, dst, imm)]));
            }
        }
        let moved = Insn::alu(AluOp::Mov, first, Reg::R7, Reg::R1);
        let numbers = if division { &IMMEDIATES[..0] } else { &IMMEDIATES[..] };
        all.extend(numbers.iter().map(|&imm| [moved, Insn::alu(op, width, Reg::R7, imm)]));
    }
    all
}

fn operations() -> impl Iterator<Item = (AluOp, Width)> {
    let operations = AluOp::ALL.into_iter().filter(|op| !op.is_move());
    operations.flat_map(|op| Width::ALL.map(|width| (op, width)))
}

const fn is_division(op: AluOp) -> bool {
    matches!(op, AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod)
}

/// Every amount, with every amount of the shift behind it, and with masks.
fn shifts(first: AluOp, width: Width) -> Vec<[Insn; 2]> {
    let mut all = Vec::new();
    let bits = width.bits() as i32;
    let masks =
        (0..32).map(|bit| (1u32 << bit).wrapping_mul(2).wrapping_sub(1) as i32).chain([0, -2, 5, 0xff00]);
    let masks: Vec<i32> = masks.collect();
    for dst in [Reg::R0, Reg::R7] {
        for amount in 0..bits {
            let shifted = Insn::alu(first, width, dst, amount);
            for other in Width::ALL {
                for op in [AluOp::Lsh, AluOp::Rsh, AluOp::Arsh] {
                    all.extend(
                        (0..other.bits() as i32).map(|back| [shifted, Insn::alu(op, other, dst, back)]),
                    );
                }
                all.extend(masks.iter().map(|&mask| [shifted, Insn::alu(AluOp::And, other, dst, mask)]));
            }
        }
    }
    all
}

/// Loads with every byte order conversion of the result.
fn loads(size: Size) -> Vec<[Insn; 2]> {
    let mut all = Vec::new();
    for kind in EndKind::ALL {
        for bits in [16, 32, 64] {
            for dst in Reg::WRITABLE {
                for base in Reg::ALL {
                    let swap = Insn::End { kind, bits, dst };
                    all.extend([0, 8, -129, 300].map(|off| [Insn::load(size, dst, base, off), swap]));
                }
            }
        }
    }
    all
}
