// SPDX-License-Identifier: GPL-2.0-or-later
//! Rotations by an amount in a register.

use kop_ops::ebpf::{AluOp, Insn, Width};

use super::{Match, peeled, samples};
use crate::rewrite::function::{Function, cuts};
use crate::rewrite::value::{Graph, Node, Value};

/// Amounts at which rotations and their neighbours differ; zero is left to the proof, which says so when it fails there.
const AMOUNTS: [u64; 9] = [1, 7, 8, 31, 33, 63, 65, 0xffff_ffff_ffff_fff3, 0x8000_0000_0000_0015];

/// The rotations that `root` may be.
pub(super) fn recognise(graph: &Graph, root: Value) -> Vec<Match> {
    let Node::Computed(Insn::Alu { op: AluOp::Or | AluOp::Add | AluOp::Xor, .. }, one, other) =
        graph.node(peeled(graph, root))
    else {
        return Vec::new();
    };
    let halves = [one, other].map(|half| shift(graph, half));
    let (Some(one), Some(other)) = (&halves[0], &halves[1]) else { return Vec::new() };
    let (left, right) = match (one.op, other.op) {
        (AluOp::Lsh, AluOp::Rsh) => (one, other),
        (AluOp::Rsh, AluOp::Lsh) => (other, one),
        _ => return Vec::new(),
    };
    let mut sources = vec![left.of, right.of, peeled(graph, left.of), peeled(graph, right.of)];
    sources.sort_unstable();
    sources.dedup();
    let mut found = Vec::new();
    for amount in cuts(graph, &[left.by, right.by]) {
        for &source in sources.iter().filter(|source| **source != amount) {
            let Some(function) = Function::new(graph, root, &[source, amount]) else { continue };
            let candidates = [amount, left.by];
            let by =
                candidates.iter().find_map(|&by| Some((by, width(graph, &function, (source, amount), by)?)));
            let Some((by, width)) = by else { continue };
            let form = if width == Width::W64 { "reg64" } else { "reg32" };
            let inputs = vec![("src", source), ("amount", by)];
            found.push(Match { inputs, ..Match::new("rotate", form, 3, function.parts) });
        }
    }
    found
}

struct Shift {
    op: AluOp,
    of: Value,
    by: Value,
}

fn shift(graph: &Graph, value: Value) -> Option<Shift> {
    match graph.node(peeled(graph, value)) {
        Node::Computed(Insn::Alu { op: op @ (AluOp::Lsh | AluOp::Rsh), .. }, of, by) => {
            Some(Shift { op, of, by: peeled(graph, by) })
        }
        _ => None,
    }
}

/// The width on which `function` rotates `source` by what `by` is for each `amount`, if it does.
fn width(graph: &Graph, function: &Function, (source, amount): (Value, Value), by: Value) -> Option<Width> {
    let by = Function::new(graph, by, &[amount])?;
    let (sources, amounts) = (graph.mask(source), graph.mask(amount));
    let is = |rotated: &dyn Fn(u64, u64) -> u64, bits: u64| {
        let mut numbers = samples().step_by(5).map(|number| number & sources);
        numbers.all(|number| {
            let amounts = AMOUNTS.iter().map(|amount| amount & amounts);
            amounts
                .map(|amount| (amount, by.of(&[amount])))
                .filter(|(_, by)| by % bits != 0)
                .all(|(amount, by)| function.of(&[number, amount]) == rotated(number, by))
        })
    };
    if is(&|number, by| number.rotate_left((by % 64) as u32), 64) {
        return Some(Width::W64);
    }
    let narrow = |number: u64, by: u64| u64::from((number as u32).rotate_left((by % 32) as u32));
    is(&narrow, 32).then_some(Width::W32)
}
