// SPDX-License-Identifier: GPL-2.0-or-later
//! Which operation a value is: by what it makes of numbers, not by how it is written.
//!
//! A value is cut from one that decides it alone; the function between the two is tried on numbers that tell operations apart. So moves
//! in between, the order of operands, and how sums and masks are associated do not matter. That it is the operation for all
//! numbers is shown later: what is found here is a guess.

mod binary;
mod copy;
mod fill;
mod multiply;
mod pair;
mod rotate;
mod store;
mod unary;
mod wide;

use kop_ops::ebpf::{AluOp, Insn, Reg, Width};

use super::claim::sees_memory;
use super::function::{Function, cuts};
use super::region::Region;
use super::value::{Graph, Node, Registers, Value};

/// A value that seems to be an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// The operation.
    pub kop: &'static str,
    /// Its form.
    pub form: &'static str,
    /// What its register operands hold, by name.
    pub inputs: Vec<(&'static str, Value)>,
    /// Its immediates, by name.
    pub immediates: Vec<(&'static str, i64)>,
    /// What is added to its first input, in front of the site.
    pub distance: i32,
    /// Operands that are numbers, which the site has put into registers, by name.
    pub numbers: Vec<(&'static str, u64)>,
    /// Whether the result may be in no register of an operand.
    pub is_apart: bool,
    /// The indices of the loads that become a part of it.
    pub loads: Vec<usize>,
    /// The indices of the stores that become a part of it; where there are some, it computes nothing else.
    pub stores: Vec<usize>,
    /// What its results hold, by name, where there are several.
    pub results: Vec<(&'static str, Value)>,
    /// How many instructions have to go for it to pay.
    pub least: usize,
    /// Whether the length of its native code decides that.
    pub is_weighed: bool,
    /// The values that it stands for, what it starts from and constants included.
    pub parts: Vec<Value>,
}

impl Match {
    /// An operation that stands for these values and takes nothing yet.
    fn new(kop: &'static str, form: &'static str, least: usize, parts: Vec<Value>) -> Self {
        let (inputs, immediates, numbers) = (Vec::new(), Vec::new(), Vec::new());
        let (loads, stores, results) = (Vec::new(), Vec::new(), Vec::new());
        let (distance, is_apart, is_weighed) = (0, false, false);
        Self {
            kop,
            form,
            inputs,
            immediates,
            distance,
            numbers,
            is_apart,
            loads,
            stores,
            results,
            least,
            is_weighed,
            parts,
        }
    }

    /// An operation that pays where its native code is shorter than the instructions that go.
    fn weighed(kop: &'static str, form: &'static str, parts: Vec<Value>) -> Self {
        Self { is_weighed: true, ..Self::new(kop, form, 2, parts) }
    }
}

/// What `root` may be, from those that stand for most values to those that stand for fewest.
pub(super) fn recognise(graph: &Graph, root: Value) -> Vec<Match> {
    let mut found = Vec::new();
    for input in cuts(graph, &[root]).into_iter().skip(1) {
        let Some(function) = Function::new(graph, root, &[input]) else { continue };
        found.extend(unary::recognise(graph, (root, &function), input));
    }
    found.extend(rotate::recognise(graph, root));
    found.extend(wide::recognise(graph, root));
    found.extend(binary::recognise(graph, root));
    found.extend(multiply::recognise(graph, root));
    found.sort_by_key(|known| std::cmp::Reverse(known.parts.len()));
    found
}

/// What the store at `place` may be the last part of.
pub(super) fn recognise_stores(graph: &Graph, code: (&Region, &[Registers]), place: usize) -> Vec<Match> {
    let mut found = store::recognise(graph, code, place);
    found.extend(copy::recognise(graph, code, place));
    found.extend(fill::recognise(graph, code, place));
    found.extend(pair::recognise_stores(graph, code, place));
    found
}

/// What the load at `place` may be the last part of, besides what it loads.
pub(super) fn recognise_loads(graph: &Graph, code: (&Region, &[Registers]), place: usize) -> Vec<Match> {
    pair::recognise_loads(graph, code, place)
}

/// Whether loads, or stores, of a base do not pass what stands at a place: it accesses memory that may be the same, or leaves.
fn separates(
    graph: &Graph,
    (region, states): (&Region, &[Registers]),
    place: usize,
    (base, are_loads): (Value, bool),
) -> bool {
    let accesses = region.accesses(place);
    let is_other = |(register, writes): (Reg, bool)| {
        (writes || !are_loads) && graph.object(states[place][register.index()]) != graph.object(base)
    };
    match accesses[..] {
        [] if are_loads => region.insn(place).is_some_and(Insn::is_call),
        [] => sees_memory(region, &region.items[place]),
        _ => accesses.into_iter().any(is_other),
    }
}

/// Without zero extensions from 32 bits.
fn peeled(graph: &Graph, mut value: Value) -> Value {
    while let Node::Computed(Insn::Alu { op: AluOp::Mov, width: Width::W32, .. }, of, _) = graph.node(value) {
        value = of;
    }
    value
}

/// The width of the instruction that computes a value.
fn width(graph: &Graph, value: Value) -> Width {
    match graph.node(value) {
        Node::Computed(Insn::Alu { width, .. } | Insn::Neg { width, .. }, ..) => width,
        _ => Width::W64,
    }
}

/// Models by their forms, those first whose width is that of the instruction: its result shows no more, wherever the operands come
/// from.
fn by_width<M: Copy>(models: &[M], form: impl Fn(&M) -> &'static str, width: Width) -> Vec<M> {
    let is_other = |model: &M| form(model).ends_with("64") != (width == Width::W64);
    let mut sorted = models.to_vec();
    sorted.sort_by_key(is_other);
    sorted
}

/// Numbers that tell functions of bits apart.
fn samples() -> impl Iterator<Item = u64> {
    let edges = [0, 1, u64::MAX, 1 << 63, 0xffff_ffff, 1 << 32, 0x8000_0000, 0x0123_4567_89ab_cdef];
    // The fractions of the golden ratio's powers have no pattern that shifts or masks keep.
    let random = (1..24_u64)
        .map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.wrapping_mul(0xd1b5_4a32_d192_ed03) >> 7);
    edges
        .into_iter()
        .chain(random)
        .chain((0..64).map(|bit| 1 << bit))
        .chain((1..64).map(|bit| u64::MAX >> bit))
}
