// SPDX-License-Identifier: GPL-2.0-or-later
//! Which accesses are the program's own. Those to a context, and to other objects of the kernel, are rewritten by the verifier, which
//! looks at plain instructions alone: they stay as they are.

use kop_ops::ebpf::{AluOp, CallTarget, Insn, Operand, Reg, RegSet, Size};
use kop_ops::program::MAP_VALUE_INDEX;
use kop_ops::{Flow, Program, ProgramKind};

/// `bpf_map_lookup_elem`, `bpf_ringbuf_reserve` and `bpf_map_lookup_percpu_elem`, whose results are memory or null.
const RETURN_MEMORY: [i32; 3] = [1, 131, 195];

/// For each instruction the registers that hold numbers or addresses of packets, stack and map values, whatever the way there.
#[derive(Clone, Debug)]
pub(super) struct Contexts {
    /// `None` where no program of the kind has a context.
    own: Option<Vec<RegSet>>,
    bases: Vec<Option<Reg>>,
}

impl Contexts {
    /// Looks at a program.
    pub fn new(program: &Program) -> Self {
        let flow = &program.flow;
        let base = |insn: &Insn| match *insn {
            Insn::Load { base, .. } | Insn::Store { base, .. } => Some(base),
            _ => None,
        };
        Self {
            own: (program.kind != ProgramKind::Raw).then(|| own(flow)),
            bases: flow.insns().iter().map(base).collect(),
        }
    }

    /// Whether the load or store at this index may become part of a site.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, access: usize) -> Result<(), String> {
        let Some(own) = &self.own else { return Ok(()) };
        match self.bases[access] {
            Some(base) if !own[access].has(base) => Err(format!(
                "{base} may be the address of a context, whose accesses the kernel rewrites (instruction {access})"
            )),
            _ => Ok(()),
        }
    }
}

/// The greatest solution: everything is the program's own but for what the entry and instructions bring in.
fn own(flow: &Flow) -> Vec<RegSet> {
    let count = flow.insns().len();
    let mut before = vec![RegSet::ALL; count];
    // Functions may be given contexts in any argument.
    let foreign = RegSet::of(&[Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]);
    for &start in flow.functions() {
        before[start as usize] = RegSet::ALL.minus(foreign);
    }
    loop {
        let old = before.clone();
        for index in 0..count {
            let insn = &flow.insns()[index];
            let after = through(insn, before[index]);
            if !insn.is_terminator() && index + 1 < count {
                before[index + 1] = before[index + 1].intersect(after);
            }
            if let Some(target) = flow.target(index).filter(|_| !insn.is_call()) {
                before[target] = before[target].intersect(after);
            }
        }
        if before == old {
            return before;
        }
    }
}

fn through(insn: &Insn, before: RegSet) -> RegSet {
    let with = |register: Reg, is_own: bool| {
        if is_own { before.union(register.into()) } else { before.minus(register.into()) }
    };
    match *insn {
        Insn::Alu { op, dst, src, .. } => {
            let right = match src {
                Operand::Reg(register) => before.has(register),
                Operand::Imm(_) => true,
            };
            with(dst, right && (op == AluOp::Mov || op.is_sign_extension() || before.has(dst)))
        }
        Insn::LoadImm64 { dst, kind, .. } => with(dst, matches!(kind, 0 | MAP_VALUE_INDEX)),
        // An address has eight bytes, but for those of a packet.
        Insn::Load { size, dst, .. } => with(dst, size != Size::B8),
        Insn::Atomic { .. } => before.minus(insn.writes()),
        Insn::Call { target: CallTarget::Helper(id) } if RETURN_MEMORY.contains(&id) => {
            before.minus(insn.writes()).union(Reg::R0.into())
        }
        Insn::Call { .. } => before.minus(insn.writes()),
        // What such loads leave in r0 is a number of the packet.
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } => before.minus(insn.writes()).union(Reg::R0.into()),
        _ => before,
    }
}
