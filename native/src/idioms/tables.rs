// SPDX-License-Identifier: GPL-2.0-or-later
//! Ladders of comparisons of one value with numbers, which only choose a number: a table, a bit of each entry in a word.
//!
//! Where 64 values in a row are all that is chosen otherwise than the rest, bit b of all entries is one word of 64 bits, and a shift
//! by the value brings out the one that counts. So no jump is left that has to be foreseen.

use std::collections::BTreeSet;

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, DataFlowGraph, Function, InstBuilder, InstructionData, Opcode, Type, Value,
};

use super::{constant, maker};
use crate::planted::Planted;

/// The fewest jumps that a table is worth.
const FEWEST: usize = 4;

/// The most bits in which entries may differ.
const BITS: u32 = 6;

/// The most jumps of a ladder.
const MOST: usize = 128;

/// How many values a table has.
const VALUES: u64 = 64;

/// Replaces ladders by tables.
pub(super) fn tables(function: &mut Function, planted: Option<Planted>) {
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for block in blocks {
        if function.layout.is_block_inserted(block)
            && let Some(table) = Ladder::find(function, block).and_then(|ladder| ladder.table(function))
        {
            table.replace(function, block, planted);
        }
    }
}

/// A comparison of the value with a number, and where it leads.
#[derive(Clone, Copy)]
struct Rung {
    cond: IntCC,
    number: u64,
    ways: [BlockCall; 2],
}

/// A ladder that starts with the jump of a block.
struct Ladder {
    value: Value,
    ty: Type,
    first: Rung,
}

/// What a ladder does: which block it leads to, with which arguments, and what is chosen for one of them.
struct Table {
    value: Value,
    ty: Type,
    to: Block,
    arguments: Vec<Value>,
    /// The argument that is chosen.
    place: usize,
    chosen: Type,
    /// The value of the first entry.
    base: u64,
    entries: Vec<u64>,
    /// What is chosen for every other value.
    rest: u64,
}

/// Where a value leads to.
#[derive(Clone, PartialEq, Eq)]
struct End {
    to: Block,
    arguments: Vec<Value>,
}

fn mask(ty: Type) -> u64 {
    u64::MAX >> (64 - ty.bits())
}

/// The number that a value is, written out or extended.
fn number(dfg: &DataFlowGraph, value: Value) -> Option<u64> {
    match dfg.insts[maker(dfg, value)?] {
        InstructionData::Unary { opcode: Opcode::Uextend, arg } => {
            Some(constant(dfg, arg)? & mask(dfg.value_type(arg)))
        }
        _ => constant(dfg, value),
    }
}

/// The comparison at the end of a block.
fn rung(function: &Function, block: Block) -> Option<(Value, Rung)> {
    let dfg = &function.dfg;
    let InstructionData::Brif { arg, blocks: ways, .. } = dfg.insts[function.layout.last_inst(block)?] else {
        return None;
    };
    match dfg.insts[maker(dfg, arg)?] {
        InstructionData::IntCompare { cond, args: [left, right], .. } => {
            let left = dfg.resolve_aliases(left);
            let number = constant(dfg, right)? & mask(dfg.value_type(left));
            Some((left, Rung { cond, number, ways }))
        }
        _ => None,
    }
}

fn holds(cond: IntCC, ty: Type, left: u64, right: u64) -> bool {
    let signed = |value: u64| ((value << (64 - ty.bits())) as i64) >> (64 - ty.bits());
    let (s, t) = (signed(left), signed(right));
    match cond {
        IntCC::Equal => left == right,
        IntCC::NotEqual => left != right,
        IntCC::UnsignedLessThan => left < right,
        IntCC::UnsignedLessThanOrEqual => left <= right,
        IntCC::UnsignedGreaterThan => left > right,
        IntCC::UnsignedGreaterThanOrEqual => left >= right,
        IntCC::SignedLessThan => s < t,
        IntCC::SignedLessThanOrEqual => s <= t,
        IntCC::SignedGreaterThan => s > t,
        IntCC::SignedGreaterThanOrEqual => s >= t,
    }
}

/// Whether a block has no parameters and does nothing but compare numbers.
fn is_idle(function: &Function, block: Block) -> bool {
    let last = function.layout.last_inst(block);
    let mut insts = function.layout.block_insts(block).filter(|inst| Some(*inst) != last);
    function.dfg.block_params(block).is_empty()
        && insts.all(|inst| {
            let opcode = function.dfg.insts[inst].opcode();
            matches!(opcode, Opcode::Iconst | Opcode::Icmp | Opcode::Ireduce | Opcode::Uextend)
        })
}

impl Ladder {
    fn find(function: &Function, block: Block) -> Option<Self> {
        let (value, first) = rung(function, block)?;
        let ty = function.dfg.value_type(value);
        matches!(ty, I32 | I64).then_some(Self { value, ty, first })
    }

    /// Where a number leads to; the numbers that it was compared with are collected.
    fn follow(
        &self,
        function: &Function,
        value: u64,
        compared: &mut BTreeSet<u64>,
        blocks: &mut BTreeSet<Block>,
    ) -> Option<End> {
        let pool = &function.dfg.value_lists;
        let mut rung = self.first;
        for _ in 0..MOST {
            compared.insert(rung.number);
            let way = rung.ways[usize::from(!holds(rung.cond, self.ty, value, rung.number))];
            let block = way.block(pool);
            if way.len(pool) != 0 || !is_idle(function, block) {
                return end(function, &way);
            }
            match function.dfg.insts[function.layout.last_inst(block)?] {
                InstructionData::Jump { destination, .. } => {
                    blocks.insert(block);
                    return end(function, &destination);
                }
                _ => match self::rung(function, block) {
                    Some((value, next)) if value == self.value => {
                        blocks.insert(block);
                        rung = next;
                    }
                    _ => return end(function, &way),
                },
            }
        }
        None
    }

    /// The table that it is.
    fn table(&self, function: &Function) -> Option<Table> {
        let (mut compared, mut blocks) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![self.first.number];
        // What is chosen can change at numbers that are compared with, behind them, and where the sign changes.
        let mut ends: Vec<(u64, End)> = Vec::new();
        let mut seen = BTreeSet::from([0, 1 << (self.ty.bits() - 1)]);
        open.extend(&seen);
        while let Some(value) = open.pop() {
            if seen.len() > 4 * MOST {
                return None;
            }
            let mut met = BTreeSet::new();
            ends.push((value, self.follow(function, value, &mut met, &mut blocks)?));
            for number in met.difference(&compared).copied().collect::<Vec<_>>() {
                for next in [number, number.wrapping_add(1) & mask(self.ty)] {
                    if seen.insert(next) && next != self.first.number {
                        open.push(next);
                    }
                }
            }
            compared.extend(met);
        }
        if compared.len() < FEWEST {
            return None;
        }
        ends.sort_by_key(|end| end.0);
        ends.dedup_by_key(|end| end.0);
        let table = self.entries(function, &ends)?;
        is_for_itself(function, &blocks, &table).then_some(table)
    }

    /// The table of what is chosen from each number on.
    fn entries(&self, function: &Function, ends: &[(u64, End)]) -> Option<Table> {
        let dfg = &function.dfg;
        let (_, one) = ends.first()?;
        let mut places = (0..one.arguments.len()).filter(|place| {
            ends.iter().any(|(_, end)| end.arguments.get(*place) != one.arguments.get(*place))
        });
        let (place, None) = (places.next()?, places.next()) else { return None };
        let mut numbers = Vec::with_capacity(ends.len());
        for (from, end) in ends {
            if end.to != one.to {
                return None;
            }
            numbers.push((*from, number(dfg, end.arguments[place])?));
        }
        // The last one holds up to the greatest number, and below the first there is none.
        let rest = numbers.last()?.1;
        let base = numbers.iter().find(|(_, number)| *number != rest)?.0;
        let behind = numbers.iter().rposition(|(_, number)| *number != rest)? + 1;
        let count = numbers.get(behind)?.0 - base;
        if count > VALUES {
            return None;
        }
        let chosen_at = |value: u64| {
            let at = numbers.partition_point(|(from, _)| *from <= value);
            numbers[at - 1].1
        };
        let chosen = dfg.value_type(one.arguments[place]);
        let entries: Vec<u64> = (base..base + count).map(|value| chosen_at(value) & mask(chosen)).collect();
        let rest = rest & mask(chosen);
        let bits = entries.iter().fold(rest, |bits, entry| bits | entry);
        (bits >> BITS == 0).then(|| Table {
            value: self.value,
            ty: self.ty,
            to: one.to,
            arguments: one.arguments.clone(),
            place,
            chosen,
            base,
            entries,
            rest,
        })
    }
}

/// Whether what the blocks of a ladder make is used in them alone, what is chosen apart.
fn is_for_itself(function: &Function, blocks: &BTreeSet<Block>, table: &Table) -> bool {
    let dfg = &function.dfg;
    let is_outside = |value: Value| {
        let made = maker(dfg, value).and_then(|inst| function.layout.inst_block(inst));
        made.is_none_or(|block| !blocks.contains(&block))
    };
    let mut arguments = (0..).zip(&table.arguments).filter(|(place, _)| *place != table.place);
    let others = function.layout.blocks().filter(|block| !blocks.contains(block));
    let mut insts = others.flat_map(|block| function.layout.block_insts(block));
    arguments.all(|(_, value)| is_outside(*value)) && insts.all(|inst| dfg.inst_values(inst).all(is_outside))
}

fn end(function: &Function, call: &BlockCall) -> Option<End> {
    let pool = &function.dfg.value_lists;
    let arguments = call.args(pool).map(|argument| Some(function.dfg.resolve_aliases(argument.as_value()?)));
    Some(End { to: call.block(pool), arguments: arguments.collect::<Option<_>>()? })
}

impl Table {
    /// Puts it in place of the ladder that starts at the end of `block`.
    fn replace(mut self, function: &mut Function, block: Block, planted: Option<Planted>) {
        let last = function.layout.last_inst(block).expect("it ends with a jump");
        let location = function.srcloc(last);
        let mut cursor = FuncCursor::new(function).at_inst(last);
        cursor.set_srcloc(location);
        let base = self.base + u64::from(planted == Some(Planted::TableEntry));
        let base = cursor.ins().iconst(self.ty, base as i64);
        let index = cursor.ins().isub(self.value, base);
        let count = cursor.ins().iconst(self.ty, self.entries.len() as i64);
        let is_inside = cursor.ins().icmp(IntCC::UnsignedLessThan, index, count);
        let zero = cursor.ins().iconst(I64, 0);
        let mut sum = zero;
        for bit in 0..BITS {
            let ones = (0..).zip(&self.entries).filter(|(_, entry)| **entry >> bit & 1 != 0);
            let word = ones.fold(0u64, |word, (at, _)| word | 1 << at);
            if word == 0 {
                continue;
            }
            let word = cursor.ins().iconst(I64, word as i64);
            let shifted = cursor.ins().ushr(word, index);
            let one = cursor.ins().band_imm_u(shifted, 1);
            let placed = if bit == 0 { one } else { cursor.ins().ishl_imm_u(one, i64::from(bit)) };
            sum = if sum == zero { placed } else { cursor.ins().bor(sum, placed) };
        }
        let found = match self.chosen.bits() {
            64 => sum,
            _ => cursor.ins().ireduce(self.chosen, sum),
        };
        let rest = cursor.ins().iconst(self.chosen, self.rest as i64);
        self.arguments[self.place] = cursor.ins().select(is_inside, found, rest);
        let arguments: Vec<BlockArg> = self.arguments.into_iter().map(BlockArg::Value).collect();
        cursor.ins().jump(self.to, &arguments);
        function.layout.remove_inst(last);
        remove_unreached(function);
    }
}

/// Removes the blocks that nothing leads to any more.
fn remove_unreached(function: &mut Function) {
    let mut reached = BTreeSet::new();
    let mut open: Vec<Block> = function.layout.entry_block().into_iter().collect();
    while let Some(block) = open.pop() {
        if !reached.insert(block) {
            continue;
        }
        let last = function.layout.last_inst(block).expect("a block ends with a jump");
        let dfg = &function.dfg;
        let calls = dfg.insts[last].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        open.extend(calls.iter().map(|call| call.block(&dfg.value_lists)));
    }
    let blocks: Vec<Block> = function.layout.blocks().filter(|block| !reached.contains(block)).collect();
    for block in blocks {
        while let Some(inst) = function.layout.first_inst(block) {
            function.layout.remove_inst(inst);
        }
        function.layout.remove_block(block);
    }
}
