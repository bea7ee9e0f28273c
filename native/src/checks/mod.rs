// SPDX-License-Identifier: GPL-2.0-or-later
//! Comparisons that one before has decided: of the same two values, and of values that differ from those by constants, as a check
//! that a packet has some bytes is by a check that it has more.
//!
//! Where a jump leads to a block that no other does, its condition holds there and in all that this block dominates. The values it
//! compared are still those: what dominates the jump runs anew only if the jump does. Of the same two values it leaves some of less,
//! equal and greater. Distances say more: `a + 54 <= b` shows `a + 34 <= b` if neither sum wraps around, which is asked of the
//! numbers that the bases can be. The bounds of a packet are numbers of 32 bits, as the context holds them, so that sums
//! with constants stay far below 64; a number of which nothing is known may be near the end, and is compared as a whole.

mod numbers;

use std::collections::{HashMap, HashSet};

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::dominator_tree::DominatorTree;
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::condcodes::{CondCode, IntCC};
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Function, Inst, InstBuilder, InstructionData, Value,
};

use crate::planted::Planted;
use crate::twins;
use numbers::{Form, Numbers};

/// How two numbers may compare.
const LESS: u8 = 1;
const EQUAL: u8 = 2;
const GREATER: u8 = 4;
const ANY: u8 = LESS | EQUAL | GREATER;

/// How many bytes more than it did a check has shown, where that mistake is made.
const TOO_MANY: i128 = 16;

/// Makes jumps that go one way of such comparisons.
pub(crate) fn fold(function: &mut Function, planted: Option<Planted>) {
    function.dfg.resolve_all_aliases();
    let cfg = ControlFlowGraph::with_function(function);
    let tree = DominatorTree::with_function(function, &cfg);
    let Some(entry) = function.layout.entry_block() else { return };
    let blocks: Vec<Block> = tree.cfg_rpo().copied().collect();
    let numbers = Numbers::new(function, &cfg, &blocks);
    let mut walk = Walk { numbers, planted, known: Known::default() };
    let mut decided: Vec<(Inst, BlockCall)> = Vec::new();
    let mut open = vec![Step::Enter(entry)];
    while let Some(step) = open.pop() {
        let block = match step {
            Step::Enter(block) => block,
            Step::Leave(mark) => {
                walk.known.forget(mark);
                continue;
            }
        };
        open.push(Step::Leave(walk.known.changes.len()));
        if let Some((test, holds)) = arrival(function, &cfg, block, &mut walk.numbers) {
            walk.learn(test, holds);
        }
        if let Some((inst, condition, ways)) = branch(function, block)
            && let Some(test) = test(function, condition, &mut walk.numbers)
            && let Some(holds) = walk.outcome(test)
        {
            decided.push((inst, ways[usize::from(!holds)]));
        }
        open.extend(tree.children(block).map(Step::Enter));
    }
    if decided.is_empty() {
        return;
    }
    for (inst, way) in decided {
        go(function, inst, way);
    }
    remove_unreached(function);
    twins::join_twins(function, None);
}

enum Step {
    Enter(Block),
    /// Back from a block: as many changes were made before it.
    Leave(usize),
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug)]
struct Test {
    cond: IntCC,
    left: Form,
    right: Form,
}

/// The conditional jump that a block ends with, its condition, and where it goes when that holds and when not.
fn branch(function: &Function, block: Block) -> Option<(Inst, Value, [BlockCall; 2])> {
    let last = function.layout.last_inst(block)?;
    match function.dfg.insts[last] {
        InstructionData::Brif { arg, blocks, .. } => Some((last, arg, blocks)),
        _ => None,
    }
}

/// What a condition compares: a number as such is compared with zero.
fn test(function: &Function, condition: Value, numbers: &mut Numbers) -> Option<Test> {
    let made = function.dfg.value_def(function.dfg.resolve_aliases(condition)).inst();
    if let Some(inst) = made
        && let InstructionData::IntCompare { cond, args: [left, right], .. } = function.dfg.insts[inst]
    {
        return Some(Test {
            cond,
            left: numbers.form(function, left)?,
            right: numbers.form(function, right)?,
        });
    }
    let right = numbers.zero(function, condition);
    Some(Test { cond: IntCC::NotEqual, left: numbers.form(function, condition)?, right })
}

/// What was compared on the only way to a block, and whether it held.
fn arrival(
    function: &Function,
    cfg: &ControlFlowGraph,
    block: Block,
    numbers: &mut Numbers,
) -> Option<(Test, bool)> {
    let mut before = cfg.pred_iter(block);
    let from = before.next()?;
    if before.next().is_some() {
        return None;
    }
    let (_, condition, ways) = branch(function, from.block)?;
    let leads = ways.map(|way| way.block(&function.dfg.value_lists) == block);
    (leads[0] != leads[1]).then_some((test(function, condition, numbers)?, leads[0]))
}

/// Which of the three a condition allows, and whether it is one of signed numbers; `None` where that is all the same.
fn allowed(cond: IntCC) -> (u8, Option<bool>) {
    match cond {
        IntCC::Equal => (EQUAL, None),
        IntCC::NotEqual => (LESS | GREATER, None),
        IntCC::UnsignedLessThan => (LESS, Some(false)),
        IntCC::UnsignedLessThanOrEqual => (LESS | EQUAL, Some(false)),
        IntCC::UnsignedGreaterThan => (GREATER, Some(false)),
        IntCC::UnsignedGreaterThanOrEqual => (GREATER | EQUAL, Some(false)),
        IntCC::SignedLessThan => (LESS, Some(true)),
        IntCC::SignedLessThanOrEqual => (LESS | EQUAL, Some(true)),
        IntCC::SignedGreaterThan => (GREATER, Some(true)),
        IntCC::SignedGreaterThanOrEqual => (GREATER | EQUAL, Some(true)),
    }
}

/// The same comparison of exchanged operands.
fn mirrored(allowed: u8) -> u8 {
    allowed & EQUAL
        | if allowed & LESS != 0 { GREATER } else { 0 }
        | if allowed & GREATER != 0 { LESS } else { 0 }
}

/// Two forms, the lesser first, and whether they are compared as signed numbers.
type Pair = (Form, Form, bool);

/// What is known where the walk is.
#[derive(Default)]
struct Known {
    /// How pairs compare.
    orders: HashMap<Pair, u8>,
    /// For two bases, the lesser first: the least and the greatest that the first less the second may be.
    distances: HashMap<(u32, u32), (i128, i128)>,
    /// What was known before it was changed.
    changes: Vec<Change>,
}

enum Change {
    Order(Pair, Option<u8>),
    Distance((u32, u32), Option<(i128, i128)>),
}

impl Known {
    /// Takes back all but so many changes.
    fn forget(&mut self, mark: usize) {
        fn put<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        for change in self.changes.drain(mark..).rev() {
            match change {
                Change::Order(pair, before) => put(&mut self.orders, pair, before),
                Change::Distance(bases, before) => put(&mut self.distances, bases, before),
            }
        }
    }

    fn order(&self, pair: Pair) -> u8 {
        self.orders.get(&pair).copied().unwrap_or(ANY)
    }

    fn restrict(&mut self, pair: Pair, allowed: u8) {
        let left = self.order(pair) & allowed;
        self.changes.push(Change::Order(pair, self.orders.insert(pair, left)));
    }
}

/// A comparison of two sums of natural numbers, the lesser base first: the first base less the second is compared with `distance`.
struct Distance {
    bases: (u32, u32),
    distance: i128,
    is_mirrored: bool,
}

struct Walk {
    numbers: Numbers,
    planted: Option<Planted>,
    known: Known,
}

impl Walk {
    fn distance(&self, left: Form, right: Form) -> Option<Distance> {
        let may_wrap = self.planted == Some(Planted::CheckThatWraps);
        let (a, i) = self.numbers.natural(left, may_wrap)?;
        let (b, j) = self.numbers.natural(right, may_wrap)?;
        let distance = i128::from(j) - i128::from(i);
        Some(match a <= b {
            true => Distance { bases: (a, b), distance, is_mirrored: false },
            false => Distance { bases: (b, a), distance: -distance, is_mirrored: true },
        })
    }

    /// The least and the greatest that the difference of two bases may be.
    fn between(&self, bases: (u32, u32)) -> (i128, i128) {
        let highs = [bases.0, bases.1].map(|base| i128::from(self.numbers.high(base)));
        match self.known.distances.get(&bases) {
            Some(known) => *known,
            None if bases.0 == bases.1 => (0, 0),
            None => (-highs[1], highs[0]),
        }
    }

    /// Which of the three two values may be.
    fn possible(&self, left: Form, right: Form, signed: bool) -> u8 {
        let ordered = match left <= right {
            true => self.known.order((left, right, signed)),
            false => mirrored(self.known.order((right, left, signed))),
        };
        let ordered = if left == right { EQUAL } else { ordered };
        match self.distance(left, right).filter(|_| !signed) {
            None => ordered,
            Some(Distance { bases, distance, is_mirrored }) => {
                let possible = compared(self.between(bases), distance);
                ordered & if is_mirrored { mirrored(possible) } else { possible }
            }
        }
    }

    /// Whether a comparison surely holds or surely does not.
    fn outcome(&self, Test { cond, left, right }: Test) -> Option<bool> {
        let (allowed, signed) = allowed(cond);
        let possible = match signed {
            Some(signed) => self.possible(left, right, signed),
            None => {
                let both = [false, true].map(|signed| self.possible(left, right, signed));
                let differ = both.iter().all(|possible| possible & (LESS | GREATER) != 0);
                both[0] & both[1] & EQUAL | if differ { LESS | GREATER } else { 0 }
            }
        };
        // Where nothing is possible nothing leads.
        match (possible & allowed, possible & !allowed) {
            (0, 0) => None,
            (_, 0) => Some(true),
            (0, _) => Some(false),
            _ => None,
        }
    }

    /// A comparison holds, or does not.
    fn learn(&mut self, Test { cond, left, right }: Test, holds: bool) {
        let (allowed, signed) = allowed(if holds { cond } else { cond.complement() });
        for kind in [false, true] {
            let allowed = match signed {
                Some(signed) if signed != kind => match allowed & EQUAL {
                    0 => LESS | GREATER,
                    _ => ANY,
                },
                _ => allowed,
            };
            match left <= right {
                true => self.known.restrict((left, right, kind), allowed),
                false => self.known.restrict((right, left, kind), mirrored(allowed)),
            }
        }
        if signed == Some(true) {
            return;
        }
        let Some(Distance { bases, distance, is_mirrored }) = self.distance(left, right) else { return };
        let allowed = if is_mirrored { mirrored(allowed) } else { allowed };
        let before = self.between(bases);
        let (mut low, mut high) = narrowed(before, distance, allowed);
        if self.planted == Some(Planted::CheckOfOtherDistance) && bases.0 != bases.1 {
            low += if low == before.0 { 0 } else { TOO_MANY };
            high -= if high == before.1 { 0 } else { TOO_MANY };
        }
        if low <= high {
            let change = Change::Distance(bases, self.known.distances.insert(bases, (low, high)));
            self.known.changes.push(change);
        }
    }
}

/// How numbers between two compare with one.
fn compared((low, high): (i128, i128), with: i128) -> u8 {
    let mut possible = 0;
    for (is, what) in [(low < with, LESS), (low <= with && with <= high, EQUAL), (high > with, GREATER)] {
        possible |= if is { what } else { 0 };
    }
    possible
}

/// Numbers between two of which only some that compare so with one are left.
fn narrowed((low, high): (i128, i128), with: i128, allowed: u8) -> (i128, i128) {
    let low = match (allowed & LESS, allowed & EQUAL) {
        (0, 0) => low.max(with + 1),
        (0, _) => low.max(with),
        (_, 0) if low == with => with + 1,
        _ => low,
    };
    let high = match (allowed & GREATER, allowed & EQUAL) {
        (0, 0) => high.min(with - 1),
        (0, _) => high.min(with),
        (_, 0) if high == with => with - 1,
        _ => high,
    };
    (low, high)
}

/// Goes one way in place of a conditional jump.
fn go(function: &mut Function, inst: Inst, way: BlockCall) {
    let arguments: Vec<BlockArg> = way.args(&function.dfg.value_lists).collect();
    let target = way.block(&function.dfg.value_lists);
    let location = function.srcloc(inst);
    let mut cursor = FuncCursor::new(function).at_inst(inst);
    cursor.set_srcloc(location);
    cursor.ins().jump(target, &arguments);
    function.layout.remove_inst(inst);
}

/// Removes blocks that nothing leads to.
fn remove_unreached(function: &mut Function) {
    let mut reached: HashSet<Block> = function.layout.entry_block().into_iter().collect();
    let mut open: Vec<Block> = reached.iter().copied().collect();
    while let Some(block) = open.pop() {
        let dfg = &function.dfg;
        let Some(last) = function.layout.last_inst(block) else { continue };
        for call in dfg.insts[last].branch_destination(&dfg.jump_tables, &dfg.exception_tables) {
            let target = call.block(&dfg.value_lists);
            if reached.insert(target) {
                open.push(target);
            }
        }
    }
    let gone: Vec<Block> = function.layout.blocks().filter(|block| !reached.contains(block)).collect();
    for block in gone {
        while let Some(inst) = function.layout.first_inst(block) {
            function.layout.remove_inst(inst);
        }
        function.layout.remove_block(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(one: i128, other: i128) -> u8 {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => LESS,
            std::cmp::Ordering::Equal => EQUAL,
            std::cmp::Ordering::Greater => GREATER,
        }
    }

    #[test]
    fn what_is_left_between_two_numbers_is_what_may_be() {
        for (low, high, with) in
            (-3..4).flat_map(|low| (low..4).flat_map(move |high| (-4..5).map(move |with| (low, high, with))))
        {
            let all = (low..=high).fold(0, |all, number| all | relation(number, with));
            assert_eq!(compared((low, high), with), all, "{low} {high} {with}");
            for allowed in 0..=ANY {
                let left: Vec<i128> =
                    (low..=high).filter(|number| relation(*number, with) & allowed != 0).collect();
                let found = narrowed((low, high), with, allowed);
                match (left.first(), left.last()) {
                    (Some(least), Some(most)) => {
                        assert_eq!(found, (*least, *most), "{low} {high} {with} {allowed}")
                    }
                    _ => assert!(found.0 > found.1, "{low} {high} {with} {allowed}"),
                }
            }
        }
    }

    #[test]
    fn exchanged_operands_compare_the_other_way() {
        for (one, other) in [(1, 2), (2, 2), (2, 1)] {
            assert_eq!(mirrored(relation(one, other)), relation(other, one));
        }
        assert_eq!(mirrored(LESS | EQUAL), GREATER | EQUAL);
    }
}
