// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that are assembled from loads of bytes.

use super::{Match, samples};
use crate::rewrite::function::Function;
use crate::rewrite::value::{Graph, Node, Value};
use kop_ops::ebpf::{AluOp, Insn, Size};

/// A byte that is loaded: its value, the index of the load, and the offset.
#[derive(Clone, Copy, Debug)]
struct Byte {
    value: Value,
    at: usize,
    off: i16,
}

/// The wide load that `root` may be.
pub(super) fn recognise(graph: &Graph, root: Value) -> Option<Match> {
    let joins = [AluOp::Or, AluOp::Add, AluOp::Xor];
    if !matches!(graph.node(root), Node::Computed(Insn::Alu { op, .. }, ..) if joins.contains(&op)) {
        return None;
    }
    let (base, mut bytes) = bytes(graph, root)?;
    bytes.sort_unstable_by_key(|byte| byte.off);
    let count = bytes.len();
    let contiguous = bytes.windows(2).all(|pair| pair[0].off.checked_add(1) == Some(pair[1].off));
    if ![2, 4, 8].contains(&count) || !contiguous {
        return None;
    }
    let values: Vec<Value> = bytes.iter().map(|byte| byte.value).collect();
    let function = Function::new(graph, root, &values)?;
    let is = |big: bool| {
        let mut numbers = samples().step_by(3);
        numbers.all(|number| {
            let mut own = number.to_le_bytes()[..count].to_vec();
            let wanted = own.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            if big {
                own.reverse();
            }
            let inputs: Vec<u64> = own.into_iter().map(u64::from).collect();
            function.of(&inputs) == wanted
        })
    };
    let form = match (is(false), is(true), count) {
        (true, _, 2) => "le16",
        (true, _, 4) => "le32",
        (true, ..) => "le64",
        (_, true, 2) => "be16",
        (_, true, 4) => "be32",
        (_, true, _) => "be64",
        _ => return None,
    };
    // Each byte is a load, and all but the first are shifted and joined.
    Some(Match {
        inputs: vec![("base", base)],
        immediates: vec![("off", i64::from(bytes[0].off))],
        loads: bytes.iter().map(|byte| byte.at).collect(),
        ..Match::new("wide_load", form, 2 * count, function.parts)
    })
}

/// The loads of bytes that a value is made of, all of one base; nothing where it is made of something else.
fn bytes(graph: &Graph, root: Value) -> Option<(Value, Vec<Byte>)> {
    /// More values than eight bytes take.
    const MOST: usize = 64;
    let mut found: Vec<Byte> = Vec::new();
    let mut of = None;
    let mut waiting = vec![root];
    let mut seen = Vec::new();
    while let Some(value) = waiting.pop() {
        if seen.contains(&value) {
            continue;
        }
        if seen.len() == MOST {
            return None;
        }
        seen.push(value);
        match graph.node(value) {
            Node::Constant(_) => {}
            Node::Computed(_, left, right) => waiting.extend([left, right]),
            Node::Load { at, size: Size::B1, signed: false, base, off } => {
                if of.is_some_and(|of| of != base) {
                    return None;
                }
                of = Some(base);
                found.push(Byte { value, at, off });
            }
            _ => return None,
        }
    }
    Some((of?, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::liveness::Liveness;
    use crate::rewrite::region::Region;
    use crate::tests::program;

    /// What r0 seems to be before the exit: the form, the offset and the loads.
    fn wide(text: &str) -> Option<(&'static str, i64, Vec<usize>)> {
        let flow = program(&format!("{text}\nexit")).flow;
        let live = Liveness::new(&flow);
        let region = Region::new(&flow, &live, 0..flow.insns().len());
        let mut graph = Graph::default();
        let entry = graph.entry();
        let states = graph.states(&region, entry);
        let found = recognise(&graph, states[flow.insns().len() - 1][0])?;
        assert_eq!((found.kop, found.inputs[0].1), ("wide_load", entry[1]), "the base is r1");
        Some((found.form, found.immediates[0].1, found.loads))
    }

    #[test]
    fn bytes_are_joined_in_either_order() {
        let le = "r2 = *(u8 *)(r1 + 5)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2";
        assert_eq!(wide(le), Some(("le16", 4, vec![2, 0])));
        let be = "r0 = *(u8 *)(r1 + 4)\nr0 <<= 8\nr3 = r1\nr2 = *(u8 *)(r3 + 5)\nr0 += r2";
        assert_eq!(wide(be), Some(("be16", 4, vec![0, 3])));
        // As clang has four.
        let four = "w0 = 0\nr0 = *(u8 *)(r1 - 3)\nw0 <<= 8\nr2 = *(u8 *)(r1 - 4)\nw0 |= w2\nr2 = *(u8 *)(r1 - 1)\n\
                    w2 <<= 8\nr3 = *(u8 *)(r1 - 2)\nw2 |= w3\nw2 <<= 16\nr0 |= r2";
        assert_eq!(wide(four), Some(("le32", -4, vec![3, 1, 7, 5])));
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        for text in [
            // A gap, another base, a byte that is there twice, a shift by too little, a sign.
            "r2 = *(u8 *)(r1 + 6)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2",
            "r2 = *(u8 *)(r3 + 5)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2",
            "r2 = *(u8 *)(r1 + 4)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2",
            "r2 = *(u8 *)(r1 + 5)\nr2 <<= 7\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2",
            "r2 = *(s8 *)(r1 + 5)\nr2 <<= 8\nr0 = *(u8 *)(r1 + 4)\nr0 |= r2",
        ] {
            assert_eq!(wide(text), None, "{text}");
        }
    }
}
