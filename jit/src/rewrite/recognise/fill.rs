// SPDX-License-Identifier: GPL-2.0-or-later
//! Adjacent bytes that all become the same one: objects that are cleared, above all.

use super::store::{FAR, Piece, Source};
use super::{Match, samples, separates};
use crate::rewrite::claim::sees_memory;
use crate::rewrite::function::{Function, cuts};
use crate::rewrite::region::Region;
use crate::rewrite::value::{Graph, Node, Registers, Value};

/// The most bytes of a fill.
const MOST: i32 = 128;

/// How many stores of zero there are at least, and of any other byte, which is repeated in a register first.
const FEWEST: usize = 2;
const FEWEST_OF_BYTE: usize = 4;

/// The offsets that the form for zero has, which are multiples of eight.
const SLOTS: std::ops::RangeInclusive<i32> = -128..=120;

/// The byte that stores repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Number(u8),
    /// The lowest one of a value.
    Of(Value),
}

/// Stores of one base, by offset.
type Run = Vec<Piece<Source>>;

/// A program's straight code, with what registers hold.
type Code<'c> = (&'c Region<'c>, &'c [Registers]);

/// The fills that the store at `root` may be the last part of.
pub(in crate::rewrite) fn recognise(graph: &Graph, code: Code, root: usize) -> Vec<Match> {
    let Some((base, last)) = Piece::of(code, root) else { return Vec::new() };
    let any = run(code, root, |_| true, |_| false);
    let bytes = match number(graph, last.value) {
        _ if any.len() < FEWEST => Vec::new(),
        Some(number) => repeated(number, last.size).map(Byte::Number).into_iter().collect(),
        None if any.len() < FEWEST_OF_BYTE => Vec::new(),
        None => sources(graph, &last).into_iter().filter(|source| *source != base).map(Byte::Of).collect(),
    };
    let mut found = Vec::new();
    for byte in bytes {
        let is_part = |piece: &Piece<Source>| is_of(graph, piece, byte);
        // All of it, and what nothing else separates.
        let whole = run(code, root, is_part, |_| false);
        let near = run(code, root, is_part, |place| separates(graph, code, place, (base, false)));
        found.extend(fills(graph, (base, byte), &whole, &last));
        if near.len() < whole.len() {
            found.extend(fills(graph, (base, byte), &near, &last));
        }
    }
    // A number may be from before a call or a way out, which stores do not pass: it stays there.
    let (region, _) = code;
    let is_passed =
        |place: usize| region.accesses(place).is_empty() && sees_memory(region, &region.items[place]);
    if (0..root).any(is_passed) {
        let bare = found.iter().filter(|found| !found.parts.is_empty());
        let bare: Vec<Match> = bare.map(|found| Match { parts: Vec::new(), ..found.clone() }).collect();
        found.extend(bare);
    }
    found
}

/// The number that a store writes.
fn number(graph: &Graph, source: Source) -> Option<u64> {
    match source {
        Source::Number(number) => Some(i64::from(number) as u64),
        Source::Held(value) => match graph.node(value) {
            Node::Constant(number) => Some(number),
            _ => None,
        },
    }
}

/// The byte that all the lowest `size` ones are.
fn repeated(number: u64, size: i32) -> Option<u8> {
    let bytes = number.to_le_bytes();
    bytes[..size as usize].iter().all(|byte| *byte == bytes[0]).then_some(bytes[0])
}

/// The values whose lowest byte is every byte that a store writes, the nearest two.
fn sources(graph: &Graph, piece: &Piece<Source>) -> Vec<Value> {
    let Source::Held(value) = piece.value else { return Vec::new() };
    let is_source = |source: &Value| is_of(graph, piece, Byte::Of(*source));
    cuts(graph, &[value]).into_iter().filter(is_source).take(2).collect()
}

/// Whether a store writes nothing but this byte.
fn is_of(graph: &Graph, piece: &Piece<Source>, byte: Byte) -> bool {
    match (byte, piece.value) {
        (Byte::Number(byte), stored) => {
            number(graph, stored).is_some_and(|number| repeated(number, piece.size) == Some(byte))
        }
        (Byte::Of(source), Source::Held(value)) => {
            let function = Function::new(graph, value, &[source]);
            let mut numbers = samples().step_by(3).map(|number| number & graph.mask(source));
            function.is_some_and(|function| {
                numbers.all(|number| repeated(function.of(&[number]), piece.size) == Some(number as u8))
            })
        }
        (Byte::Of(_), Source::Number(_)) => false,
    }
}

/// The adjacent stores around that at `root`, of its base, that are parts; none is looked for from what `stops` on.
fn run(
    code: Code,
    root: usize,
    is_part: impl Fn(&Piece<Source>) -> bool,
    stops: impl Fn(usize) -> bool,
) -> Run {
    let Some((base, last)) = Piece::of(code, root) else { return Vec::new() };
    let (mut parts, mut others) = (vec![last], Vec::new());
    for place in (root.saturating_sub(FAR)..root).rev() {
        if stops(place) {
            break;
        }
        let Some((_, piece)) = Piece::of(code, place).filter(|(of, _)| *of == base) else { continue };
        // What is overwritten later is no part.
        let is_whole = parts.iter().chain(&others).all(|known| known.is_apart(&piece));
        if is_whole && is_part(&piece) { &mut parts } else { &mut others }.push(piece);
    }
    parts.sort_unstable_by_key(|piece| piece.off);
    let mut runs = parts.chunk_by(|one, next| one.end() == next.off);
    runs.find(|run| run.iter().any(|piece| piece.at == last.at)).unwrap_or_default().to_vec()
}

/// The fills that stores of a byte may be: the longest that the operation has the offset for, and the longest with one that is added to the
/// base first, where that is longer.
fn fills(graph: &Graph, of: (Value, Byte), run: &Run, last: &Piece<Source>) -> Vec<Match> {
    let fewest = if of.1 == Byte::Number(0) { FEWEST } else { FEWEST_OF_BYTE };
    let from = |first: usize| {
        let stays = |piece: &&Piece<Source>| piece.end() - run[first].off <= MOST;
        let count = run[first..].iter().take_while(stays).count();
        let part = &run[first..first + count];
        (count >= fewest && part.iter().any(|piece| piece.at == last.at)).then_some(part)
    };
    let longest = |is_direct: bool| {
        let starts = (0..run.len()).filter(|first| !is_direct || has_offset(of.1, run[*first].off));
        starts.filter_map(from).max_by_key(|part| (part.len(), std::cmp::Reverse(part[0].off)))
    };
    let (direct, any) = (longest(true), longest(false));
    // What is added takes two instructions.
    let is_longer = any.zip(direct).is_none_or(|(any, direct)| any.len() > direct.len() + 2);
    any.filter(|_| is_longer).into_iter().chain(direct).map(|part| fill(graph, of, part)).collect()
}

/// Whether the form for a byte begins at this distance from its base.
fn has_offset(byte: Byte, off: i32) -> bool {
    if byte == Byte::Number(0) { off % 8 == 0 && SLOTS.contains(&off) } else { off == 0 }
}

/// The fill that these stores are.
fn fill(graph: &Graph, (base, byte): (Value, Byte), run: &[Piece<Source>]) -> Match {
    let first = run[0].off;
    let length = run[run.len() - 1].end() - first;
    let distance = if has_offset(byte, first) { 0 } else { first };
    let mut held: Vec<(usize, Value)> =
        run.iter().filter_map(|piece| Some((piece.at, held(piece)?))).collect();
    held.sort_unstable_by_key(|(at, _)| *at);
    let mut parts: Vec<Value> = held.iter().flat_map(|(_, value)| parts(graph, *value, byte)).collect();
    parts.sort_unstable();
    parts.dedup();
    let (mut inputs, mut numbers) = (vec![("base", base)], Vec::new());
    let mut immediates = vec![("length", i64::from(length))];
    match (byte, held.first()) {
        (Byte::Number(0), _) => immediates.push(("slot", i64::from((first - distance) / 8))),
        (Byte::Number(_), Some((_, value))) => inputs.push(("src", *value)),
        (Byte::Number(byte), None) => numbers.push(("src", byte.into())),
        (Byte::Of(source), _) => inputs.push(("src", source)),
    }
    Match {
        inputs,
        immediates,
        distance,
        numbers,
        stores: run.iter().map(|piece| piece.at).collect(),
        ..Match::weighed("bulk_fill", if byte == Byte::Number(0) { "zero" } else { "byte" }, parts)
    }
}

fn held(piece: &Piece<Source>) -> Option<Value> {
    match piece.value {
        Source::Held(value) => Some(value),
        Source::Number(_) => None,
    }
}

/// The values that nothing but these stores may need.
fn parts(graph: &Graph, value: Value, byte: Byte) -> Vec<Value> {
    match byte {
        Byte::Number(_) => vec![value],
        Byte::Of(source) => {
            Function::new(graph, value, &[source]).map_or(Vec::new(), |function| function.parts)
        }
    }
}
