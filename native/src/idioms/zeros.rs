// SPDX-License-Identifier: GPL-2.0-or-later
//! Leading and trailing zeros that are searched for by halves, once the jumps around next to nothing are selections.
//!
//! Each step asks whether a half of the bits that are left is zero, counts them, and moves the others in their place:
//! `(bits, count) = bits > u32::MAX >> 16 ? (bits, count) : (bits << 16, count + 16)`, and so on with 8, 4 and 2. At last one bit and then
//! all of them are asked for. A search of 64 bits starts with a step of 32.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{DataFlowGraph, Function, Inst, InstBuilder, InstructionData, Opcode, Value};

use super::{constant, maker};
use crate::planted::Planted;

/// The end from which zeros are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Highest,
    Lowest,
}

/// A search: the zeros of a number from an end are added to a count.
#[derive(Clone, Copy, Debug)]
struct Search {
    end: End,
    number: Value,
    count: Value,
}

/// Replaces searches by the instructions for them.
pub(super) fn zeros(function: &mut Function, planted: Option<Planted>) {
    let blocks: Vec<_> = function.layout.blocks().collect();
    for block in blocks {
        let insts: Vec<Inst> = function.layout.block_insts(block).collect();
        for inst in insts {
            if let Some(search) = search(&function.dfg, inst) {
                replace(function, inst, search, planted);
            }
        }
    }
    function.dfg.resolve_all_aliases();
}

fn replace(function: &mut Function, inst: Inst, search: Search, planted: Option<Planted>) {
    let Search { end, number, count } = search;
    let value = function.dfg.first_result(inst);
    let (ty, from) = (function.dfg.value_type(value), function.dfg.value_type(number));
    let location = function.srcloc(inst);
    let mut cursor = FuncCursor::new(function).at_inst(inst);
    cursor.set_srcloc(location);
    let zeros = match end {
        End::Lowest if planted != Some(Planted::TrailingZeros) => cursor.ins().ctz(number),
        _ => cursor.ins().clz(number),
    };
    let zeros = match (from.bits(), ty.bits()) {
        (from, to) if from < to => cursor.ins().uextend(ty, zeros),
        (from, to) if from > to => cursor.ins().ireduce(ty, zeros),
        _ => zeros,
    };
    let sum = cursor.ins().iadd(count, zeros);
    function.dfg.clear_results(inst);
    function.dfg.change_to_alias(value, sum);
    function.layout.remove_inst(inst);
}

/// The search that an instruction is the end of.
fn search(dfg: &DataFlowGraph, inst: Inst) -> Option<Search> {
    let InstructionData::Ternary { opcode: Opcode::Select, .. } = dfg.insts[inst] else { return None };
    let (is_nothing, count) = counted(dfg, dfg.first_result(inst), 1)?;
    let low = compared(dfg, is_nothing, IntCC::NotEqual, 0)?;
    let (is_last, mut count) = counted(dfg, count, 1)?;
    let end = match (compared(dfg, is_last, IntCC::SignedLessThan, 0), masked(dfg, is_last, 1)) {
        (Some(bits), _) if bits == low => End::Highest,
        (_, Some(bits)) if bits == low => End::Lowest,
        _ => return None,
    };
    (dfg.value_type(low) == I32).then_some(())?;
    let mut number = low;
    for half in [2, 4, 8, 16] {
        let (condition, before) = counted(dfg, count, half)?;
        let bits = moved(dfg, number, condition, end, half)?;
        let asked = match end {
            End::Highest => {
                compared(dfg, condition, IntCC::UnsignedGreaterThan, u64::from(u32::MAX >> half))?
            }
            End::Lowest => masked(dfg, condition, (1 << half) - 1)?,
        };
        is_lower_half(dfg, asked, bits).then_some(())?;
        (number, count) = (bits, before);
    }
    match (end, dfg.value_type(number)) {
        (End::Highest, I32) => Some(upper_first(dfg, number, count).unwrap_or(Search { end, number, count })),
        (End::Lowest, I32) => Some(Search { end, number, count }),
        // The steps so far saw the lower half alone, which is not zero behind this one unless all is.
        (End::Lowest, I64) => {
            let (condition, count) = counted(dfg, count, 32)?;
            let number = moved(dfg, number, condition, end, 32)?;
            let asked = compared(dfg, condition, IntCC::NotEqual, 0)?;
            (is_lower_half(dfg, asked, number) && asked != number).then_some(Search { end, number, count })
        }
        _ => None,
    }
}

/// The operands of a selection.
fn selection(dfg: &DataFlowGraph, value: Value) -> Option<[Value; 3]> {
    match dfg.insts[maker(dfg, value)?] {
        InstructionData::Ternary { opcode: Opcode::Select, args } => {
            Some(args.map(|arg| dfg.resolve_aliases(arg)))
        }
        _ => None,
    }
}

/// What an instruction of a number and a constant does to the number.
fn by_constant(dfg: &DataFlowGraph, value: Value, opcode: Opcode, wanted: u64) -> Option<Value> {
    match dfg.insts[maker(dfg, value)?] {
        InstructionData::Binary { opcode: found, args: [number, by] } if found == opcode => {
            (constant(dfg, by)? == wanted).then(|| dfg.resolve_aliases(number))
        }
        _ => None,
    }
}

/// What is a lower half of something, and of what.
fn whole(dfg: &DataFlowGraph, value: Value) -> Option<Value> {
    match dfg.insts[maker(dfg, value)?] {
        InstructionData::Unary { opcode: Opcode::Ireduce, arg } => Some(dfg.resolve_aliases(arg)),
        _ => None,
    }
}

fn is_lower_half(dfg: &DataFlowGraph, value: Value, of: Value) -> bool {
    value == of || dfg.value_type(value) == I32 && whole(dfg, value) == Some(of)
}

/// A count to which a number is added if a condition does not hold: the condition, and the count before.
fn counted(dfg: &DataFlowGraph, value: Value, by: u64) -> Option<(Value, Value)> {
    let [condition, count, more] = selection(dfg, value)?;
    (by_constant(dfg, more, Opcode::Iadd, by)? == count).then_some((condition, count))
}

/// Bits that are moved towards an end if a condition does not hold: what they were before.
fn moved(dfg: &DataFlowGraph, value: Value, condition: Value, end: End, by: u64) -> Option<Value> {
    let value = whole(dfg, value).unwrap_or(value);
    let [found, bits, moved] = selection(dfg, value)?;
    let opcode = if end == End::Highest { Opcode::Ishl } else { Opcode::Ushr };
    let is_moved = |moved: Value, bits: Value| by_constant(dfg, moved, opcode, by) == Some(bits);
    let bits = match is_moved(moved, bits) {
        true => bits,
        false => {
            let (bits, moved) = (whole(dfg, bits)?, whole(dfg, moved)?);
            (end == End::Lowest && is_moved(moved, bits)).then_some(bits)?
        }
    };
    (found == condition).then_some(bits)
}

/// What a comparison compares with a constant.
fn compared(dfg: &DataFlowGraph, condition: Value, wanted: IntCC, with: u64) -> Option<Value> {
    match dfg.insts[maker(dfg, condition)?] {
        InstructionData::IntCompare { cond, args: [value, number], .. } if cond == wanted => {
            (constant(dfg, number)? == with).then(|| dfg.resolve_aliases(value))
        }
        _ => None,
    }
}

/// Of what bits a condition asks for any.
fn masked(dfg: &DataFlowGraph, condition: Value, mask: u64) -> Option<Value> {
    by_constant(dfg, condition, Opcode::Band, mask)
}

/// A search among 64 bits: the upper half is searched if it is not zero, and the lower otherwise, with 32 zeros before it.
fn upper_first(dfg: &DataFlowGraph, number: Value, count: Value) -> Option<Search> {
    let [condition, upper, lower] = selection(dfg, number)?;
    let [counts, none, word] = selection(dfg, count)?;
    let (number, upper) = (whole(dfg, lower)?, whole(dfg, upper)?);
    let is_split = by_constant(dfg, upper, Opcode::Ushr, 32)? == number && dfg.value_type(number) == I64;
    let is_asked = compared(dfg, condition, IntCC::NotEqual, 0)? == upper && counts == condition;
    let is_counted = constant(dfg, none)? == 0 && constant(dfg, word)? == 32;
    (is_split && is_asked && is_counted).then_some(Search { end: End::Highest, number, count: none })
}
