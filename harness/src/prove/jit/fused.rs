// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions that the compiler may make one of: a move and an operation on its result, two shifts or a shift and a mask, a load and
//! a byte swap, a sum and the access to it, a jump over a jump. Whether it does depends on registers, numbers and features, so that all of
//! these are looked at.

use kop_ops::ebpf::{AluOp, Cond, EndKind, Insn, Operand, Reg, Size, Width};

use super::operands::IMMEDIATES;

/// A kind of such instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fused {
    Move(Width),
    Shift(AluOp, Width),
    Load(Size),
    Sum(Width),
    Access,
    Jumps,
}

impl Fused {
    /// Every kind.
    pub const ALL: [Fused; 13] = [
        Fused::Move(Width::W32),
        Fused::Move(Width::W64),
        Fused::Shift(AluOp::Lsh, Width::W32),
        Fused::Shift(AluOp::Lsh, Width::W64),
        Fused::Shift(AluOp::Rsh, Width::W32),
        Fused::Shift(AluOp::Rsh, Width::W64),
        Fused::Load(Size::B2),
        Fused::Load(Size::B4),
        Fused::Load(Size::B8),
        Fused::Sum(Width::W32),
        Fused::Sum(Width::W64),
        Fused::Access,
        Fused::Jumps,
    ];

    /// Its name in reports.
    pub fn name(self) -> String {
        match self {
            Fused::Move(width) => format!("mov{}+alu", width.bits()),
            Fused::Shift(op, width) => format!("{op:?}{}+alu", width.bits()).to_lowercase(),
            Fused::Load(size) => format!("load{}+swap", size.bits()),
            Fused::Sum(width) => format!("sum{}", width.bits()),
            Fused::Access => "sum64+access".to_owned(),
            Fused::Jumps => "jump+ja".to_owned(),
        }
    }

    /// How many there are, registers and numbers taken together: one number for each instruction that has one; 0 where that is more
    /// than can be counted.
    pub const fn space(self) -> u64 {
        const OFF: u64 = 1 << 16;
        const NUMBERS: u64 = 1 << 32;
        match self {
            // Ten destinations and ten other sources; thirteen operations of two widths, from a register or an immediate.
            Fused::Move(_) => 10 * 10 * 13 * 2 * (11 + (1 << 32)),
            // Three shifts and a mask, of two widths.
            Fused::Shift(_, width) => 10 * width.bits() as u64 * (3 * (32 + 64) + 2 * (1 << 32)),
            // Nine conversions of the result.
            Fused::Load(_) => 10 * 11 * OFF * 9,
            // Three steps of a destination, each with a number of 32 bits or a register; and two with a load or store.
            Fused::Sum(_) | Fused::Access => 0,
            // Every comparison of two registers, or with a number, of two widths.
            Fused::Jumps => 11 * 2 * 11 * (11 + NUMBERS),
        }
    }

    /// Those that are looked at; jumps over one are [`jumps`].
    pub fn instances(self) -> Vec<Vec<Insn>> {
        let pairs = match self {
            Fused::Move(width) => moves(width),
            Fused::Shift(op, width) => shifts(op, width),
            Fused::Load(size) => loads(size),
            Fused::Sum(width) => return sums(width),
            Fused::Access => return accesses(),
            Fused::Jumps => Vec::new(),
        };
        pairs.into_iter().map(Vec::from).collect()
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
    let others = Reg::ALL.into_iter().filter(|src| *src != Reg::R7);
    all.extend(others.flat_map(|src| {
        Width::ALL.map(|width| {
            [Insn::alu(AluOp::Mov, first, Reg::R7, src), Insn::alu(AluOp::Mov, width, Reg::R7, Reg::R7)]
        })
    }));
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

/// What adds to a register: others and itself, numbers that make no difference, that fit a byte and do not, and that add up to more than an address
/// holds; shifts that an address has, and others.
fn steps(width: Width, dst: Reg, others: &[Reg]) -> Vec<Insn> {
    const NUMBERS: [i32; 6] = [0, 5, -129, 0x1234_5678, i32::MIN, i32::MAX];
    let registers = others.iter().chain([&dst]).map(|&other| Insn::alu(AluOp::Add, width, dst, other));
    let numbers = [AluOp::Add, AluOp::Sub].into_iter();
    let numbers = numbers.flat_map(|op| NUMBERS.map(|imm| Insn::alu(op, width, dst, imm)));
    let shifts = [0, 1, 2, 3, 4].map(|amount| Insn::alu(AluOp::Lsh, width, dst, amount));
    registers.chain(numbers).chain(shifts).collect()
}

/// Sums of two and three steps, from a move on or of what the register holds; bases and indices that addresses are written in another way
/// with are among the registers: r10 is rbp, r7 is r13.
fn sums(width: Width) -> Vec<Vec<Insn>> {
    let mut all = Vec::new();
    let registers = [Reg::R0, Reg::R6, Reg::R7, Reg::R10];
    for dst in [Reg::R0, Reg::R7] {
        let others: Vec<Reg> = registers.into_iter().filter(|register| *register != dst).collect();
        let steps = steps(width, dst, &others);
        let mut firsts: Vec<Insn> =
            others.iter().map(|&other| Insn::alu(AluOp::Mov, width, dst, other)).collect();
        firsts.extend(&steps);
        for first in &firsts {
            for second in &steps {
                all.push(vec![*first, *second]);
                all.extend(steps.iter().map(|third| vec![*first, *second, *third]));
            }
        }
    }
    all
}

/// Accesses to sums of one step, of a move and one, and of a register and another that is shifted: to the register that has it, from which
/// something else is loaded, that is overwritten behind or stays, and to others; stores of numbers, loads that extend the sign, and such as are swapped behind.
fn accesses() -> Vec<Vec<Insn>> {
    let mut all = Vec::new();
    let (dst, width) = (Reg::R7, Width::W64);
    let others = [Reg::R1, Reg::R10];
    let steps = steps(width, dst, &others);
    let mut firsts: Vec<Vec<Insn>> =
        others.iter().map(|&other| vec![Insn::alu(AluOp::Mov, width, dst, other)]).collect();
    firsts.extend(steps.iter().map(|step| vec![*step]));
    let moved: Vec<Vec<Insn>> = firsts[..others.len()].to_vec();
    firsts.extend(moved.iter().flat_map(|moved| steps.iter().map(|step| vec![moved[0], *step])));
    for amount in 1..=4 {
        let scaled = [Insn::alu(AluOp::Lsh, width, dst, amount), Insn::alu(AluOp::Add, width, dst, Reg::R10)];
        firsts.push(scaled.to_vec());
        firsts.push([&moved[0][..], &scaled].concat());
    }
    let overwritten = Insn::mov64(dst, 3);
    let used = Insn::alu(AluOp::Xor, width, Reg::R0, dst);
    for sum in &firsts {
        for off in [0, 4, -129, i16::MIN, i16::MAX] {
            for size in Size::ALL {
                for behind in [&[][..], &[overwritten], &[used, overwritten]] {
                    let stored = [Reg::R1, dst].map(|src| Insn::store(size, dst, off, src));
                    let number = Insn::Store { size, base: dst, off, src: Operand::Imm(-5) };
                    let loaded = [Reg::R1, dst, Reg::R2].map(|to| Insn::load(size, to, dst, off));
                    let signed = Insn::Load { size, signed: true, dst, base: dst, off };
                    let extends = (size != Size::B8).then_some(signed);
                    for access in stored.into_iter().chain([number]).chain(loaded).chain(extends) {
                        all.push([&sum[..], &[access], behind].concat());
                    }
                    let swap = Insn::End { kind: EndKind::ToBe, bits: size.bits() as u8, dst };
                    if size != Size::B1 {
                        all.push([&sum[..], &[Insn::load(size, dst, dst, off), swap], behind].concat());
                    }
                }
            }
        }
    }
    all
}

/// Jumps that stand over an unconditional one: every comparison of registers that differ and that do not, and with numbers.
pub(super) fn jumps() -> Vec<Insn> {
    let mut all = Vec::new();
    for cond in Cond::ALL {
        for width in Width::ALL {
            let jump = |src: Operand| Insn::Jump { cond, width, dst: Reg::R1, src, off: 1 };
            all.extend([Reg::R1, Reg::R2].map(|src| jump(Operand::Reg(src))));
            all.extend(IMMEDIATES.iter().map(|&imm| jump(Operand::Imm(imm))));
        }
    }
    all
}
