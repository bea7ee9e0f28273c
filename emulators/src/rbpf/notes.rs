// SPDX-License-Identifier: GPL-2.0-or-later
//! Proofs with notes: code before some instructions that writes down that they run, and where jumps go now.

use std::collections::{BTreeSet, HashMap};

use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::Slot;

/// The words that a note takes in the trace: a register's value, and 1 once it was written.
pub(super) type Note = [u64; 2];

/// A note at `address` that says it was reached, with the value of `reg` if one is asked for.
///
/// It uses r10, which no proof can change, and puts it back.
fn note(address: u64, reg: Option<Reg>, slot: Slot) -> Vec<Insn> {
    use kop_ops::ebpf::Size;
    let mut code = vec![Insn::load_imm64(Reg::R10, address)];
    code.extend(reg.map(|reg| Insn::store(Size::B8, Reg::R10, 0, reg)));
    code.extend([Insn::store(Size::B8, Reg::R10, 8, 1), Insn::load_imm64(Reg::R10, slot.stack_end())]);
    code
}

/// The proof with a note before each access of what its base register holds, in order.
pub(super) fn of_accesses(proof: &[Insn], slot: Slot, trace: u64) -> Vec<Insn> {
    let mut address = trace;
    annotated(proof, |_, insn| {
        let base = base(insn)?;
        let noted = note(address, Some(base), slot);
        address += size_of::<Note>() as u64;
        Some(noted)
    })
}

/// The proof with a note at the start of each of its blocks, in order.
pub(super) fn of_blocks(proof: &[Insn], slot: Slot, trace: u64) -> Vec<Insn> {
    let starts = block_starts(proof);
    let mut address = trace;
    annotated(proof, |at, _| {
        let noted = starts.contains(&at).then(|| note(address, None, slot))?;
        address += size_of::<Note>() as u64;
        Some(noted)
    })
}

/// The slots at which blocks start: the first one, where jumps go and what follows them; the end is none.
pub(super) fn block_starts(proof: &[Insn]) -> BTreeSet<usize> {
    let mut starts = BTreeSet::from([0]);
    let mut at = 0;
    for insn in proof {
        at += insn.slots();
        if let Some(offset) = insn.branch_offset() {
            starts.insert(at);
            starts.extend(at.checked_add_signed(offset as isize));
        }
    }
    starts.remove(&at);
    starts
}

/// The proof with what `before` gives before each instruction, asked with its slot; jumps lead to the notes.
fn annotated(proof: &[Insn], mut before: impl FnMut(usize, &Insn) -> Option<Vec<Insn>>) -> Vec<Insn> {
    let slots = |code: &[Insn]| code.iter().map(Insn::slots).sum::<usize>();
    let (mut old, mut new) = (0, 0);
    let mut moved = HashMap::new();
    let mut places = Vec::with_capacity(proof.len());
    for insn in proof {
        let notes = before(old, insn).unwrap_or_default();
        moved.insert(old, new);
        new += slots(&notes) + insn.slots();
        old += insn.slots();
        places.push((notes, old, new));
    }
    moved.insert(old, new);
    let mut code = Vec::with_capacity(proof.len());
    for (insn, (notes, old, new)) in proof.iter().zip(places) {
        code.extend(notes);
        let target = insn.branch_offset().map(|offset| old as i64 + i64::from(offset));
        let insn = match target.and_then(|target| moved.get(&(target as usize))) {
            Some(&target) => insn
                .with_branch_offset((target as i64 - new as i64) as i32)
                .expect("the lint bounds the length"),
            None => *insn,
        };
        code.push(insn);
    }
    code
}

fn base(insn: &Insn) -> Option<Reg> {
    match *insn {
        Insn::Load { base, .. } | Insn::Store { base, .. } | Insn::Atomic { base, .. } => Some(base),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kop_ops::ebpf::{AluOp, Cond};

    #[test]
    fn blocks_start_at_targets_and_after_jumps() {
        let (r0, r1) = (Reg::R0, Reg::R1);
        let proof = [
            Insn::load_imm64(r0, 0),
            Insn::jump(Cond::Eq, r1, 0, 2),
            Insn::alu64(AluOp::Add, r0, 1),
            Insn::alu64(AluOp::Add, r0, 2),
            Insn::alu64(AluOp::Add, r0, 3),
        ];
        assert_eq!(block_starts(&proof), BTreeSet::from([0, 3, 5]));
        assert_eq!(block_starts(&proof[..1]), BTreeSet::from([0]));
        assert_eq!(block_starts(&[Insn::ja(0)]), BTreeSet::from([0]));
    }
}
