// SPDX-License-Identifier: GPL-2.0-or-later
//! After the back end's own optimisation: ends of loops compare what the next iteration gets.
//!
//! It makes `x == 255` of `x + 1 == 256`, so that both `x` and `x + 1` are alive at the jump back, which then needs a move and a block
//! of its own on every iteration.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef};

/// Turns such comparisons back.
pub(crate) fn compare_what_goes_on(function: &mut Function) {
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for block in blocks {
        let Some(last) = function.layout.last_inst(block) else { continue };
        let InstructionData::Brif { arg, .. } = function.dfg.insts[last] else { continue };
        let Some((cond, compared, number)) = equality(function, arg) else { continue };
        let Some((next, step)) = passed_on(function, last, compared) else { continue };
        let ty = function.dfg.value_type(next);
        let mask = u64::MAX >> (64 - ty.bits());
        let number = number.wrapping_add(step) & mask;
        let location = function.srcloc(last);
        let mut cursor = FuncCursor::new(function).at_inst(last);
        cursor.set_srcloc(location);
        let number = cursor.ins().iconst(ty, number as i64);
        let holds = cursor.ins().icmp(cond, next, number);
        if let InstructionData::Brif { arg, .. } = &mut function.dfg.insts[last] {
            *arg = holds;
        }
    }
}

fn maker(function: &Function, value: Value) -> Option<&InstructionData> {
    let inst = function.dfg.value_def(value).inst()?;
    Some(&function.dfg.insts[inst])
}

fn constant(function: &Function, value: Value) -> Option<u64> {
    match *maker(function, value)? {
        InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits() as u64),
        _ => None,
    }
}

/// A comparison with a number for equality.
fn equality(function: &Function, value: Value) -> Option<(IntCC, Value, u64)> {
    match *maker(function, value)? {
        InstructionData::IntCompare { cond: cond @ (IntCC::Equal | IntCC::NotEqual), args, .. } => {
            Some((cond, args[0], constant(function, args[1])?))
        }
        _ => None,
    }
}

/// What a jump passes on in place of the block parameter `compared`: it plus a number.
fn passed_on(function: &Function, jump: Inst, compared: Value) -> Option<(Value, u64)> {
    let dfg = &function.dfg;
    let ValueDef::Param(block, place) = dfg.value_def(compared) else { return None };
    let destinations = dfg.insts[jump].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
    destinations.iter().find_map(|destination| {
        if destination.block(&dfg.value_lists) != block {
            return None;
        }
        let next = destination.args(&dfg.value_lists).nth(place)?.as_value()?;
        match *maker(function, next)? {
            InstructionData::Binary { opcode: Opcode::Iadd, args: [left, right] } if left == compared => {
                Some((next, constant(function, right)?))
            }
            _ => None,
        }
    })
}
