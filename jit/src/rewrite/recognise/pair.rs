// SPDX-License-Identifier: GPL-2.0-or-later
//! Two adjacent numbers that are loaded, or stored, one after the other.

use kop_ops::ebpf::{Insn, Reg, Size};

use super::store::{Piece, Source};
use super::{Match, separates};
use crate::rewrite::region::Region;
use crate::rewrite::value::{Graph, Registers, Value};

/// How many places the other one is looked for before the last one: far apart, one of them would come much too early or too late.
const NEAR: usize = 16;

/// How many of those in between may be what neither passes: a near miss has one.
const SEPARATE: usize = 1;

/// The form for two numbers of a size.
fn form(size: i32) -> Option<&'static str> {
    match size {
        8 => Some("pair64"),
        4 => Some("pair32"),
        _ => None,
    }
}

/// The places before `root` where the other load or store of a base may be, the nearest first.
fn near<'c>(
    graph: &'c Graph,
    code: (&'c Region<'c>, &'c [Registers]),
    root: usize,
    (base, are_loads): (Value, bool),
) -> impl Iterator<Item = usize> + 'c {
    let mut separate = 0;
    (root.saturating_sub(NEAR)..root).rev().take_while(move |place| {
        separate += usize::from(separates(graph, code, *place, (base, are_loads)));
        separate <= SEPARATE
    })
}

/// The pairs of stores that the store at `root` may be the last part of, those first whose other store is nearest.
pub(in crate::rewrite) fn recognise_stores(
    graph: &Graph,
    code: (&Region, &[Registers]),
    root: usize,
) -> Vec<Match> {
    let Some((base, last)) = Piece::at(code, root) else { return Vec::new() };
    let Some(form) = form(last.size) else { return Vec::new() };
    let mut found: Vec<Match> = Vec::new();
    let mut later: Vec<Piece<Source>> = Vec::new();
    for place in near(graph, code, root, (base, false)) {
        let Some((_, piece)) = Piece::of(code, place).filter(|(of, _)| *of == base) else { continue };
        // What is overwritten later is no part.
        let is_whole = later.iter().all(|known| known.is_apart(&piece));
        later.push(piece);
        let Some((_, other)) = Piece::at(code, place).filter(|_| is_whole) else { continue };
        if other.size == last.size && (other.end() == last.off || last.end() == other.off) {
            let [first, second] = if other.off < last.off { [other, last] } else { [last, other] };
            found.push(Match {
                inputs: vec![("base", base), ("first", first.value), ("second", second.value)],
                immediates: vec![("off", first.off.into())],
                stores: vec![other.at, last.at],
                ..Match::weighed("store_pair", form, Vec::new())
            });
        }
    }
    found
}

/// A load of a number that is not extended by its sign.
struct Loaded {
    at: usize,
    base: Value,
    off: i32,
    size: i32,
    register: Reg,
    value: Value,
}

impl Loaded {
    fn at((region, states): (&Region, &[Registers]), place: usize) -> Option<Self> {
        let Some(Insn::Load { size, signed: false, dst, base, off }) = region.insn(place) else {
            return None;
        };
        let (before, behind) = (&states[place], &states[place + 1]);
        Some(Self {
            at: region.items[place].origin(),
            base: before[base.index()],
            off: (*off).into(),
            size: Size::bytes(*size) as i32,
            register: *dst,
            value: behind[dst.index()],
        })
    }
}

/// The pairs of loads that the load at `root` may be the last part of, those first whose other load is nearest.
pub(in crate::rewrite) fn recognise_loads(
    graph: &Graph,
    code: (&Region, &[Registers]),
    root: usize,
) -> Vec<Match> {
    let Some(last) = Loaded::at(code, root) else { return Vec::new() };
    let Some(form) = form(last.size) else { return Vec::new() };
    let places = near(graph, code, root, (last.base, true));
    let others = places.filter_map(|place| Loaded::at(code, place));
    // One register holds one number.
    let is_other = |other: &Loaded| {
        (other.base, other.size) == (last.base, last.size)
            && (other.off - last.off).abs() == last.size
            && other.register != last.register
    };
    let pair = |other: Loaded| {
        let [first, second] = if other.off < last.off { [&other, &last] } else { [&last, &other] };
        Match {
            inputs: vec![("base", last.base)],
            immediates: vec![("off", first.off.into())],
            loads: vec![other.at, last.at],
            results: vec![("first", first.value), ("second", second.value)],
            ..Match::weighed("load_pair", form, vec![first.value, second.value])
        }
    };
    others.filter(is_other).map(pair).collect()
}
