// SPDX-License-Identifier: GPL-2.0-or-later
//! Which registers matter before each instruction of a program.

use kop_ops::Flow;
use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};

const CALLER_SAVED: RegSet = RegSet::of(&[Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);

/// For each instruction the registers whose values before it may still be read.
///
/// A register that is in no set may hold anything there. Calls take what their signature may take, and what a function of the
/// program reads of its caller's registers; a Kop site that is there already takes every register.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    before: Vec<RegSet>,
}

impl Liveness {
    /// The least solution of the equations of all instructions.
    pub fn new(flow: &Flow) -> Self {
        let count = flow.insns().len();
        let mut this = Self { before: vec![RegSet::EMPTY; count] };
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
}
