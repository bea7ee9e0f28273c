// SPDX-License-Identifier: GPL-2.0-or-later
//! The loops of eBPF that run a proof on rows of states. A row holds the inputs, and afterwards outputs in their places.

use kop_ops::ebpf::{AluOp, Cond, Insn, Reg, RegSet, Size};
use kop_ops::state::Slot;

/// The proof in a loop over the rows from `rows` on, for proofs that access no memory and so never fault.
///
/// `None` when the proof leaves no two registers for the loop.
pub(super) fn quick(
    proof: &[Insn],
    inputs: RegSet,
    outputs: RegSet,
    slot: Slot,
    rows: std::ops::Range<u64>,
) -> Option<Vec<Insn>> {
    if proof.iter().any(|insn| insn.access().is_some()) {
        return None;
    }
    let touched = proof.iter().fold(inputs, |all, insn| all.union(insn.reads()).union(insn.writes()));
    let mut free = RegSet::ALL.minus(touched).minus(RegSet::from(Reg::R10)).iter();
    let (row, end) = (free.next()?, free.next()?);

    let mut code = Vec::with_capacity(proof.len() + 24);
    code.extend([
        Insn::load_imm64(row, rows.start),
        Insn::load_imm64(end, rows.end),
        Insn::load_imm64(Reg::R10, slot.stack_end()),
    ]);
    let before: usize = code.iter().map(Insn::slots).sum();
    code.extend(loads(inputs, row));
    code.extend_from_slice(proof);
    code.extend(stores(inputs, outputs, row));
    code.push(Insn::alu64(AluOp::Add, row, stride(inputs)));
    let length: usize = code.iter().map(Insn::slots).sum();
    code.push(Insn::jump(Cond::Ne, row, end, back(length - before)));
    code.push(Insn::exit());
    Some(code)
}

/// The proof in a loop that keeps its place in memory, at `cursor`: the address of the row that runs, which is there after a
/// fault, and the end of the rows. It needs no register but r10, which proofs cannot change, and one of the inputs.
pub(super) fn faulting(
    proof: &[Insn],
    inputs: RegSet,
    outputs: RegSet,
    slot: Slot,
    cursor: u64,
) -> Vec<Insn> {
    let r10 = Reg::R10;
    let at_cursor = [Insn::load_imm64(r10, cursor), Insn::load(Size::B8, r10, r10, 0)];
    let mut code = Vec::with_capacity(proof.len() + 40);
    code.extend(at_cursor);
    code.extend(loads(inputs, r10));
    code.push(Insn::load_imm64(r10, slot.stack_end()));
    code.extend_from_slice(proof);
    code.extend(at_cursor);
    code.extend(stores(inputs, outputs, r10));
    // An input is free now: the next row loads it again.
    let free = inputs.iter().find(|&reg| reg != r10).expect("an input other than r10 is the harness's duty");
    code.extend([
        Insn::load_imm64(r10, cursor),
        Insn::load(Size::B8, free, r10, 0),
        Insn::alu64(AluOp::Add, free, stride(inputs)),
        Insn::store(Size::B8, r10, 0, free),
        Insn::load(Size::B8, r10, r10, 8),
    ]);
    let length: usize = code.iter().map(Insn::slots).sum();
    code.push(Insn::jump(Cond::Ne, free, r10, back(length)));
    code.push(Insn::exit());
    code
}

/// Loads the inputs from a row. r10 is no matter of rows: it holds what it always holds.
fn loads(inputs: RegSet, row: Reg) -> impl Iterator<Item = Insn> {
    let words = inputs.iter().enumerate().filter(|&(_, reg)| reg != Reg::R10);
    words.map(move |(i, reg)| Insn::load(Size::B8, reg, row, word(i)))
}

/// Stores the outputs into a row.
fn stores(inputs: RegSet, outputs: RegSet, row: Reg) -> impl Iterator<Item = Insn> {
    let words = inputs.iter().enumerate().filter(move |&(_, reg)| outputs.has(reg) && reg != Reg::R10);
    words.map(move |(i, reg)| Insn::store(Size::B8, row, word(i), reg))
}

fn word(i: usize) -> i16 {
    i16::try_from(8 * i).expect("rows are short")
}

fn stride(inputs: RegSet) -> i32 {
    8 * inputs.len() as i32
}

/// The offset of a jump back over as many slots as come before it.
fn back(slots: usize) -> i16 {
    -i16::try_from(slots + 1).expect("the lint bounds the length")
}
