// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations on two values: complements that are joined, the smaller and the larger, steps of CRC-32C.

use kop_ops::ebpf::{AluOp, Insn};

use super::{Match, by_width, samples, width};
use crate::rewrite::function::{Function, cuts, pairs};
use crate::rewrite::value::{Graph, Node, Value};

/// CRC-32C's generator, reflected.
const GENERATOR: u64 = 0x82f6_3b78;

/// How many values are taken apart for what is short.
const SHORT: usize = 12;

/// An operation, a form, how many instructions have to go, and what it makes of two numbers.
type Model = (&'static str, &'static str, usize, fn(u64, u64) -> u64);

/// What joins with a complement: one instruction on AArch64 and for AND with BMI1, and never more than the two that go.
const COMPLEMENTS: [Model; 6] = [
    ("bitwise_not", "and64", 2, |a, b| a & !b),
    ("bitwise_not", "and32", 2, |a, b| u64::from(a as u32 & !b as u32)),
    ("bitwise_not", "or64", 2, |a, b| a | !b),
    ("bitwise_not", "or32", 2, |a, b| u64::from(a as u32 | !b as u32)),
    ("bitwise_not", "xor64", 2, |a, b| a ^ !b),
    ("bitwise_not", "xor32", 2, |a, b| u64::from(a as u32 ^ !b as u32)),
];

/// What compares and moves, with a copy.
const CHOICES: [Model; 8] = [
    ("min_max", "umin64", 4, |a, b| a.min(b)),
    ("min_max", "umax64", 4, |a, b| a.max(b)),
    ("min_max", "smin64", 4, |a, b| (a as i64).min(b as i64) as u64),
    ("min_max", "smax64", 4, |a, b| (a as i64).max(b as i64) as u64),
    ("min_max", "umin32", 4, |a, b| u64::from((a as u32).min(b as u32))),
    ("min_max", "umax32", 4, |a, b| u64::from((a as u32).max(b as u32))),
    ("min_max", "smin32", 4, |a, b| u64::from((a as i32).min(b as i32) as u32)),
    ("min_max", "smax32", 4, |a, b| u64::from((a as i32).max(b as i32) as u32)),
];

/// The operations on two values that `root` may be.
pub(super) fn recognise(graph: &Graph, root: Value) -> Vec<Match> {
    let Node::Computed(Insn::Alu { op, .. }, left, right) = graph.node(root) else { return Vec::new() };
    let models: Vec<Model> = match op {
        AluOp::And | AluOp::Or => COMPLEMENTS.to_vec(),
        AluOp::Xor => COMPLEMENTS.into_iter().chain(CHOICES).collect(),
        AluOp::Add | AluOp::Sub => CHOICES.to_vec(),
        _ => return Vec::new(),
    };
    let models = by_width(&models, |model| model.1, width(graph, root));
    let mut found: Vec<Match> = Vec::new();
    for pair in pairs(graph, root, SHORT) {
        found.extend(of_pair(graph, (root, pair), &models));
    }
    if op == AluOp::Xor && [left, right].iter().any(|side| is_step(graph, *side)) {
        found.extend(checksum(graph, root));
    }
    found
}

/// The first of the models that `root` is of a pair, in one order or the other.
fn of_pair(graph: &Graph, (root, [one, other]): (Value, [Value; 2]), models: &[Model]) -> Option<Match> {
    let function = Function::new(graph, root, &[one, other])?;
    let masks = [graph.mask(one), graph.mask(other)];
    // Of numbers of few bits, everything is something; one instruction is no better than another.
    if masks.iter().any(|mask| mask.count_ones() < 4) || function.steps() < 2 {
        return None;
    }
    let is = |model: fn(u64, u64) -> u64, exchanged: bool| {
        numbers().all(|(a, b)| {
            let (a, b) = (a & masks[0], b & masks[1]);
            let wanted = if exchanged { model(b, a) } else { model(a, b) };
            function.of(&[a, b]) == wanted
        })
    };
    models.iter().find_map(|&(kop, form, least, model)| {
        let inputs = match (is(model, false), is(model, true)) {
            (true, _) => vec![("a", one), ("b", other)],
            (_, true) => vec![("a", other), ("b", one)],
            _ => return None,
        };
        Some(Match { inputs, ..Match::new(kop, form, least, function.parts.clone()) })
    })
}

/// Whether a value is the generator or nothing.
fn is_step(graph: &Graph, value: Value) -> bool {
    let is_generator =
        |value| matches!(graph.node(value), Node::Constant(number) if number as u32 == GENERATOR as u32);
    match graph.node(value) {
        Node::Computed(Insn::Alu { op: AluOp::And, .. }, left, right) => {
            is_generator(left) || is_generator(right)
        }
        _ => false,
    }
}

/// The CRC-32C of a checksum and a byte that is brought in at first.
fn checksum(graph: &Graph, root: Value) -> Vec<Match> {
    let joined = cuts(graph, &[root]).into_iter().filter_map(|cut| match graph.node(cut) {
        Node::Computed(Insn::Alu { op: AluOp::Xor, .. }, left, right) => Some([[left, right], [right, left]]),
        _ => None,
    });
    let of = |[crc, data]: [Value; 2]| {
        let function = Function::new(graph, root, &[crc, data])?;
        let masks = [graph.mask(crc), graph.mask(data)];
        let is = numbers().all(|(a, b)| {
            let (a, b) = (a & masks[0], b & masks[1]);
            function.of(&[a, b]) == step(a, b)
        });
        let inputs = vec![("crc", crc), ("data", data)];
        let least = function.steps();
        is.then(|| Match { inputs, ..Match::new("crc32c", "u8", least, function.parts) })
    };
    joined.flatten().filter_map(of).collect()
}

/// CRC-32C continued over a byte (RFC 3720, appendix B.4, bitwise).
fn step(crc: u64, data: u64) -> u64 {
    let start = (crc & 0xffff_ffff) ^ (data & 0xff);
    (0..8).fold(start, |sum, _| sum >> 1 ^ if sum & 1 == 1 { GENERATOR } else { 0 })
}

/// Pairs of numbers that tell functions apart, equal and adjacent ones among them.
fn numbers() -> impl Iterator<Item = (u64, u64)> {
    let others = samples().skip(9).chain(samples().take(9));
    let adjacent =
        samples().step_by(9).flat_map(|x| [(x, x), (x, x.wrapping_add(1)), (x.wrapping_add(1), x)]);
    samples().zip(others).flat_map(|(a, b)| [(a, b), (b, a)]).chain(adjacent)
}
