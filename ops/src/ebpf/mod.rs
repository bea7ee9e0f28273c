// SPDX-License-Identifier: GPL-2.0-or-later
//! eBPF instructions: as values, as 8-byte slots and as text, and the kernel's rule for what a proof sequence may hold.

mod display;
mod encode;
pub mod forms;
mod insn;
mod parse;
mod register;
pub mod shape;

pub use encode::{DecodeError, DecodeReason, Encoded, Field, decode, decode_program, encode_program};
pub use insn::{AluOp, AtomicOp, CallTarget, Cond, EndKind, Insn, Operand, PAYLOAD_BITS, Size, Width};
pub use parse::{ParseError, ParseReason, parse_program};
pub use register::{Reg, RegSet, UnknownReg};
pub use shape::ShapeError;
