// SPDX-License-Identifier: GPL-2.0-or-later
//! The semantics of native instructions against those of another hand: the SLEIGH models that Ghidra has of x86-64 and AArch64.
//!
//! [`lift`] has libsla turn the bytes of one instruction into p-code, [`pcode`] runs that over the terms that
//! [`kop_semantics`] is run over, with the same variables for registers, flags and memory, and [`compare`] proves both ends
//! equal: every register, every flag that the manual defines, every byte of memory and where control goes. [`disagreements`]
//! says where they are not, and who is right.
//!
//! libsla is under Apache-2.0 alone, which may not be linked to Unicorn and Keystone: this crate depends on no crate of ours
//! that does.

pub mod campaign;
mod cases;
pub mod compare;
pub mod disagreements;
pub mod lift;
pub mod location;
pub mod ours;
pub mod pcode;
pub mod samples;
mod side;
mod string;
