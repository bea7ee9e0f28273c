// SPDX-License-Identifier: GPL-2.0-or-later
//! Basic blocks of a flat program.

use std::ops::Range;

use kop_ops::ebpf::{CallTarget, Insn};
use kop_ops::program::NOWHERE;

use crate::flat::{Flat, Op, TAIL_CALL, What};

/// Operations that run one after the other.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// The operations of each.
    pub ranges: Vec<Range<usize>>,
    /// The block of each operation.
    of: Vec<u32>,
    /// For each block the one that runs in its place: where it leads to, if it does nothing but jump.
    instead: Vec<u32>,
}

impl Blocks {
    /// Finds the blocks: one starts with the program, at the target of a jump, and behind a jump.
    pub fn new(flat: &Flat) -> Self {
        let count = flat.ops.len();
        let mut starts = vec![false; count];
        starts[0] = true;
        for (index, op) in flat.ops.iter().enumerate() {
            if op.target != NOWHERE {
                starts[op.target as usize] = true;
            }
            if (op.target != NOWHERE || !goes_on(op) || is_tail_call(op)) && index + 1 < count {
                starts[index + 1] = true;
            }
        }
        let (mut ranges, mut of) = (Vec::new(), Vec::with_capacity(count));
        for (index, is_start) in starts.into_iter().enumerate() {
            if is_start {
                ranges.push(index..index);
            }
            of.push(ranges.len() as u32 - 1);
            ranges.last_mut().expect("the first operation starts a block").end = index + 1;
        }
        let instead = (0..ranges.len() as u32).map(|block| end_of_jumps(flat, &ranges, &of, block));
        let instead = instead.collect();
        Self { ranges, of, instead }
    }

    /// The block that runs where a jump leads to the operation `index`, which starts a block.
    pub fn at(&self, index: usize) -> usize {
        self.instead[self.of[index] as usize] as usize
    }

    /// Where a block goes when its last operation does not jump, and when it does.
    pub fn successors(&self, flat: &Flat, block: usize) -> [Option<usize>; 2] {
        let last = self.ranges[block].end - 1;
        let op = &flat.ops[last];
        let next = (goes_on(op) && last + 1 < flat.ops.len()).then(|| self.at(last + 1));
        let target = (op.target != NOWHERE).then(|| self.at(op.target as usize));
        [next, target]
    }
}

/// Where a block leads to that does nothing but jump, and those that it leads to; itself where it does more.
fn end_of_jumps(flat: &Flat, ranges: &[Range<usize>], of: &[u32], mut block: u32) -> u32 {
    /// Jumps may go in a circle.
    const LONGEST: usize = 32;
    for _ in 0..LONGEST {
        let op = &flat.ops[ranges[block as usize].start];
        let jumps = matches!(op.what, What::Leave | What::Insn(Insn::Ja { .. } | Insn::Gotol { .. }));
        if !jumps {
            break;
        }
        block = of[op.target as usize];
    }
    block
}

/// Whether the next operation may be the next one in order.
fn goes_on(op: &Op) -> bool {
    match op.what {
        What::Insn(insn) => !matches!(insn, Insn::Exit | Insn::Ja { .. } | Insn::Gotol { .. }),
        What::Enter => true,
        What::Leave => false,
    }
}

/// Whether another program may go on in the place of the operation's function.
pub(crate) fn is_tail_call(op: &Op) -> bool {
    op.what == What::Insn(Insn::Call { target: CallTarget::Helper(TAIL_CALL) })
}
