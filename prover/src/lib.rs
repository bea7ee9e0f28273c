// SPDX-License-Identifier: GPL-2.0-or-later
//! Proofs: native bytes and proof sequences become formulas, and formulas are decided for all inputs at once.

pub mod aig;
pub mod algebra;
pub mod certificate;
pub mod machine;
pub mod memory;
pub mod sat;
pub mod statement;
pub mod sweep;
pub mod term;
