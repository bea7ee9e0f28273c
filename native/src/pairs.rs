// SPDX-License-Identifier: GPL-2.0-or-later
//! After the back end's own optimisation: two selections by comparisons of the same values, as of the lower and the higher one, stand
//! side by side.
//!
//! The back end puts each where its result is first used. In between, the values that are compared are alive beside the first
//! result, and where many are exchanged they no longer fit into registers.

use std::collections::HashMap;

use cranelift_codegen::ir::{Block, Function, Inst, InstructionData, Opcode, Value, ValueDef};

/// Moves the later one up to the earlier one.
pub(crate) fn join_selections(function: &mut Function) {
    let blocks: Vec<Block> = function.layout.blocks().collect();
    for block in blocks {
        let insts: Vec<Inst> = function.layout.block_insts(block).collect();
        let mut order: HashMap<Inst, usize> = insts.iter().copied().zip(0..).collect();
        let mut first: HashMap<[Value; 2], Inst> = HashMap::new();
        for inst in insts {
            let Some((condition, compared)) = selection(function, inst) else { continue };
            let Some(&earlier) = first.get(&compared) else {
                first.insert(compared, inst);
                continue;
            };
            let place = order[&earlier];
            let moves_comparison = order.get(&condition).is_some_and(|at| *at > place);
            let is_there = |inst: Inst, value: Value| match function.dfg.value_def(value) {
                ValueDef::Result(made, _) if made == condition && inst != condition => true,
                ValueDef::Result(made, _) => order.get(&made).is_none_or(|at| *at <= place),
                _ => true,
            };
            let moved = [moves_comparison.then_some(condition), Some(inst)];
            let all_there = moved
                .iter()
                .flatten()
                .all(|inst| function.dfg.inst_values(*inst).all(|value| is_there(*inst, value)));
            if !all_there {
                continue;
            }
            for inst in moved.into_iter().flatten().rev() {
                function.layout.remove_inst(inst);
                let next = function.layout.next_inst(earlier).expect("a block ends with a jump");
                function.layout.insert_inst(inst, next);
                order.insert(inst, place);
            }
            first.insert(compared, inst);
        }
    }
}

/// A selection by a comparison: the comparison, and what it compares in ascending order.
fn selection(function: &Function, inst: Inst) -> Option<(Inst, [Value; 2])> {
    let dfg = &function.dfg;
    let InstructionData::Ternary { opcode: Opcode::Select, args: [condition, ..] } = dfg.insts[inst] else {
        return None;
    };
    let comparison = dfg.value_def(condition).inst()?;
    match dfg.insts[comparison] {
        InstructionData::IntCompare { args: [left, right], .. } => {
            Some((comparison, if left < right { [left, right] } else { [right, left] }))
        }
        _ => None,
    }
}
