// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that are taken apart into stores.

use kop_ops::ebpf::{Insn, Operand};

use super::{Match, samples};
use crate::rewrite::function::{Function, cuts};
use crate::rewrite::region::{Item, Region};
use crate::rewrite::value::{Graph, Registers, Value};

/// How many places a store is looked for before the last one.
pub(super) const FAR: usize = 96;

/// What a store writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What a register holds.
    Held(Value),
    /// A number.
    Number(i32),
}

/// A store of a part of something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<V = Value> {
    /// The index in the program.
    pub at: usize,
    /// The offset of the first byte.
    pub off: i32,
    /// How many bytes it writes.
    pub size: i32,
    /// What it writes.
    pub value: V,
}

impl<V> Piece<V> {
    /// The offset behind the last byte.
    pub fn end(&self) -> i32 {
        self.off + self.size
    }

    /// Whether it has no byte in common with another of the same base.
    pub fn is_apart(&self, other: &Self) -> bool {
        self.end() <= other.off || other.end() <= self.off
    }
}

impl Piece {
    /// The store of a register at a place, and the address less its offset.
    pub fn at(code: (&Region, &[Registers]), place: usize) -> Option<(Value, Self)> {
        let (base, Piece { at, off, size, value }) = Piece::of(code, place)?;
        match value {
            Source::Held(value) => Some((base, Self { at, off, size, value })),
            Source::Number(_) => None,
        }
    }
}

impl Piece<Source> {
    /// The store at a place, and the address less its offset.
    pub fn of((region, states): (&Region, &[Registers]), place: usize) -> Option<(Value, Self)> {
        let (Item::Kept(at), Some(Insn::Store { size, base, off, src })) =
            (&region.items[place], region.insn(place))
        else {
            return None;
        };
        let held = &states[place];
        let value = match src {
            Operand::Reg(src) => Source::Held(held[src.index()]),
            Operand::Imm(number) => Source::Number(*number),
        };
        Some((held[base.index()], Self { at: *at, off: (*off).into(), size: size.bytes() as i32, value }))
    }
}

/// The wide stores that the store at `root` may be the last part of, the widest first.
pub(in crate::rewrite) fn recognise(graph: &Graph, code: (&Region, &[Registers]), root: usize) -> Vec<Match> {
    let Some((base, last)) = Piece::at(code, root) else { return Vec::new() };
    let mut pieces = vec![last];
    for place in (root.saturating_sub(FAR)..root).rev() {
        match Piece::at(code, place) {
            // What is overwritten later is no part.
            Some((of, piece)) if of == base && pieces.iter().all(|known| known.is_apart(&piece)) => {
                pieces.push(piece);
            }
            _ => {}
        }
    }
    pieces.sort_unstable_by_key(|piece| piece.off);
    let mut found = Vec::new();
    for total in [8, 4, 2] {
        for first in (last.end() - total..=last.off).rev() {
            if let Some(tiles) = tiles(&pieces, first, total) {
                found.extend(of_pieces(graph, base, tiles));
            }
        }
    }
    found
}

/// The pieces, at least two, that together are `total` bytes from `first` on.
fn tiles(pieces: &[Piece], first: i32, total: i32) -> Option<&[Piece]> {
    let from = pieces.iter().position(|piece| piece.off == first)?;
    let count = pieces[from..].iter().take_while(|piece| piece.end() <= first + total).count();
    let tiles = &pieces[from..from + count];
    let covered: i32 = tiles.iter().map(|piece| piece.size).sum();
    (count > 1 && covered == total).then_some(tiles)
}

/// The stores of one number that adjacent pieces may be.
fn of_pieces(graph: &Graph, base: Value, pieces: &[Piece]) -> Vec<Match> {
    let sources = pieces.iter().map(|piece| cuts(graph, &[piece.value]));
    let common = sources.reduce(|all, of| all.into_iter().filter(|value| of.contains(value)).collect());
    // An address is in no wide store: bits of one are not what a program may have.
    let sources = common.unwrap_or_default().into_iter().filter(|source| *source != base);
    sources.filter_map(|source| of_source(graph, (base, source), pieces)).collect()
}

fn of_source(graph: &Graph, (base, source): (Value, Value), pieces: &[Piece]) -> Option<Match> {
    let first = pieces[0].off;
    let total = (pieces[pieces.len() - 1].end() - first) as usize;
    let functions: Vec<Function> =
        pieces.iter().map(|piece| Function::new(graph, piece.value, &[source])).collect::<Option<_>>()?;
    let is = |big: bool| {
        let mut numbers = samples().step_by(3).map(|number| number & graph.mask(source));
        numbers.all(|number| {
            let mut wanted = number.to_le_bytes()[..total].to_vec();
            if big {
                wanted.reverse();
            }
            pieces.iter().zip(&functions).all(|(piece, function)| {
                let (start, size) = ((piece.off - first) as usize, piece.size as usize);
                function.of(&[number]).to_le_bytes()[..size] == wanted[start..start + size]
            })
        })
    };
    let form = match (is(false), is(true), total) {
        (true, _, 2) => "le16",
        (true, _, 4) => "le32",
        (true, ..) => "le64",
        (_, true, 2) => "be16",
        (_, true, 4) => "be32",
        (_, true, _) => "be64",
        _ => return None,
    };
    let mut parts: Vec<Value> = functions.into_iter().flat_map(|function| function.parts).collect();
    parts.sort_unstable();
    parts.dedup();
    Some(Match {
        inputs: vec![("base", base), ("src", source)],
        immediates: vec![("off", first.into())],
        stores: pieces.iter().map(|piece| piece.at).collect(),
        // Swapped bytes are a copy, its swap and a store where no instruction does all.
        ..Match::new("wide_store", form, if form.starts_with("le") { 2 } else { 3 }, parts)
    })
}
