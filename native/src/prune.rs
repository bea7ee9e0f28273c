// SPDX-License-Identifier: GPL-2.0-or-later
//! Removes loads whose values nobody uses: the back end keeps every load.

use cranelift_codegen::ir::{Function, Inst, Value};

/// Removes them, and what computes their addresses alone.
pub(crate) fn prune(function: &mut Function) {
    function.dfg.resolve_all_aliases();
    let mut uses = vec![0u32; function.dfg.num_values()];
    let insts: Vec<Inst> = function
        .layout
        .blocks()
        .flat_map(|block| function.layout.block_insts(block).collect::<Vec<_>>())
        .collect();
    for &inst in &insts {
        function.dfg.inst_values(inst).for_each(|value| uses[index(value)] += 1);
    }
    let mut open: Vec<Inst> = insts.into_iter().rev().collect();
    while let Some(inst) = open.pop() {
        if function.layout.inst_block(inst).is_none() || !is_idle(function, inst, &uses) {
            continue;
        }
        let operands: Vec<Value> = function.dfg.inst_values(inst).collect();
        function.layout.remove_inst(inst);
        for value in operands {
            uses[index(value)] -= 1;
            if uses[index(value)] == 0
                && let Some(made) = function.dfg.value_def(value).inst()
            {
                open.push(made);
            }
        }
    }
}

/// Whether an instruction does nothing but make a value that nobody uses.
fn is_idle(function: &Function, inst: Inst, uses: &[u32]) -> bool {
    let opcode = function.dfg.insts[inst].opcode();
    let acts = opcode.is_call()
        || opcode.is_branch()
        || opcode.is_terminator()
        || opcode.can_store()
        || opcode.other_side_effects();
    let may_go = !opcode.can_trap() || function.dfg.insts[inst].memflags().is_some() && opcode.can_load();
    let results = function.dfg.inst_results(inst);
    !acts && may_go && !results.is_empty() && results.iter().all(|value| uses[index(*value)] == 0)
}

fn index(value: Value) -> usize {
    value.as_u32() as usize
}
