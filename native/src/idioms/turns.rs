// SPDX-License-Identifier: GPL-2.0-or-later
//! Loops that count bits: `x &= x - 1` or `x >>= 1` until nothing is left, with a count that goes up by one each turn.
//!
//! With b(x) the number of ones of x, or of its bits up to the highest one, a turn takes x to x' with b(x') = b(x) - 1, or 0 to 0, and
//! the last turn is that with x' = 0. So there are max(1, b(x)) turns. A second way out that asks for a bound of the count is never
//! taken if the count starts from 0 and is below the bound at all turns but the last: these see a count of at most the width less 2.

use std::collections::HashSet;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, Opcode, Value, ValueDef,
};

use super::{constant, maker};
use crate::planted::Planted;

/// The most instructions of a turn.
const LONGEST: usize = 16;

/// What a turn takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// The lowest one.
    One,
    /// The lowest bit.
    Bit,
}

/// A loop that counts bits.
struct Counting {
    /// The block that a turn starts with.
    head: Block,
    /// Where it goes on when no bit is left.
    exit: BlockCall,
    taken: Taken,
    /// The bits before a turn and behind it.
    bits: [Value; 2],
    /// The count before a turn and behind it.
    count: [Value; 2],
}

/// Replaces such loops.
pub(super) fn counting_loops(function: &mut Function, planted: Option<Planted>) {
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for head in blocks {
        if let Some(counting) = find(function, head) {
            replace(function, &counting, planted);
        }
    }
}

/// The two ways from a conditional jump at the end of a block: the condition and where it goes when it holds and when not.
fn branch(function: &Function, block: Block) -> Option<(Value, [BlockCall; 2])> {
    match function.dfg.insts[function.layout.last_inst(block)?] {
        InstructionData::Brif { arg, blocks, .. } => Some((function.dfg.resolve_aliases(arg), blocks)),
        _ => None,
    }
}

fn arguments(function: &Function, call: &BlockCall) -> Option<Vec<Value>> {
    let values = call.args(&function.dfg.value_lists).map(|argument| argument.as_value());
    values.map(|value| Some(function.dfg.resolve_aliases(value?))).collect()
}

/// The values that jumps from outside of the loop pass for a parameter of its first block; `None` where there is another jump back.
fn starts(function: &Function, head: Block, inside: &[Block], place: usize) -> Option<Vec<Value>> {
    let mut starts = Vec::new();
    let mut back = 0;
    for block in function.layout.blocks() {
        let inst = function.layout.last_inst(block)?;
        let dfg = &function.dfg;
        for call in dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables) {
            if call.block(&dfg.value_lists) != head {
                continue;
            }
            match inside.contains(&block) {
                true => back += 1,
                false => starts.push(*arguments(function, call)?.get(place)?),
            }
        }
    }
    (back == 1).then_some(starts)
}

fn find(function: &Function, head: Block) -> Option<Counting> {
    let pool = &function.dfg.value_lists;
    let (condition, ways) = branch(function, head)?;
    let (left, exits_when) = nothing_left(function, condition)?;
    let [exit, on] = if exits_when { ways } else { [ways[1], ways[0]] };
    let (inside, back, bound) = match on.block(pool) == head {
        true => (vec![head], on, None),
        false => {
            // Asks for the bound of the count.
            let second = on.block(pool);
            let (condition, ways) = branch(function, second)?;
            let goes_back = ways.iter().position(|way| way.block(pool) == head)?;
            let is_single = function.dfg.block_params(second).is_empty() && arrivals(function, second) == 1;
            (is_single && ways[1 - goes_back].block(pool) != head).then_some(())?;
            (vec![head, second], ways[goes_back], Some((condition, goes_back == 0)))
        }
    };
    if inside.contains(&exit.block(pool)) || !inside.iter().all(|block| is_idle(function, *block)) {
        return None;
    }
    let params = function.dfg.block_params(head);
    let next = arguments(function, &back)?;
    let place_of = |wanted: Value| next.iter().position(|value| *value == wanted);
    let bits = [*params.get(place_of(left)?)?, left];
    matches!(function.dfg.value_type(left), I32 | I64).then_some(())?;
    let taken = taken(function, bits)?;
    let ([(place, count)], true) = (&counts(function, params, &next, left)[..], params.len() == 2) else {
        return None;
    };
    let count = [*count, next[*place]];
    let starts = starts(function, head, &inside, *place)?;
    if let Some(bound) = bound {
        let from_zero = starts.iter().all(|start| constant(&function.dfg, *start) == Some(0));
        let width = function.dfg.value_type(left).bits();
        (from_zero && goes_on(function, bound, count, width - 2)).then_some(())?;
    }
    let counting = Counting { head, exit, taken, bits, count };
    counting.is_all(function, &inside).then_some(counting)
}

/// How many jumps lead to a block.
fn arrivals(function: &Function, wanted: Block) -> usize {
    let dfg = &function.dfg;
    let lasts = function.layout.blocks().filter_map(|block| function.layout.last_inst(block));
    let calls =
        lasts.flat_map(|last| dfg.insts[last].branch_destination(&dfg.jump_tables, &dfg.exception_tables));
    calls.filter(|call| call.block(&dfg.value_lists) == wanted).count()
}

/// The value of which a condition says whether it is zero, and whether the condition holds then.
fn nothing_left(function: &Function, condition: Value) -> Option<(Value, bool)> {
    let dfg = &function.dfg;
    match dfg.insts[maker(dfg, condition)?] {
        InstructionData::IntCompare { cond, args: [left, right], .. } if constant(dfg, right) == Some(0) => {
            match cond {
                IntCC::Equal => Some((dfg.resolve_aliases(left), true)),
                IntCC::NotEqual => Some((dfg.resolve_aliases(left), false)),
                _ => None,
            }
        }
        InstructionData::IntCompare { .. } => None,
        _ => Some((condition, false)),
    }
}

/// Whether a block is short and computes values alone, its jump apart.
fn is_idle(function: &Function, block: Block) -> bool {
    let last = function.layout.last_inst(block);
    let insts: Vec<Inst> = function.layout.block_insts(block).filter(|inst| Some(*inst) != last).collect();
    let is_pure = |inst: &Inst| {
        let opcode = function.dfg.insts[*inst].opcode();
        let touches = opcode.can_trap() || opcode.can_load() || opcode.can_store();
        !(touches || opcode.is_call() || opcode.other_side_effects())
            && function.dfg.inst_results(*inst).len() == 1
    };
    insts.len() <= LONGEST && insts.iter().all(is_pure)
}

fn taken(function: &Function, [before, behind]: [Value; 2]) -> Option<Taken> {
    let dfg = &function.dfg;
    let InstructionData::Binary { opcode, args } = dfg.insts[maker(dfg, behind)?] else { return None };
    let [left, right] = args.map(|arg| dfg.resolve_aliases(arg));
    let ones = u64::MAX >> (64 - dfg.value_type(before).bits());
    let is_less =
        |value: Value| step(function, value).is_some_and(|(of, by)| of == before && by & ones == ones);
    match opcode {
        Opcode::Band if left == before && is_less(right) || right == before && is_less(left) => {
            Some(Taken::One)
        }
        Opcode::Ushr if left == before && constant(dfg, right) == Some(1) => Some(Taken::Bit),
        _ => None,
    }
}

/// What a number is added to, and the number.
fn step(function: &Function, value: Value) -> Option<(Value, u64)> {
    let dfg = &function.dfg;
    match dfg.insts[maker(dfg, value)?] {
        InstructionData::Binary { opcode: Opcode::Iadd, args: [left, right] } => {
            Some((dfg.resolve_aliases(left), constant(dfg, right)?))
        }
        _ => None,
    }
}

/// The parameters that go up by one each turn, with their places.
fn counts(function: &Function, params: &[Value], next: &[Value], left: Value) -> Vec<(usize, Value)> {
    let numbered = params.iter().copied().enumerate();
    let is_count = |(place, param): &(usize, Value)| {
        next[*place] != left && step(function, next[*place]) == Some((*param, 1))
    };
    numbered.filter(is_count).collect()
}

/// Whether a condition about the count always leads back, as long as the count before a turn is not above `most`.
fn goes_on(
    function: &Function,
    (condition, wanted): (Value, bool),
    [before, behind]: [Value; 2],
    most: u32,
) -> bool {
    let dfg = &function.dfg;
    let Some(inst) = maker(dfg, condition) else { return false };
    let InstructionData::IntCompare { cond, args: [left, right], .. } = dfg.insts[inst] else { return false };
    let left = dfg.resolve_aliases(left);
    let (Some(number), true) = (constant(dfg, right), [before, behind].contains(&left)) else { return false };
    let sign = dfg.value_type(left).bits() - 1;
    let number = number & (u64::MAX >> (63 - sign));
    let low = u64::from(left == behind);
    (low..=u64::from(most) + low).all(|count| holds(cond, count, number, number >> sign != 0) == wanted)
}

/// Whether a comparison of a small number with any holds.
fn holds(cond: IntCC, count: u64, number: u64, is_negative: bool) -> bool {
    match cond {
        IntCC::Equal => count == number,
        IntCC::NotEqual => count != number,
        IntCC::UnsignedLessThan => count < number,
        IntCC::UnsignedLessThanOrEqual => count <= number,
        IntCC::UnsignedGreaterThan => count > number,
        IntCC::UnsignedGreaterThanOrEqual => count >= number,
        IntCC::SignedLessThan => !is_negative && count < number,
        IntCC::SignedLessThanOrEqual => !is_negative && count <= number,
        IntCC::SignedGreaterThan => is_negative || count > number,
        IntCC::SignedGreaterThanOrEqual => is_negative || count >= number,
    }
}

impl Counting {
    /// Whether nothing else of a turn is used outside of the loop.
    fn is_all(&self, function: &Function, inside: &[Block]) -> bool {
        let dfg = &function.dfg;
        let is_inside = |value: Value| {
            let block = match dfg.value_def(value) {
                ValueDef::Param(block, _) => Some(block),
                ValueDef::Result(inst, _) => function.layout.inst_block(inst),
                _ => None,
            };
            block.is_some_and(|block| inside.contains(&block))
        };
        let known: HashSet<Value> = [self.bits[1], self.count[1]].into();
        let is_known = |value: Value| !is_inside(value) || known.contains(&value);
        let Some(passed) = arguments(function, &self.exit) else { return false };
        let outside = function.layout.blocks().filter(|block| !inside.contains(block));
        let mut insts = outside.flat_map(|block| function.layout.block_insts(block));
        passed.into_iter().all(is_known)
            && insts.all(|inst| {
                let mut values = dfg.inst_values(inst).map(|value| dfg.resolve_aliases(value));
                values.all(is_known)
            })
    }
}

/// Does all turns at once.
fn replace(function: &mut Function, counting: &Counting, planted: Option<Planted>) {
    let [before, behind] = counting.bits;
    let [start, end] = counting.count;
    let (bits, count) = (function.dfg.value_type(before), function.dfg.value_type(start));
    let last = function.layout.last_inst(counting.head).expect("it ends with a jump");
    let location = function.srcloc(last);
    let exit = (counting.exit.block(&function.dfg.value_lists), arguments(function, &counting.exit));
    let first = function.layout.first_inst(counting.head).expect("it ends with a jump");
    let mut cursor = FuncCursor::new(function).at_inst(first);
    cursor.set_srcloc(location);
    let counted = match counting.taken {
        Taken::One => cursor.ins().popcnt(before),
        Taken::Bit => {
            let zeros = cursor.ins().clz(before);
            let width = cursor.ins().iconst(bits, i64::from(bits.bits()));
            cursor.ins().isub(width, zeros)
        }
    };
    // The first turn is one even if there is no bit.
    let least = cursor.ins().iconst(bits, i64::from(planted != Some(Planted::TurnsFromZero)));
    let turns = cursor.ins().select(before, counted, least);
    let turns = match (count.bits(), bits.bits()) {
        (wanted, had) if wanted < had => cursor.ins().ireduce(count, turns),
        (wanted, had) if wanted > had => cursor.ins().uextend(count, turns),
        _ => turns,
    };
    let sum = cursor.ins().iadd(start, turns);
    let none = cursor.ins().iconst(bits, 0);
    let arguments = exit.1.expect("they were looked at");
    let now = |value: Value| {
        if value == behind {
            none
        } else if value == end {
            sum
        } else {
            value
        }
    };
    let arguments: Vec<BlockArg> = arguments.into_iter().map(|value| BlockArg::Value(now(value))).collect();
    let mut cursor = FuncCursor::new(function).at_inst(last);
    cursor.set_srcloc(location);
    cursor.ins().jump(exit.0, &arguments);
    function.layout.remove_inst(last);
    for (old, new) in [(behind, none), (end, sum)] {
        let inst = function.dfg.value_def(old).unwrap_inst();
        function.dfg.clear_results(inst);
        function.dfg.change_to_alias(old, new);
        function.layout.remove_inst(inst);
    }
}
