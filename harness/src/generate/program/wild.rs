// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs that no verifier would accept: sound ones with a few instructions replaced.

use kop_ops::choices::Choices;
use kop_ops::ebpf::{AluOp, AtomicOp, CallTarget, Insn, Reg, Size};
use kop_ops::program::Flow;

use super::{values, wild_offset};

/// The program with up to three instructions replaced: accesses through any register, endless loops, endless recursion.
pub(super) fn spoil(flow: Flow, choices: &mut impl Choices) -> Flow {
    let mut insns = flow.insns().to_vec();
    for _ in 0..1 + choices.below(3) {
        let index = choices.below(insns.len() as u64) as usize;
        if is_plain(&insns[index]) {
            insns[index] = replacement(&flow, index, choices);
        }
    }
    // What goes to the middle of something is no program: it stays as it was.
    Flow::new(insns).unwrap_or(flow)
}

/// Whether an instruction can be replaced by another of one slot.
fn is_plain(insn: &Insn) -> bool {
    let stays = matches!(insn, Insn::Sidecar { .. } | Insn::Call { .. } | Insn::Exit);
    !stays && insn.slots() == 1 && !insn.is_terminator()
}

fn replacement(flow: &Flow, index: usize, choices: &mut impl Choices) -> Insn {
    let (one, other) = (*choices.pick(&Reg::WRITABLE), *choices.pick(&Reg::ALL));
    let size = *choices.pick(&Size::ALL);
    let off = wild_offset(choices);
    match choices.below(8) {
        0..=1 => Insn::load(size, one, other, off),
        2..=3 => Insn::store(size, other, off, one),
        4 => {
            let op = *choices.pick(&AtomicOp::ALL);
            let size = if choices.one_in(2) { Size::B4 } else { Size::B8 };
            Insn::atomic(op, size, other, off, one)
        }
        5 => Insn::alu64(AluOp::Add, one, values::imm(choices)),
        6 => {
            // Back to somewhere in the same function.
            let start = flow.functions().iter().rev().find(|start| **start as usize <= index);
            let start = start.map_or(0, |start| *start as usize);
            let to = start + choices.below((index - start + 1) as u64) as usize;
            Insn::Gotol { off: flow.slot(to) as i32 - flow.slot(index + 1) as i32 }
        }
        _ => {
            let function = *choices.pick(flow.functions()) as usize;
            let offset = flow.slot(function) as i32 - flow.slot(index + 1) as i32;
            Insn::Call { target: CallTarget::Local(offset) }
        }
    }
}
