// SPDX-License-Identifier: GPL-2.0-or-later
//! Mistakes that semantics could make, put into their results; the campaign has to find each.

use kop_ops::x86_64::{Gpr, Size};
use kop_semantics::x86_64::{
    Binary, CountOp, Flag, Op, Operand, Place, Repeat, Shift, StringOp, Unary, VectorInsn,
};

use super::code::Case;
use super::run::After;
use super::state::Before;

/// A mistake.
pub struct Planted {
    /// What it is.
    pub what: &'static str,
    /// Whether an operation may be concerned.
    pub concerns: fn(&Op) -> bool,
    /// Makes it in what an instruction leaves.
    pub make: fn(&Case, &Before, &mut After),
}

/// Mistakes of each kind that instructions differ in: flags, widths, counts, directions, order of writes.
pub const PLANTED: &[Planted] = &[
    Planted {
        what: "inc writes CF",
        concerns: |op| matches!(op, Op::Unary { op: Unary::Inc, .. }),
        make: |_, _, after| flag(after, Flag::Carry, false),
    },
    Planted {
        what: "a logical operation leaves OF",
        concerns: |op| matches!(op, Op::Binary { op: Binary::And | Binary::Or | Binary::Xor, .. }),
        make: |_, before, after| {
            flag(after, Flag::Overflow, before.file.flags >> Flag::Overflow.position() & 1 == 1)
        },
    },
    Planted {
        what: "AF of an addition looks at bit 4 of the sum alone",
        concerns: |op| matches!(op, Op::Binary { op: Binary::Add, dst: Place::Reg(_), .. }),
        make: |case, _, after| {
            let Op::Binary { dst: Place::Reg(register), .. } = case.op else { return };
            let bit = general(after, register).is_some_and(|value| *value >> 4 & 1 == 1);
            flag(after, Flag::Adjust, bit);
        },
    },
    Planted {
        what: "a move of 32 bits keeps the upper half",
        concerns: |op| matches!(op, Op::Move { size: Size::B4, dst: Place::Reg(_), .. }),
        make: |case, before, after| {
            let Op::Move { dst: Place::Reg(register), .. } = case.op else { return };
            let upper = before.general(register) >> 32 << 32;
            general(after, register).into_iter().for_each(|value| *value |= upper);
        },
    },
    Planted {
        what: "a shift of 32 bits masks its count to six bits",
        concerns: |op| {
            matches!(
                op,
                Op::ShiftWithoutFlags { op: Shift::Shl, size: Size::B4, amount: Operand::Place(_), .. }
            )
        },
        make: |case, before, after| {
            let Op::ShiftWithoutFlags { dst, amount: Operand::Place(Place::Reg(count)), .. } = case.op else {
                return;
            };
            if before.general(count) & 32 != 0 {
                general(after, dst).into_iter().for_each(|value| *value = 0);
            }
        },
    },
    Planted {
        what: "a shift by zero clears CF",
        concerns: |op| matches!(op, Op::Shift { op: Shift::Shr, amount: Operand::Place(_), .. }),
        make: |case, before, after| {
            let Op::Shift { size, .. } = case.op else { return };
            let mask = if size == Size::B8 { 63 } else { 31 };
            if before.general(Gpr::Rcx) & mask == 0 {
                flag(after, Flag::Carry, false);
            }
        },
    },
    Planted {
        what: "tzcnt of zero is zero",
        concerns: |op| matches!(op, Op::Count { op: CountOp::Tzcnt, .. }),
        make: |case, _, after| {
            let Op::Count { dst, size, .. } = case.op else { return };
            let width = u64::from(size.bits());
            general(after, dst).into_iter().filter(|value| **value == width).for_each(|value| *value = 0);
        },
    },
    Planted {
        what: "strings go upwards whatever DF is",
        concerns: |op| matches!(op, Op::String { op: StringOp::Lods, repeat: Repeat::No, .. }),
        make: |case, before, after| {
            let Op::String { size, .. } = case.op else { return };
            let source = before.general(Gpr::Rsi).wrapping_add(size.bytes().into());
            general(after, Gpr::Rsi).into_iter().for_each(|value| *value = source);
        },
    },
    Planted {
        what: "mulx writes the low half last",
        concerns: |op| matches!(op, Op::MultiplyWide { .. }),
        make: |case, before, after| {
            let Op::MultiplyWide { size: Size::B8, high, low, src: Place::Reg(src) } = case.op else {
                return;
            };
            let product = before.general(Gpr::Rdx).wrapping_mul(before.general(src));
            if high == low {
                general(after, low).into_iter().for_each(|value| *value = product);
            }
        },
    },
    Planted {
        what: "xadd of a register with itself exchanges",
        concerns: |op| matches!(op, Op::ExchangeAdd { .. }),
        make: |case, before, after| {
            let Op::ExchangeAdd { size: Size::B8, dst: Place::Reg(dst), src: Place::Reg(src) } = case.op
            else {
                return;
            };
            if dst == src {
                let old = before.general(dst);
                general(after, dst).into_iter().for_each(|value| *value = old);
            }
        },
    },
    Planted {
        what: "movd leaves the upper half of an SSE register",
        concerns: |op| matches!(op, Op::Vector(VectorInsn::FromGeneral { .. })),
        make: |case, before, after| {
            let Op::Vector(VectorInsn::FromGeneral { dst, .. }) = case.op else { return };
            let number = usize::from(dst.code());
            if let Ok(file) = &mut after.end {
                file.vectors[number] |= before.file.vectors[number] >> 64 << 64;
            }
        },
    },
    Planted {
        what: "a store changes a byte beyond its operand",
        concerns: |op| matches!(op, Op::Set { dst: Place::Mem(_), .. }),
        make: |_, _, after| after.memory.window[4095] ^= 1,
    },
    Planted {
        what: "a push changes a byte of the stack that it does not write",
        concerns: |op| matches!(op, Op::Push { .. }),
        make: |_, _, after| after.native_stack[0] ^= 1,
    },
    Planted {
        what: "a division error leaves everything as it is",
        concerns: |op| matches!(op, Op::Divide { .. }),
        make: |_, before, after| {
            if after.end.is_err() {
                after.end = Ok(before.file.clone());
            }
        },
    },
];

fn flag(after: &mut After, flag: Flag, bit: bool) {
    if let Ok(file) = &mut after.end {
        file.flags = file.flags & !(1 << flag.position()) | u64::from(bit) << flag.position();
    }
}

fn general(after: &mut After, register: Gpr) -> Option<&mut u64> {
    after.end.as_mut().ok().map(|file| &mut file.general[usize::from(register.code())])
}
