// SPDX-License-Identifier: GPL-2.0-or-later
//! After the back end's own optimisation, for x86-64: conditions as numbers become selections of constants.
//!
//! `setcc` writes the lowest byte of a register and so waits for what was in the rest of it, which may be the end of the loop's
//! previous turn. A conditional move between constants waits for nothing but the comparison.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    Block, DataFlowGraph, Function, Inst, InstBuilder, InstructionData, Opcode, Value,
};

use crate::planted::Planted;

/// Makes selections of them, and of conditions that are shifted to a bit.
pub(crate) fn select_constants(function: &mut Function, planted: Option<Planted>) {
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for block in blocks {
        let insts: Vec<Inst> = function.layout.block_insts(block).collect();
        for inst in insts {
            let Some((condition, number)) = found(&function.dfg, inst) else { continue };
            let ty = function.dfg.value_type(function.dfg.first_result(inst));
            let location = function.srcloc(inst);
            let mut cursor = FuncCursor::new(function).at_inst(inst);
            cursor.set_srcloc(location);
            let number = cursor.ins().iconst(ty, number);
            let zero = cursor.ins().iconst(ty, 0);
            let [one, other] = match planted {
                Some(Planted::ConditionOrder) => [zero, number],
                _ => [number, zero],
            };
            let selected = cursor.ins().select(condition, one, other);
            let old = function.dfg.first_result(inst);
            function.dfg.clear_results(inst);
            function.dfg.change_to_alias(old, selected);
            function.layout.remove_inst(inst);
        }
    }
    function.dfg.resolve_all_aliases();
}

/// The condition that an instruction makes a number of, and the number.
fn found(dfg: &DataFlowGraph, inst: Inst) -> Option<(Value, i64)> {
    let ty = dfg.value_type(*dfg.inst_results(inst).first()?);
    if !matches!(ty, I32 | I64) {
        return None;
    }
    match dfg.insts[inst] {
        InstructionData::Binary { opcode: Opcode::Ishl, args: [one, amount] } => {
            let InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } = dfg.insts[maker(dfg, amount)?]
            else {
                return None;
            };
            let amount = imm.bits() as u64;
            (amount < u64::from(ty.bits()) - 1).then_some(())?;
            Some((as_number(dfg, maker(dfg, one)?)?, 1 << amount))
        }
        InstructionData::Unary { .. } => Some((as_number(dfg, inst)?, 1)),
        _ => None,
    }
}

/// The comparison whose result an instruction makes a longer number of.
fn as_number(dfg: &DataFlowGraph, inst: Inst) -> Option<Value> {
    match dfg.insts[inst] {
        InstructionData::Unary { opcode: Opcode::Uextend, arg } => {
            let compares = matches!(dfg.insts[maker(dfg, arg)?], InstructionData::IntCompare { .. });
            compares.then_some(arg)
        }
        // The number before it was made a selection.
        InstructionData::Ternary { opcode: Opcode::Select, args: [condition, one, zero] } => {
            let constant = |value| match dfg.insts[maker(dfg, value)?] {
                InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
                _ => None,
            };
            (constant(one) == Some(1) && constant(zero) == Some(0)).then_some(condition)
        }
        _ => None,
    }
}

fn maker(dfg: &DataFlowGraph, value: Value) -> Option<Inst> {
    dfg.value_def(value).inst()
}
