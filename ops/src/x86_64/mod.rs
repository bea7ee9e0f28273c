// SPDX-License-Identifier: GPL-2.0-or-later
//! An assembler for the part of x86-64 that emits use: instructions as values, their encoding (Intel SDM, volume 2),
//! their Intel-syntax text, and a collector with labels that turns them into position-independent bytes.

mod assembler;
mod buffer;
mod display;
mod encode;
pub mod forms;
mod insn;
mod register;

pub use assembler::{AssembleError, Assembled, Assembler, BranchKind, Item, Label};
pub use buffer::{Buffer, Skip};
pub use encode::{EncodeError, Encoding, MAX_INSN_BYTES};
pub use insn::{
    AluOp, Amount, Base, BmiRmvOp, BmiRvmOp, BmiVmOp, Cond, CountOp, DoubleShiftOp, Index, Insn, LockedOp,
    Mem, Nullary, Operand, PrefetchOp, Rel, Rm, Scale, ShiftOp, SseImmOp, SseOp, SseShiftOp, StringOp,
    UnaryOp, XmmRm,
};
pub use register::{Gpr, Size, Xmm};
