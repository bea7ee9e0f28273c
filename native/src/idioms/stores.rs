// SPDX-License-Identifier: GPL-2.0-or-later
//! Integers that are stored byte by byte, in either order: one store.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::types::{I16, I32, I64};
use cranelift_codegen::ir::{Function, Inst, InstBuilder, InstructionData, Opcode, Value};

use super::{constant, interferes, maker};
use crate::planted::Planted;

/// A store of one byte.
#[derive(Clone, Copy)]
struct Byte {
    inst: Inst,
    base: Value,
    offset: i32,
    /// The value that it is of, and which byte.
    whole: Value,
    byte: u32,
}

/// Replaces stores of all bytes of a number.
pub(super) fn wide_stores(function: &mut Function, planted: Option<Planted>) {
    let blocks: Vec<_> = function.layout.blocks().collect();
    for block in blocks {
        let insts: Vec<Inst> = function.layout.block_insts(block).collect();
        let mut run: Vec<Byte> = Vec::new();
        for inst in insts {
            let byte = byte_of(function, inst);
            if let Some(first) = run.first()
                && interferes(&function.dfg, inst, first.inst, true)
                && !byte.is_some_and(|byte| byte.base == first.base && is_apart(&run, byte))
            {
                join(function, &std::mem::take(&mut run), planted);
            }
            run.extend(byte.filter(|byte| run.first().is_none_or(|first| first.base == byte.base)));
        }
        join(function, &run, planted);
    }
}

fn is_apart(run: &[Byte], byte: Byte) -> bool {
    run.iter().all(|other| other.offset != byte.offset)
}

/// What a store of a byte stores.
fn byte_of(function: &Function, inst: Inst) -> Option<Byte> {
    let dfg = &function.dfg;
    let InstructionData::Store { opcode: Opcode::Istore8, args: [value, base], offset, .. } = dfg.insts[inst]
    else {
        return None;
    };
    let (mut whole, mut shift) = (dfg.resolve_aliases(value), 0);
    while let Some(inst) = maker(dfg, whole) {
        let bits = dfg.value_type(whole).bits();
        match dfg.insts[inst] {
            InstructionData::Unary { opcode: Opcode::Uextend, arg }
                if dfg.value_type(arg).bits() >= shift + 8 =>
            {
                whole = dfg.resolve_aliases(arg);
            }
            InstructionData::Unary { opcode: Opcode::Ireduce, arg } => whole = dfg.resolve_aliases(arg),
            InstructionData::Binary { opcode: Opcode::Ushr, args: [arg, amount] } => {
                let Some(amount) = constant(dfg, amount) else { break };
                let amount = amount as u32 % bits;
                if shift + amount + 8 > bits {
                    break;
                }
                shift += amount;
                whole = dfg.resolve_aliases(arg);
            }
            _ => break,
        }
    }
    let base = dfg.resolve_aliases(base);
    shift.is_multiple_of(8).then_some(Byte { inst, base, offset: offset.into(), whole, byte: shift / 8 })
}

/// Stores as much as possible of a run in one.
fn join(function: &mut Function, run: &[Byte], planted: Option<Planted>) {
    let mut sorted = run.to_vec();
    sorted.sort_by_key(|byte| byte.offset);
    let mut rest = &sorted[..];
    while rest.len() > 1 {
        let found = [8, 4, 2].into_iter().find_map(|count| Some((count, order(rest.get(..count)?)?)));
        let Some((count, swapped)) = found else {
            rest = &rest[1..];
            continue;
        };
        replace(function, &rest[..count], swapped && planted != Some(Planted::WideStoreOrder));
        rest = &rest[count..];
    }
}

/// Whether neighbouring bytes are a number's lowest ones: upwards (`false`) or downwards (`true`).
fn order(bytes: &[Byte]) -> Option<bool> {
    let first = bytes[0];
    let mut places = (0..).zip(bytes);
    if !places.all(|(number, byte)| byte.offset == first.offset + number && byte.whole == first.whole) {
        return None;
    }
    let count = bytes.len() as u32;
    let mut numbered = (0..).zip(bytes);
    if numbered.clone().all(|(number, byte)| byte.byte == number) {
        return Some(false);
    }
    numbered.all(|(number, byte)| byte.byte == count - 1 - number).then_some(true)
}

fn replace(function: &mut Function, bytes: &[Byte], swapped: bool) {
    let ty = match bytes.len() {
        2 => I16,
        4 => I32,
        _ => I64,
    };
    let Byte { base, whole, offset, .. } = bytes[0];
    let block = function.layout.inst_block(bytes[0].inst).expect("it is in a block");
    let last = function.layout.block_insts(block).rfind(|inst| bytes.iter().any(|byte| byte.inst == *inst));
    let last = last.expect("they are in the block");
    let flags = function.dfg.insts[last].memflags_data(&function.dfg).expect("a store has flags");
    let location = function.srcloc(last);
    let mut cursor = FuncCursor::new(function).at_inst(last);
    cursor.set_srcloc(location);
    let from = cursor.func.dfg.value_type(whole);
    if from.bits() < ty.bits() {
        return;
    }
    let mut value = if from == ty { whole } else { cursor.ins().ireduce(ty, whole) };
    if swapped {
        value = cursor.ins().bswap(value);
    }
    cursor.ins().store(flags, value, base, offset);
    bytes.iter().for_each(|byte| {
        function.layout.remove_inst(byte.inst);
    });
}
