// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes that are moved within one object, in pieces: addresses of a header in particular, which are aligned to two bytes alone.

use super::Match;
use super::store::{FAR, Piece};
use crate::rewrite::region::Region;
use crate::rewrite::value::{Graph, Node, Registers, Value};

/// The most bytes of a copy.
const MOST: i32 = 8;

/// A piece that is loaded from the same address less another offset.
#[derive(Clone, Copy, Debug)]
struct Copied {
    piece: Piece,
    /// The index of the load.
    load: usize,
    /// The offset that it loads from.
    from: i32,
}

impl Copied {
    fn new(graph: &Graph, (base, piece): (Value, Piece)) -> Option<Self> {
        match graph.node(piece.value) {
            Node::Load { at, size, base: of, off, .. } if of == base && size.bytes() as i32 == piece.size => {
                Some(Self { piece, load: at, from: off.into() })
            }
            _ => None,
        }
    }

    fn distance(&self) -> i32 {
        self.piece.off - self.from
    }
}

/// The copies that the store at `root` may be the last part of, the longest first.
pub(in crate::rewrite) fn recognise(graph: &Graph, code: (&Region, &[Registers]), root: usize) -> Vec<Match> {
    let Some((base, piece)) = Piece::at(code, root) else { return Vec::new() };
    let Some(last) = Copied::new(graph, (base, piece)) else { return Vec::new() };
    let mut copied = vec![last];
    for place in (root.saturating_sub(FAR)..root).rev() {
        let Some((_, piece)) = Piece::at(code, place).filter(|(of, _)| *of == base) else { continue };
        // What is overwritten later is no part.
        let is_apart = copied.iter().all(|known| known.piece.is_apart(&piece));
        match Copied::new(graph, (base, piece)) {
            Some(other) if is_apart && other.distance() == last.distance() => copied.push(other),
            _ => {}
        }
    }
    copied.sort_unstable_by_key(|known| known.piece.off);
    let mut found = Vec::new();
    for first in 0..copied.len() {
        let adjacent = |pair: &&[Copied]| pair[0].piece.end() == pair[1].piece.off;
        let run = 1 + copied[first..].windows(2).take_while(adjacent).count();
        for count in 2..=run {
            let run = &copied[first..first + count];
            let has_last = run.iter().any(|known| known.piece.at == last.piece.at);
            if has_last && length(run) <= MOST {
                found.push((length(run), of_run(base, run)));
            }
        }
    }
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found.into_iter().filter_map(|(_, found)| found).collect()
}

fn length(run: &[Copied]) -> i32 {
    run[run.len() - 1].piece.end() - run[0].piece.off
}

/// The copy of adjacent pieces, where the operation has their offsets: even ones.
fn of_run(base: Value, run: &[Copied]) -> Option<Match> {
    let (length, to, from) = (length(run), run[0].piece.off, run[0].from);
    if to % 2 != 0 || from % 2 != 0 || to < 0 || from < 0 {
        return None;
    }
    // At most two loads and two stores; one of each where a register's size is that of all.
    let native = if matches!(length, 2 | 4 | 8) { 2 } else { 4 };
    let immediates = vec![("length", length.into()), ("to", (to / 2).into()), ("from", (from / 2).into())];
    Some(Match {
        inputs: vec![("base", base)],
        immediates,
        loads: run.iter().map(|known| known.load).collect(),
        stores: run.iter().map(|known| known.piece.at).collect(),
        ..Match::new("bulk_copy", "within", native + 1, run.iter().map(|known| known.piece.value).collect())
    })
}
