// SPDX-License-Identifier: GPL-2.0-or-later
//! Which registers matter before each instruction of a program.

use std::collections::HashMap;

use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};
use kop_ops::program::{SiteTarget, sites};
use kop_ops::{Catalog, Flow};

use crate::site::Called;

const CALLER_SAVED: RegSet = RegSet::of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);

/// For each instruction the registers whose values before it may still be read.
///
/// A register that is in no set may hold anything there. Calls take what their signature may take, and what a function of the
/// program reads of its caller's registers; a Kop site whose operation is not known takes every register.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    before: Vec<RegSet>,
    /// The proof sequences of known sites, and the registers that hold garbage behind them, by the index of the call.
    sites: HashMap<usize, (Vec<Insn>, RegSet)>,
}

impl Liveness {
    /// The least solution of the equations of all instructions.
    #[cfg(test)]
    pub fn new(flow: &Flow) -> Self {
        Self::solved(flow, HashMap::new())
    }

    /// The same for a program with sites that call these operations.
    pub fn with_sites(flow: &Flow, catalog: &Catalog, operations: &[SiteTarget]) -> Self {
        let known = sites(flow.insns()).filter_map(|(sidecar, payload, id)| {
            let called = Called::find(catalog, operations, payload, id).ok()?;
            Some((sidecar + 1, (called.proof().ok()?, called.dead()?)))
        });
        Self::solved(flow, known.collect())
    }

    fn solved(flow: &Flow, sites: HashMap<usize, (Vec<Insn>, RegSet)>) -> Self {
        let count = flow.insns().len();
        let mut this = Self { before: vec![RegSet::EMPTY; count], sites };
        loop {
            let mut changed = false;
            for index in (0..count).rev() {
                let after = this.before.get(index + 1).copied().unwrap_or_default();
                let before = this.through(flow, index, after);
                changed |= before != this.before[index];
                this.before[index] = before;
            }
            if !changed {
                return this;
            }
        }
    }

    /// The registers that matter before the instruction `index`; none behind the last.
    pub fn before(&self, index: usize) -> RegSet {
        self.before.get(index).copied().unwrap_or_default()
    }

    /// The registers that the instruction `index` reads, those of the function that it calls among them.
    pub fn reads(&self, flow: &Flow, index: usize) -> RegSet {
        match (flow.insns()[index], flow.target(index)) {
            (Insn::Call { target: CallTarget::Local(_) }, Some(target)) => self.before(target),
            (insn, _) => insn.reads(),
        }
    }

    /// The registers that matter where the jump `index` goes; none for what is no jump.
    pub fn at_target(&self, flow: &Flow, index: usize) -> RegSet {
        match flow.target(index) {
            Some(target) if !flow.insns()[index].is_call() => self.before(target),
            _ => RegSet::EMPTY,
        }
    }

    /// What matters before the instruction `index`, when `after` is what matters before the one behind it.
    pub fn through(&self, flow: &Flow, index: usize, after: RegSet) -> RegSet {
        if let Some((proof, dead)) = self.sites.get(&index) {
            return before_proof(proof, after.minus(*dead));
        }
        let insn = &flow.insns()[index];
        let falls = if insn.is_terminator() { RegSet::EMPTY } else { after };
        let writes = match insn {
            Insn::Call { target: CallTarget::Kop { .. } } => RegSet::EMPTY,
            Insn::Call { .. } => CALLER_SAVED,
            insn => insn.writes(),
        };
        falls.minus(writes).union(self.reads(flow, index)).union(self.at_target(flow, index))
    }
}

/// What matters before a proof sequence: its jumps go forward, so that one pass backwards is enough.
fn before_proof(proof: &[Insn], after: RegSet) -> RegSet {
    let slots: Vec<usize> =
        proof.iter().scan(0, |slot, insn| Some(std::mem::replace(slot, *slot + insn.slots()))).collect();
    let mut before = vec![after; proof.len() + 1];
    for (at, insn) in proof.iter().enumerate().rev() {
        let falls = if insn.is_terminator() { RegSet::EMPTY } else { before[at + 1].minus(insn.writes()) };
        let jumps = insn.branch_offset().map_or(RegSet::EMPTY, |offset| {
            let to = slots[at] as i64 + 1 + i64::from(offset);
            before[slots.partition_point(|slot| (*slot as i64) < to)]
        });
        before[at] = falls.union(jumps).union(insn.reads());
    }
    before[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::program;

    fn before(text: &str, index: usize) -> Vec<u8> {
        let flow = program(text).flow;
        Liveness::new(&flow).before(index).iter().map(|register| register as u8).collect()
    }

    #[test]
    fn what_one_way_reads_matters_on_both() {
        let text = "if r1 == 0 goto +1\nr2 = r3\nr0 = r2\nexit";
        assert_eq!(before(text, 0), [1, 2, 3]);
        assert_eq!(before(text, 1), [3]);
        assert_eq!(before(text, 3), [0]);
    }

    #[test]
    fn a_loop_carries_registers_back() {
        let text = "r0 = 0\nr0 += r2\nr1 -= 1\nif r1 != 0 goto -3\nexit";
        assert_eq!(before(text, 0), [1, 2]);
        assert_eq!(before(text, 3), [0, 1, 2]);
    }

    #[test]
    fn calls_take_arguments_and_end_what_they_overwrite() {
        assert_eq!(before("call 5\nr0 += r3\nr0 += r6\nexit", 0), [1, 2, 3, 4, 5, 6]);
        // The function reads r2 and, of its caller's registers, r7; r6 comes back whatever it does.
        assert_eq!(before("call pc+2\nr0 += r6\nexit\nr6 = r2\nr0 = r6\nr0 += r7\nexit", 0), [2, 6, 7]);
    }

    #[test]
    fn a_site_that_is_there_takes_everything() {
        let text = "r3 = 1\nsidecar 0x10\ncall kop 1 slot 0\nr0 = 0\nexit";
        assert_eq!(before(text, 1).len(), 11);
    }

    #[test]
    fn a_known_site_takes_what_its_proof_reads() {
        let catalog = Catalog::einsn();
        let (kop, form) = (catalog.get("select").expect("it is there"), "number64");
        let found = kop.forms().iter().find(|known| known.name == form).expect("it is there");
        let operands = [("dst", "r0"), ("left", "r1"), ("number", "5"), ("a", "r2"), ("when", "1")];
        let operands = found.layout.parse(operands).expect("operands");
        let payload = found.layout.encode(&operands).expect("a payload");
        let text = format!("r3 = 1\nsidecar {payload:#x}\ncall kop 1 slot 0\nr0 += r4\nexit");
        let flow = program(&text).flow;
        let operations = [SiteTarget { id: 1, kop: "select".to_owned(), form: form.to_owned() }];
        let live = Liveness::with_sites(&flow, &catalog, &operations);
        let set = RegSet::of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R4]);
        assert_eq!(live.before(1), set, "r0 stays where the condition does not hold");
    }
}
