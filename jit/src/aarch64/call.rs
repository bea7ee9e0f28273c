// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls: of the program's own functions, of helper functions by id or by register, and tail calls. r1 to r5 live where
//! AAPCS64 has the first five arguments; a result moves from x0 to r0.

use kop_ops::aarch64::{Gpr, Insn, Mem, Size, Width};
use kop_ops::code::runtime;
use kop_ops::ebpf::{CallTarget, Reg};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, gpr};
use crate::analysis::TAIL_CALL;
use crate::error::CompileError;

/// Holds the address of a function that is called.
const FUNCTION: Gpr = Gpr::X9;

/// Holds the id of the helper function for the runtime block's gate.
const ID: Gpr = Gpr::X10;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// A call.
    pub(super) fn call(&mut self, index: usize, target: CallTarget) -> Result<(), CompileError> {
        match target {
            CallTarget::Local(_) => self.call_local(index),
            CallTarget::Helper(id) => {
                let slot = self.helper(index, id)?;
                self.load_imm(Width::W, ID, i64::from(id) as u64);
                self.call_outside(index, slot);
                if id == TAIL_CALL {
                    self.go_on();
                } else {
                    self.code.mov(Width::X, gpr(Reg::R0), Gpr::X0);
                }
            }
            CallTarget::Register(register) => {
                self.code.mov(Width::W, ID, gpr(register));
                self.call_outside(index, Mem::offset(RUNTIME, runtime::GATE));
                self.code.mov(Width::X, gpr(Reg::R0), Gpr::X0);
            }
            CallTarget::Kfunc { .. } => {
                let insn = self.body.insns[index];
                let reason = format!("`{insn}`: kernel functions exist in the kernel alone");
                return Err(CompileError::unsupported(self.body.origin(index) as usize, reason));
            }
            CallTarget::Kop { .. } => unreachable!("a Kop call stands behind its sidecar"),
        }
        Ok(())
    }

    fn helper(&mut self, index: usize, id: i32) -> Result<Mem, CompileError> {
        let displacement = self.helpers.displacement(id).ok_or_else(|| {
            let reason = format!("calls more than {} different helper functions", runtime::MAX_HELPERS);
            CompileError::unsupported(self.body.origin(index) as usize, reason)
        })?;
        Ok(Mem::offset(RUNTIME, displacement))
    }

    fn call_local(&mut self, index: usize) {
        let start = self.body.target(index) as u32;
        let number = self.body.functions.binary_search(&start).expect("a local call goes to a function");
        if self.options.guarded {
            self.count_frame(index);
        }
        self.branch(Insn::Bl { offset: 0 }, (self.body.insns.len() + number) as u32);
        if self.options.guarded {
            self.uncount_frame();
        }
    }

    /// Calls the function whose address is in the runtime block; leaves guarded code when the engine refused the call.
    fn call_outside(&mut self, index: usize, slot: Mem) {
        self.code.load(Size::B8, FUNCTION, slot);
        self.code.blr(FUNCTION);
        if self.options.guarded {
            self.code.load(Size::B8, FUNCTION, Mem::offset(RUNTIME, runtime::FAULT_KIND));
            self.fault_if(Insn::cbnz(Width::X, FUNCTION), index, StubKind::Helper);
        }
    }

    /// Goes on with another program in place of this function, or after the call where that failed.
    fn go_on(&mut self) {
        let failed = self.code.skip(Insn::cbz(Width::X, Gpr::X0));
        self.code.mov(Width::X, FUNCTION, Gpr::X0);
        self.code.mov(Width::X, Gpr::X0, RUNTIME);
        self.take_down();
        self.code.br(FUNCTION);
        self.code.land(failed);
    }
}
