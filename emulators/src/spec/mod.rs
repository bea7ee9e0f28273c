// SPDX-License-Identifier: GPL-2.0-or-later
//! The `spec` engine: the interpreter of the `semantics` crate, for proof sequences and for whole programs.

mod program;
mod proof;

/// The name of the engine.
pub const NAME: &str = "spec";

/// Runs eBPF on [`kop_semantics::spec`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SpecEngine;
