// SPDX-License-Identifier: GPL-2.0-or-later
//! Jumps around next to nothing: both ways are computed, and the condition selects.

use std::collections::HashMap;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, Opcode, Value,
};

use crate::planted::Planted;
use crate::twins;

/// How many instructions both ways may have together.
const INSTRUCTIONS: usize = 3;

/// How many values may differ.
const VALUES: usize = 2;

/// How often values are followed through what was a jump, so that the next one is seen to differ in less.
const ROUNDS: usize = 8;

/// One way from a jump to where both ways meet.
struct Way {
    /// The block on the way, if there is one.
    through: Option<Block>,
    /// Where it leads.
    to: Block,
    arguments: Vec<Value>,
}

/// Replaces such jumps.
pub(super) fn selects(function: &mut Function, planted: Option<Planted>) {
    let mut arrivals = arrivals(function);
    let mut changes = true;
    let mut rounds = 0;
    while changes {
        changes = false;
        let blocks: Vec<Block> = function.layout.blocks().collect();
        // From the end, so that an inner one is gone before an outer one is looked at.
        for block in blocks.into_iter().rev() {
            if !arrivals.contains_key(&block) {
                continue;
            }
            let Some(ways) = ways(function, &arrivals, block) else { continue };
            ways.iter().filter_map(|way| way.through).for_each(|through| {
                arrivals.remove(&through);
            });
            *arrivals.get_mut(&ways[0].to).expect("the ways lead there") -= 1;
            replace(function, block, ways, planted);
            changes = true;
        }
        // What was selected goes on through blocks that one jump leads to.
        if changes && rounds < ROUNDS {
            twins::join_twins(function, None);
            rounds += 1;
        }
    }
}

/// How many jumps lead to each block.
fn arrivals(function: &Function) -> HashMap<Block, usize> {
    let entry = function.layout.entry_block();
    let mut arrivals: HashMap<Block, usize> = entry.into_iter().map(|block| (block, 1)).collect();
    for block in function.layout.blocks() {
        let last = function.layout.last_inst(block).expect("a block ends with something");
        for destination in destinations(function, last) {
            *arrivals.entry(destination.block(&function.dfg.value_lists)).or_default() += 1;
        }
    }
    arrivals
}

fn destinations(function: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &function.dfg;
    dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
}

/// The two ways from a block, where they meet at once and little is done on them.
fn ways(function: &Function, arrivals: &HashMap<Block, usize>, block: Block) -> Option<[Way; 2]> {
    let last = function.layout.last_inst(block)?;
    let InstructionData::Brif { blocks, .. } = function.dfg.insts[last] else { return None };
    let [one, other] = blocks.map(|call| (direct(function, &call), through(function, arrivals, &call)));
    let ways = match (one, other) {
        ((_, Some(one)), (_, Some(other))) if one.to == other.to => [one, other],
        ((_, Some(one)), (other, _)) if one.to == other.to => [one, other],
        ((one, _), (_, Some(other))) if one.to == other.to => [one, other],
        _ => return None,
    };
    let places = 0..ways[0].arguments.len();
    let differing = places.filter(|place| {
        ways[0].arguments[*place] != ways[1].arguments[*place] && half_of(function, &ways, *place).is_none()
    });
    let instructions: usize = ways.iter().filter_map(|way| work(function, way.through?)).sum();
    (differing.count() <= VALUES && instructions <= INSTRUCTIONS).then_some(ways)
}

fn direct(function: &Function, call: &BlockCall) -> Way {
    let pool = &function.dfg.value_lists;
    let arguments = call.args(pool).filter_map(|argument| argument.as_value());
    let arguments = arguments.map(|value| function.dfg.resolve_aliases(value)).collect();
    Way { through: None, to: call.block(pool), arguments }
}

/// The way through a block that nothing else leads to and that does little.
fn through(function: &Function, arrivals: &HashMap<Block, usize>, call: &BlockCall) -> Option<Way> {
    let block = call.block(&function.dfg.value_lists);
    if arrivals.get(&block) != Some(&1) || !function.dfg.block_params(block).is_empty() {
        return None;
    }
    work(function, block)?;
    let InstructionData::Jump { destination, .. } = function.dfg.insts[function.layout.last_inst(block)?]
    else {
        return None;
    };
    let way = direct(function, &destination);
    (way.to != block).then_some(Way { through: Some(block), ..way })
}

/// The place of the value of which a value is the lower part on both ways.
fn half_of(function: &Function, ways: &[Way; 2], place: usize) -> Option<usize> {
    let dfg = &function.dfg;
    let whole = |way: &Way| match dfg.insts[dfg.value_def(way.arguments[place]).inst()?] {
        InstructionData::Unary { opcode: Opcode::Ireduce, arg } => Some(dfg.resolve_aliases(arg)),
        _ => None,
    };
    let wholes = [whole(&ways[0])?, whole(&ways[1])?];
    (wholes[0] != wholes[1] && dfg.value_type(wholes[0]) == I64).then_some(())?;
    (0..ways[0].arguments.len())
        .find(|place| [ways[0].arguments[*place], ways[1].arguments[*place]] == wholes)
}

/// How many instructions a block has, constants and conversions apart, if each may run where it need not.
fn work(function: &Function, block: Block) -> Option<usize> {
    let last = function.layout.last_inst(block)?;
    let mut count = 0;
    for inst in function.layout.block_insts(block).filter(|inst| *inst != last) {
        count += match function.dfg.insts[inst].opcode() {
            Opcode::Iconst | Opcode::Ireduce | Opcode::Uextend => 0,
            Opcode::Iadd | Opcode::Isub | Opcode::Band | Opcode::Bor | Opcode::Bxor | Opcode::Ineg => 1,
            Opcode::Ishl | Opcode::Ushr | Opcode::Sshr | Opcode::Sextend | Opcode::Icmp | Opcode::Select => 1,
            _ => return None,
        };
    }
    Some(count)
}

fn replace(function: &mut Function, block: Block, ways: [Way; 2], planted: Option<Planted>) {
    let last = function.layout.last_inst(block).expect("it ends with a jump");
    let InstructionData::Brif { arg: condition, .. } = function.dfg.insts[last] else {
        unreachable!("the ways are those of a conditional jump")
    };
    for through in ways.iter().filter_map(|way| way.through) {
        let end = function.layout.last_inst(through).expect("it ends with a jump");
        let insts: Vec<Inst> = function.layout.block_insts(through).filter(|inst| *inst != end).collect();
        for inst in insts {
            function.layout.remove_inst(inst);
            function.layout.insert_inst(inst, last);
        }
        function.layout.remove_inst(end);
        function.layout.remove_block(through);
    }
    let location = function.srcloc(last);
    let mut cursor = FuncCursor::new(function).at_inst(last);
    cursor.set_srcloc(location);
    let halves: Vec<Option<usize>> =
        (0..ways[0].arguments.len()).map(|place| half_of(cursor.func, &ways, place)).collect();
    let mut values = Vec::with_capacity(halves.len());
    for (place, half) in halves.iter().enumerate() {
        let [one, other] = [ways[0].arguments[place], ways[1].arguments[place]];
        values.push(match one == other || half.is_some() {
            true => one,
            false if planted == Some(Planted::SelectOrder) => cursor.ins().select(condition, other, one),
            false => cursor.ins().select(condition, one, other),
        });
    }
    for (place, half) in halves.into_iter().enumerate() {
        if let Some(whole) = half {
            let ty = cursor.func.dfg.value_type(values[place]);
            values[place] = cursor.ins().ireduce(ty, values[whole]);
        }
    }
    let arguments: Vec<BlockArg> = values.into_iter().map(BlockArg::Value).collect();
    cursor.ins().jump(ways[0].to, &arguments);
    function.layout.remove_inst(last);
}
