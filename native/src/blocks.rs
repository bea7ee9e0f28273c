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
    pub of: Vec<u32>,
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
        Self { ranges, of }
    }

    /// Where a block goes when its last operation does not jump, and when it does.
    pub fn successors(&self, flat: &Flat, block: usize) -> [Option<usize>; 2] {
        let last = self.ranges[block].end - 1;
        let op = &flat.ops[last];
        let next = (goes_on(op) && last + 1 < flat.ops.len()).then(|| self.of[last + 1] as usize);
        let target = (op.target != NOWHERE).then(|| self.of[op.target as usize] as usize);
        [next, target]
    }
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
