// SPDX-License-Identifier: GPL-2.0-or-later
//! Ones that are counted in pairs, fours and bytes at once, and leading zeros that are counted as what is left of that.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{
    DataFlowGraph, Function, Inst, InstBuilder, InstructionData, Opcode, Type, Value,
};

use super::{constant, maker};
use crate::planted::Planted;

/// The masks of every second bit, pair and four, and the number that adds up bytes.
const ONES: u64 = 0x5555_5555_5555_5555;
const PAIRS: u64 = 0x3333_3333_3333_3333;
const FOURS: u64 = 0x0f0f_0f0f_0f0f_0f0f;
const BYTES: u64 = 0x0101_0101_0101_0101;

/// Replaces counts by the instructions for them.
pub(super) fn counts(function: &mut Function, planted: Option<Planted>) {
    let blocks: Vec<_> = function.layout.blocks().collect();
    for block in blocks {
        let insts: Vec<Inst> = function.layout.block_insts(block).collect();
        for inst in insts {
            let Some(counted) = ones(&function.dfg, inst) else { continue };
            let value = function.dfg.first_result(inst);
            let ty = function.dfg.value_type(value);
            let smeared = smeared(&function.dfg, counted, ty);
            let location = function.srcloc(inst);
            let mut cursor = FuncCursor::new(function).at_inst(inst);
            cursor.set_srcloc(location);
            let count = match smeared {
                // As many ones as there are bits from the highest one down.
                Some(value) => {
                    let zeros = cursor.ins().clz(value);
                    let bits = i64::from(ty.bits()) - i64::from(planted == Some(Planted::CountZeros));
                    let bits = cursor.ins().iconst(ty, bits);
                    cursor.ins().isub(bits, zeros)
                }
                None => cursor.ins().popcnt(counted),
            };
            function.dfg.clear_results(inst);
            function.dfg.change_to_alias(value, count);
            function.layout.remove_inst(inst);
        }
    }
}

/// The operands of an instruction of two.
fn binary(dfg: &DataFlowGraph, value: Value, opcode: Opcode) -> Option<[Value; 2]> {
    let inst = maker(dfg, value)?;
    match dfg.insts[inst] {
        InstructionData::Binary { opcode: found, args } if found == opcode => {
            Some(args.map(|arg| dfg.resolve_aliases(arg)))
        }
        _ => None,
    }
}

/// The operand beside a constant of the type.
fn with_constant(dfg: &DataFlowGraph, value: Value, opcode: Opcode, wanted: u64) -> Option<Value> {
    let mask = u64::MAX >> (64 - dfg.value_type(value).bits());
    let [left, right] = binary(dfg, value, opcode)?;
    let is_wanted = |value| constant(dfg, value).is_some_and(|found| found & mask == wanted & mask);
    match (is_wanted(right), is_wanted(left)) {
        (true, _) => Some(left),
        (_, true) if opcode != Opcode::Ushr => Some(right),
        _ => None,
    }
}

fn shifted(dfg: &DataFlowGraph, value: Value, by: u64) -> Option<Value> {
    let [left, right] = binary(dfg, value, Opcode::Ushr)?;
    (constant(dfg, right)? == by).then_some(left)
}

/// The value whose ones the instruction counts: `((x + (x >> 4) & FOURS) * BYTES) >> bits - 8`, where `x` is the sum of pairs, and other
/// ways to add up halves.
fn ones(dfg: &DataFlowGraph, inst: Inst) -> Option<Value> {
    let InstructionData::Binary { opcode: Opcode::Ushr, args: [product, _] } = dfg.insts[inst] else {
        return None;
    };
    let value = dfg.first_result(inst);
    let top = u64::from(dfg.value_type(value).bits()) - 8;
    shifted(dfg, value, top)?;
    let fours = with_constant(dfg, product, Opcode::Imul, BYTES)?;
    let pairs = halves(dfg, fours, FOURS, 4).or_else(|| {
        let sum = with_constant(dfg, fours, Opcode::Band, FOURS)?;
        one_shifted(dfg, sum, 4)
    })?;
    let bits = halves(dfg, pairs, PAIRS, 2)?;
    halves(dfg, bits, ONES, 1).or_else(|| {
        let [whole, half] = binary(dfg, bits, Opcode::Isub)?;
        let half = with_constant(dfg, half, Opcode::Band, ONES)?;
        (shifted(dfg, half, 1)? == whole).then_some(whole)
    })
}

/// `x` of `(x & mask) + (x >> by & mask)`, or of `(x & mask) + ((x ^ (x & mask)) >> by)`.
fn halves(dfg: &DataFlowGraph, sum: Value, mask: u64, by: u64) -> Option<Value> {
    let [left, right] = binary(dfg, sum, Opcode::Iadd)?;
    let upper_of = |upper: Value, whole: Value| {
        let masked = with_constant(dfg, upper, Opcode::Band, mask);
        if let Some(moved) = masked
            && shifted(dfg, moved, by) == Some(whole)
        {
            return true;
        }
        let rest = shifted(dfg, upper, by).and_then(|rest| binary(dfg, rest, Opcode::Bxor));
        rest.is_some_and(|[one, other]| {
            let is_lower = |value| with_constant(dfg, value, Opcode::Band, mask) == Some(whole);
            one == whole && is_lower(other) || other == whole && is_lower(one)
        })
    };
    [(left, right), (right, left)].into_iter().find_map(|(lower, upper)| {
        let whole = with_constant(dfg, lower, Opcode::Band, mask)?;
        upper_of(upper, whole).then_some(whole)
    })
}

/// `x` of `x + (x >> by)`.
fn one_shifted(dfg: &DataFlowGraph, sum: Value, by: u64) -> Option<Value> {
    let [left, right] = binary(dfg, sum, Opcode::Iadd)?;
    match (shifted(dfg, right, by), shifted(dfg, left, by)) {
        (Some(value), _) if value == left => Some(left),
        (_, Some(value)) if value == right => Some(right),
        _ => None,
    }
}

/// `x` whose highest one all bits below it were made to ones of: `x |= x >> 1; x |= x >> 2; ..`, up to half of the bits.
fn smeared(dfg: &DataFlowGraph, mut value: Value, ty: Type) -> Option<Value> {
    let mut by = u64::from(ty.bits()) / 2;
    while by > 0 {
        let [left, right] = binary(dfg, value, Opcode::Bor)?;
        value = match (shifted(dfg, right, by), shifted(dfg, left, by)) {
            (Some(inner), _) if inner == left => left,
            (_, Some(inner)) if inner == right => right,
            _ => return None,
        };
        by /= 2;
    }
    Some(value)
}
