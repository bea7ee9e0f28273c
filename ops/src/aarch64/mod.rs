// SPDX-License-Identifier: GPL-2.0-or-later
//! The A64 assembler: instructions as values that encode themselves, print themselves and refuse what does not fit.

pub mod assembler;
mod buffer;
mod display;
pub mod encode;
pub mod forms;
pub mod insn;
pub mod register;

pub use assembler::{AssembleError, Assembled, Assembler, Item, Label};
pub use buffer::{Buffer, Skip};
pub use encode::{Bitmask, EncodeError, encode_bitmask, mov_imm};
pub use insn::{
    AddSub, AtomicOp, BarrierScope, BitPermuteOp, BitfieldOp, CarryOp, Cond, CondCompareOp, CondOperand,
    CondSelectOp, Extend, FmovLane, Group, Hint, Insn, Logical, LogicalImm, Mem, MoveWide, MulAddLongOp,
    MulAddOp, OneSourceOp, Order, PmullForm, Prefetch, Shift, SysReg, TwoSourceOp, VLogical,
};
pub use register::{Arrangement, Gpr, Scalar, Size, V, Width};
