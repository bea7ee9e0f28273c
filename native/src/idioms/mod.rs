// SPDX-License-Identifier: GPL-2.0-or-later
//! What bytecode has to spell out, as the operations that machines have for it: integers that are
//! loaded and stored byte by byte, counts of ones and of zeros, jumps around next to nothing.

mod bytes;
mod counts;
mod selects;
mod stores;
mod tables;
mod turns;
mod zeros;

use cranelift_codegen::ir::{DataFlowGraph, Function, Inst, InstructionData, Opcode, Value};

use kop_ops::{Arch, Feature, Features};

use crate::Options;
use crate::planted::Planted;

/// Finds them all.
///
/// Ones are counted where the CPU has an instruction for that in general registers, or may use others. Zeros are counted by two or
/// three instructions where there is none for it.
pub(crate) fn apply(function: &mut Function, options: &Options, planted: Option<Planted>) {
    function.dfg.resolve_all_aliases();
    let counting = match options.arch {
        Arch::X86_64 => Features::of(&[Feature::Popcnt, Feature::Lzcnt]),
        Arch::Aarch64 => Features::of(&[Feature::AdvSimd]),
    };
    if counting.minus(options.features).is_empty() {
        counts::counts(function, planted);
        turns::counting_loops(function, planted);
    }
    bytes::wide_loads(function, planted);
    stores::wide_stores(function, planted);
    tables::tables(function, planted);
    selects::selects(function, planted);
    zeros::zeros(function, planted);
}

/// The instruction that makes a value.
fn maker(dfg: &DataFlowGraph, value: Value) -> Option<Inst> {
    dfg.value_def(dfg.resolve_aliases(value)).inst()
}

/// The number that a value is.
fn constant(dfg: &DataFlowGraph, value: Value) -> Option<u64> {
    match dfg.insts[maker(dfg, value)?] {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits() as u64),
        _ => None,
    }
}

/// Whether an instruction may change memory that `like` loads or stores, or see it changed.
fn interferes(dfg: &DataFlowGraph, inst: Inst, like: Inst, loads_too: bool) -> bool {
    let opcode = dfg.insts[inst].opcode();
    if opcode.is_call() || opcode.other_side_effects() && !opcode.is_branch() {
        return true;
    }
    let touches = opcode.can_store() || loads_too && opcode.can_load();
    let regions = [inst, like].map(|inst| dfg.insts[inst].alias_region(dfg));
    touches && !matches!(regions, [Some(one), Some(other)] if one != other)
}

#[cfg(test)]
mod tests;
