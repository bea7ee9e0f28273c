// SPDX-License-Identifier: GPL-2.0-or-later
//! High halves of products, which compilers without wide registers put together from products of halves.

use kop_ops::ebpf::{AluOp, Insn};

use super::{Match, samples};
use crate::rewrite::function::{Function, cuts};
use crate::rewrite::value::{Graph, Node, Value};

/// How many instructions have to go: MUL takes its factors and leaves its results in registers of its own.
const LEAST: usize = 8;

/// The most values that are looked at below a sum.
const MOST: usize = 96;

/// The high halves of products that `root` may be.
pub(super) fn recognise(graph: &Graph, root: Value) -> Vec<Match> {
    if !matches!(graph.node(root), Node::Computed(Insn::Alu { op: AluOp::Add, .. }, ..)) {
        return Vec::new();
    }
    let Some(halved) = halved(graph, root) else { return Vec::new() };
    let mut found = Vec::new();
    for (at, &one) in halved.iter().enumerate() {
        for &other in &halved[at..] {
            found.extend(of_values(graph, root, [one, other]));
        }
    }
    if found.is_empty() {
        let factors = cuts(graph, &[root]).into_iter().filter(|cut| halved.contains(cut));
        found.extend(factors.filter_map(|factor| by_number(graph, root, factor)));
    }
    found
}

/// The values below a sum whose upper halves are taken, where there is a product at all.
fn halved(graph: &Graph, root: Value) -> Option<Vec<Value>> {
    let (mut halved, mut seen, mut waiting) = (Vec::new(), Vec::new(), vec![root]);
    let mut has_product = false;
    while let Some(value) = waiting.pop() {
        if seen.contains(&value) || seen.len() == MOST {
            continue;
        }
        seen.push(value);
        let Node::Computed(insn, left, right) = graph.node(value) else { continue };
        if let Insn::Alu { op, .. } = insn {
            has_product |= op == AluOp::Mul;
            let is_half = graph.node(right) == Node::Constant(32);
            if matches!(op, AluOp::Rsh | AluOp::Arsh) && is_half && !halved.contains(&left) {
                halved.push(left);
            }
        }
        waiting.extend([left, right]);
    }
    has_product.then_some(halved)
}

type Model = fn(u64, u64) -> u64;

const MODELS: [(&str, Model); 2] = [
    ("unsigned", |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64),
    ("signed", |a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64),
];

fn of_values(graph: &Graph, root: Value, [a, b]: [Value; 2]) -> Option<Match> {
    let values = [a, b];
    let function = Function::new(graph, root, if a == b { &values[..1] } else { &values })?;
    let masks = values.map(|value| graph.mask(value));
    let is = |model: Model| {
        samples().zip(samples().skip(5)).all(|(x, y)| {
            let (x, y) = (x & masks[0], y & masks[1]);
            match a == b {
                true => function.of(&[x]) == model(x, x),
                false => function.of(&[x, y]) == model(x, y),
            }
        })
    };
    let (form, _) = MODELS.into_iter().find(|(_, model)| is(*model))?;
    let inputs = vec![("a", a), ("b", b)];
    Some(Match { inputs, is_apart: true, ..Match::new("multiply_high", form, LEAST, function.parts) })
}

/// A value times a number whose halves the compiler has worked out.
fn by_number(graph: &Graph, root: Value, factor: Value) -> Option<Match> {
    let function = Function::new(graph, root, &[factor])?;
    if graph.mask(factor) != u64::MAX {
        return None;
    }
    // (2^64 - 1) n = (n - 1) 2^64 + (2^64 - n), and as signed numbers -1 times n is less than nothing, or nothing.
    let unsigned = function.of(&[u64::MAX]).wrapping_add(1);
    // 2^62 n / 2^64 has lost two bits, which 2^63 - 1 tells.
    let signed = (0..4).map(|low| function.of(&[1 << 62]) << 2 | low);
    let candidates =
        [(0, unsigned)].into_iter().chain(signed.map(|number| (1, number))).filter(|(_, number)| *number > 1);
    let is = |model: Model, number| samples().all(|sample| function.of(&[sample]) == model(sample, number));
    let (model, number) = candidates.into_iter().find(|(model, number)| is(MODELS[*model].1, *number))?;
    let form = MODELS[model].0;
    let (inputs, numbers) = (vec![("a", factor)], vec![("b", number)]);
    Some(Match {
        inputs,
        numbers,
        is_apart: true,
        ..Match::new("multiply_high", form, LEAST, function.parts)
    })
}
