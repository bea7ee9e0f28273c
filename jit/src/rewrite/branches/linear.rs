// SPDX-License-Identifier: GPL-2.0-or-later
//! Code of several blocks, laid out so that its jumps go forward: what a claim says of code that lies anywhere.

use std::collections::{HashMap, HashSet};

use kop_ops::Flow;
use kop_ops::ebpf::Insn;
use kop_ops::program::NOWHERE;

use crate::lower::retarget;
use crate::rewrite::plan::Reason;

/// Where an instruction that is no call leads: to the next one, to its target, or to both.
pub(super) fn successors(flow: &Flow, index: usize) -> impl Iterator<Item = usize> + use<> {
    let insn = &flow.insns()[index];
    let target = flow.target(index).filter(|_| !insn.is_call());
    let falls = (!insn.is_terminator()).then_some(index + 1);
    falls.into_iter().chain(target)
}

/// What leads to each instruction: calls of it among them.
pub(super) fn predecessors(flow: &Flow) -> Vec<Vec<usize>> {
    let count = flow.insns().len();
    let mut before = vec![Vec::new(); count];
    for index in 0..count {
        let called = flow.target(index).filter(|_| flow.insns()[index].is_call());
        for next in successors(flow, index).chain(called).filter(|next| *next < count) {
            before[next].push(index);
        }
    }
    before
}

/// The instructions of `nodes` to which nothing leads but others of them: what may go when `head`, which is one of them, goes.
pub(super) fn owned(flow: &Flow, head: usize, nodes: &[usize]) -> Vec<usize> {
    let before = predecessors(flow);
    let is_entry = |index: usize| flow.functions().contains(&(index as u32));
    let mut owned: HashSet<usize> = nodes.iter().copied().collect();
    loop {
        let entered = |index: &usize| {
            *index != head && (is_entry(*index) || before[*index].iter().any(|from| !owned.contains(from)))
        };
        let lost: Vec<usize> = owned.iter().copied().filter(entered).collect();
        if lost.is_empty() {
            break;
        }
        lost.iter().for_each(|index| {
            owned.remove(index);
        });
    }
    let mut owned: Vec<usize> = owned.into_iter().collect();
    owned.sort_unstable();
    owned
}

/// `nodes` in an order in which each comes behind what leads to it, from `head` on, which leads to all of them.
///
/// # Errors
/// That there is none: a loop.
pub(super) fn ordered(flow: &Flow, head: usize, nodes: &HashSet<usize>) -> Result<Vec<usize>, Reason> {
    let mut waits: HashMap<usize, usize> = HashMap::new();
    for &node in nodes {
        for next in successors(flow, node).filter(|next| nodes.contains(next)) {
            *waits.entry(next).or_default() += 1;
        }
    }
    if waits.contains_key(&head) {
        return Err("it goes round in a loop".to_owned());
    }
    let (mut order, mut ready) = (Vec::new(), vec![head]);
    while let Some(node) = ready.pop() {
        order.push(node);
        // What comes next in the program comes next here, where it may.
        let mut all: Vec<usize> = successors(flow, node).filter(|next| nodes.contains(next)).collect();
        all.reverse();
        for next in all {
            let left = waits.get_mut(&next).expect("what is led to waits");
            *left -= 1;
            if *left == 0 {
                ready.push(next);
            }
        }
    }
    if order.len() == nodes.len() { Ok(order) } else { Err("it goes round in a loop".to_owned()) }
}

/// Where a jump of laid out code goes.
#[derive(Clone, Copy)]
enum To {
    /// To where this instruction of the program is.
    Node(usize),
    End,
    Nowhere,
}

/// The instructions of `order` as code with one end: `ends` has what runs where control leaves them for one of these instructions.
///
/// # Errors
/// That control leaves for somewhere else, or that a jump does not reach.
pub(super) fn laid_out(
    flow: &Flow,
    order: &[usize],
    ends: &[(Vec<usize>, Vec<Insn>)],
) -> Result<Vec<Insn>, Reason> {
    let mut code: Vec<(Insn, To)> = Vec::new();
    let mut places: HashMap<usize, u32> = HashMap::new();
    for (at, &node) in order.iter().enumerate() {
        let insn = flow.insns()[node];
        places.insert(node, code.len() as u32);
        let target = flow.target(node).filter(|_| insn.branch_offset().is_some());
        code.push((insn, target.map_or(To::Nowhere, To::Node)));
        if !insn.is_terminator() && order.get(at + 1) != Some(&(node + 1)) {
            code.push((Insn::ja(0), To::Node(node + 1)));
        }
    }
    for (at, (leaves, then)) in ends.iter().enumerate() {
        places.extend(leaves.iter().map(|leaf| (*leaf, code.len() as u32)));
        code.extend(then.iter().map(|insn| (*insn, To::Nowhere)));
        if at + 1 < ends.len() {
            code.push((Insn::ja(0), To::End));
        }
    }
    let target = |to: &To| match *to {
        To::Nowhere => Ok(NOWHERE),
        To::End => Ok(code.len() as u32),
        To::Node(node) => {
            places.get(&node).copied().ok_or_else(|| format!("it is left for instruction {node}"))
        }
    };
    let targets = code.iter().map(|(_, to)| target(to)).collect::<Result<Vec<u32>, Reason>>()?;
    let mut insns: Vec<Insn> = code.into_iter().map(|(insn, _)| insn).collect();
    retarget(&mut insns, &targets).map_err(|(_, offset)| format!("a jump of {offset} does not reach"))?;
    Ok(insns)
}
