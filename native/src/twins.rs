// SPDX-License-Identifier: GPL-2.0-or-later
//! Block parameters that always have the value of another: a register that is only passed on, and one that is copied, so that a loop
//! carries both.
//!
//! A parameter for which all jumps pass one value, or itself, is that value. Of the others, all parameters of a block that have one type start as one class. A class falls apart where a jump passes values of different
//! classes, until none does: what is left together is equal by induction over the jumps that were taken.

use std::collections::HashMap;

use cranelift_codegen::ir::{Block, BlockArg, BlockCall, Function, Inst, Type, Value};

use crate::planted::Planted;

/// A jump's arguments: the jump, which of its destinations, and the values, if they are no more than that.
struct Edge {
    inst: Inst,
    number: usize,
    arguments: Vec<BlockArg>,
}

/// Makes one of them.
pub(crate) fn join_twins(function: &mut Function, planted: Option<Planted>) {
    function.dfg.resolve_all_aliases();
    let edges = edges(function);
    replace(function, &edges, &passed_on(function, &edges));
    let edges = self::edges(function);
    let looked_at = if planted == Some(Planted::TwinsOfOneWay) { 1 } else { usize::MAX };
    replace(function, &edges, &twins(function, &edges, looked_at));
}

/// The parameters that only pass a value on, with that value.
fn passed_on(function: &Function, edges: &[(Block, Vec<Edge>)]) -> HashMap<Value, Value> {
    let mut known: HashMap<Value, Value> = HashMap::new();
    let mut grows = true;
    while grows {
        grows = false;
        for (block, edges) in edges {
            for (place, &param) in function.dfg.block_params(*block).iter().enumerate() {
                if known.contains_key(&param) {
                    continue;
                }
                let passed = edges.iter().map(|edge| edge.arguments[place].as_value());
                let passed = passed.map(|value| value.map(|value| last(&known, value)));
                let mut others = passed.filter(|value| *value != Some(param));
                if let Some(Some(value)) = others.next()
                    && others.all(|other| other == Some(value))
                {
                    known.insert(param, value);
                    grows = true;
                }
            }
        }
    }
    known.keys().map(|param| (*param, last(&known, *param))).collect()
}

/// The value at the end of a chain.
fn last(known: &HashMap<Value, Value>, mut value: Value) -> Value {
    while let Some(next) = known.get(&value) {
        value = *next;
    }
    value
}

/// The parameters that are twins of an earlier one of their block, with that one.
fn twins(function: &Function, edges: &[(Block, Vec<Edge>)], looked_at: usize) -> HashMap<Value, Value> {
    let classes = classes(function, edges, looked_at);
    let mut first: HashMap<(Block, u32), Value> = HashMap::new();
    let mut twins = HashMap::new();
    for (block, _) in edges {
        for &param in function.dfg.block_params(*block) {
            let kept = *first.entry((*block, classes[&param])).or_insert(param);
            if kept != param {
                twins.insert(param, kept);
            }
        }
    }
    twins
}

/// The jumps to each block that has parameters, the entry apart.
fn edges(function: &Function) -> Vec<(Block, Vec<Edge>)> {
    let dfg = &function.dfg;
    let mut edges: HashMap<Block, Vec<Edge>> = HashMap::new();
    for block in function.layout.blocks() {
        let Some(inst) = function.layout.last_inst(block) else { continue };
        let calls = dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        for (number, call) in calls.iter().enumerate() {
            let arguments = call.args(&dfg.value_lists).collect();
            let edge = Edge { inst, number, arguments };
            edges.entry(call.block(&dfg.value_lists)).or_default().push(edge);
        }
    }
    let entry = function.layout.entry_block();
    let blocks = function.layout.blocks().filter(|block| Some(*block) != entry);
    blocks.filter_map(|block| Some((block, edges.remove(&block)?))).collect()
}

/// What tells a class from others: the class that a parameter is of, and those of what jumps pass for it.
type Key = (u32, Vec<Passed>);

/// What a jump passes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Passed {
    Class(u32),
    Other(BlockArg),
}

/// The class of each parameter.
fn classes(function: &Function, edges: &[(Block, Vec<Edge>)], looked_at: usize) -> HashMap<Value, u32> {
    let dfg = &function.dfg;
    let mut classes: HashMap<Value, u32> = HashMap::new();
    let mut first: HashMap<(Block, Type), u32> = HashMap::new();
    for (block, _) in edges {
        for param in dfg.block_params(*block) {
            let next = first.len() as u32;
            classes.insert(*param, *first.entry((*block, dfg.value_type(*param))).or_insert(next));
        }
    }
    let mut count = first.len();
    loop {
        let passed = |argument: BlockArg| match argument {
            BlockArg::Value(value) => {
                classes.get(&value).map_or(Passed::Other(argument), |class| Passed::Class(*class))
            }
            other => Passed::Other(other),
        };
        let mut numbers: HashMap<Key, u32> = HashMap::new();
        let mut finer = HashMap::with_capacity(classes.len());
        for (block, edges) in edges {
            for (place, param) in dfg.block_params(*block).iter().enumerate() {
                let all = edges.iter().take(looked_at).map(|edge| passed(edge.arguments[place])).collect();
                let next = numbers.len() as u32;
                finer.insert(*param, *numbers.entry((classes[param], all)).or_insert(next));
            }
        }
        // Each class falls apart in some, so that as many are the same ones.
        if numbers.len() == count {
            return finer;
        }
        count = numbers.len();
        classes = finer;
    }
}

/// Puts values in place of parameters.
fn replace(function: &mut Function, edges: &[(Block, Vec<Edge>)], values: &HashMap<Value, Value>) {
    for (block, edges) in edges {
        let params = function.dfg.block_params(*block).to_vec();
        if !params.iter().any(|param| values.contains_key(param)) {
            continue;
        }
        for param in params.iter().rev() {
            if let Some(value) = values.get(param) {
                function.dfg.remove_block_param(*param);
                function.dfg.change_to_alias(*param, *value);
            }
        }
        for edge in edges {
            let arguments = edge.arguments.iter().zip(&params);
            let arguments = arguments.filter(|(_, param)| !values.contains_key(param));
            let arguments = arguments.map(|(argument, _)| *argument);
            let call = BlockCall::new(*block, arguments, &mut function.dfg.value_lists);
            let dfg = &mut function.dfg;
            let calls =
                dfg.insts[edge.inst].branch_destination_mut(&mut dfg.jump_tables, &mut dfg.exception_tables);
            calls[edge.number] = call;
        }
    }
    function.dfg.resolve_all_aliases();
}
