// SPDX-License-Identifier: GPL-2.0-or-later
//! A value as a function of values that it is computed from, and where it can be cut from those.

use kop_ops::ebpf::Insn;

use super::value::{Graph, Node, Value, run};

/// The most values that a function computes.
const LONGEST: usize = 96;

/// What some values make of others.
#[derive(Clone, Debug)]
pub(super) struct Function {
    inputs: usize,
    constants: Vec<u64>,
    /// Each with the places of its operands, among inputs, constants and earlier steps, in this order.
    steps: Vec<(Insn, usize, usize)>,
    result: usize,
    /// The values that it goes through: the root, what it computes on the way, constants, and the inputs.
    pub parts: Vec<Value>,
}

impl Function {
    /// `root` as a function of `inputs`; `None` when it depends on something else, or is too long.
    pub fn new(graph: &Graph, root: Value, inputs: &[Value]) -> Option<Self> {
        let parts = parts(graph, root, inputs)?;
        let (mut places, mut constants) = (inputs.to_vec(), Vec::new());
        for &part in parts.iter().filter(|part| !inputs.contains(part)) {
            if let Node::Constant(number) = graph.node(part) {
                places.push(part);
                constants.push(number);
            }
        }
        let mut steps = Vec::new();
        let place = |places: &[Value], value| places.iter().position(|known| *known == value);
        for &part in &parts {
            if place(&places, part).is_some() {
                continue;
            }
            let Node::Computed(insn, left, right) = graph.node(part) else { return None };
            steps.push((insn, place(&places, left)?, place(&places, right)?));
            places.push(part);
        }
        let result = place(&places, root)?;
        Some(Self { inputs: inputs.len(), constants, steps, result, parts })
    }

    /// How many instructions it takes, moves aside.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// What it makes of these numbers.
    pub fn of(&self, inputs: &[u64]) -> u64 {
        assert_eq!(inputs.len(), self.inputs, "a function takes as many numbers as it has inputs");
        let mut numbers = Vec::with_capacity(inputs.len() + self.constants.len() + self.steps.len());
        numbers.extend_from_slice(inputs);
        numbers.extend_from_slice(&self.constants);
        for (insn, left, right) in &self.steps {
            numbers.push(run(insn, numbers[*left], numbers[*right]));
        }
        numbers[self.result]
    }
}

/// What is between `root` and `stops`, both included, in ascending order, so that each value comes behind those that it is
/// computed from; `None` where there is too much.
fn parts(graph: &Graph, root: Value, stops: &[Value]) -> Option<Vec<Value>> {
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(value) = waiting.pop() {
        if found.contains(&value) {
            continue;
        }
        if found.len() == LONGEST {
            return None;
        }
        found.push(value);
        if let (Node::Computed(_, left, right), false) = (graph.node(value), stops.contains(&value)) {
            waiting.extend([left, right]);
        }
    }
    found.sort_unstable();
    Some(found)
}

/// The values that alone, constants aside, decide all of `roots`, the farthest last.
///
/// Values are taken apart from the youngest to the oldest. Whenever one is left, everything goes through it.
pub(super) fn cuts(graph: &Graph, roots: &[Value]) -> Vec<Value> {
    let mut found = Vec::new();
    take_apart(graph, (roots, None), LONGEST, |open| {
        if let [only] = open[..] {
            found.push(only);
        }
    });
    found
}

/// Pairs of values that together, constants aside, decide `root`; at most so many values are taken apart for each.
///
/// Values are taken apart as for [`cuts`], and again with each value next to the root left whole.
pub(super) fn pairs(graph: &Graph, root: Value, most: usize) -> Vec<[Value; 2]> {
    let operands = |value: Value| match graph.node(value) {
        Node::Computed(_, left, right) => vec![left, right],
        _ => Vec::new(),
    };
    let near = operands(root);
    let mut whole: Vec<Value> =
        near.iter().copied().chain(near.iter().flat_map(|value| operands(*value))).collect();
    whole.sort_unstable();
    whole.dedup();
    let mut found = Vec::new();
    for kept in [None].into_iter().chain(whole.into_iter().map(Some)) {
        take_apart(graph, (&[root], kept), most, |open| {
            if let Ok(pair) = open.try_into()
                && !found.contains(&pair)
            {
                found.push(pair);
            }
        });
    }
    found
}

/// Takes values apart from the youngest to the oldest, but for one that is kept whole, and shows what decides all of `roots`.
fn take_apart(
    graph: &Graph,
    (roots, kept): (&[Value], Option<Value>),
    most: usize,
    mut show: impl FnMut(&[Value]),
) {
    let is_open = |value: &Value| !matches!(graph.node(*value), Node::Constant(_));
    let mut open: Vec<Value> = roots.iter().copied().filter(is_open).collect();
    for _ in 0..most {
        open.sort_unstable();
        open.dedup();
        show(&open);
        let Some(place) = open.iter().rposition(|value| Some(*value) != kept) else { break };
        let Node::Computed(_, left, right) = graph.node(open.remove(place)) else { break };
        open.extend([left, right].iter().filter(|value| is_open(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::liveness::Liveness;
    use super::super::region::Region;
    use super::*;
    use crate::tests::program;

    /// The graph of straight code, what r0 holds before its exit, and what registers held at its start.
    fn graph(text: &str) -> (Graph, Value, Vec<Value>) {
        let flow = program(text).flow;
        let live = Liveness::new(&flow);
        let region = Region::new(&flow, &live, 0..flow.insns().len());
        let mut graph = Graph::default();
        let entry = graph.entry();
        let states = graph.states(&region, entry);
        (graph, states[flow.insns().len() - 1][0], entry.to_vec())
    }

    #[test]
    fn moves_and_order_leave_no_trace() {
        let (graph, root, entry) = graph("r3 = r1\nr3 <<= 13\nr2 = r1\nr2 >>= 51\nr0 = r2\nr0 |= r3\nexit");
        assert_eq!(cuts(&graph, &[root]), [root, entry[1]]);
        let function = Function::new(&graph, root, &[entry[1]]).expect("of r1 alone");
        let x = 0x0123_4567_89ab_cdef_u64;
        assert_eq!(function.of(&[x]), x.rotate_left(13));
    }

    #[test]
    fn a_function_of_two_values_has_no_cut_but_itself() {
        let (graph, root, entry) = graph("r0 = r1\nr0 ^= r2\nexit");
        assert_eq!(cuts(&graph, &[root]), [root]);
        assert!(Function::new(&graph, root, &[entry[1]]).is_none());
        assert_eq!(Function::new(&graph, root, &[entry[1], entry[2]]).expect("of both").of(&[5, 6]), 3);
    }
}
