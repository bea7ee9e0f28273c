// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls: of the program's own functions, of helper functions by id or by register, and tail calls. r1 to r5 live where
//! the System V ABI has the first five arguments, r0 where it returns.

use kop_ops::code::runtime;
use kop_ops::ebpf::CallTarget;
use kop_ops::x86_64::{AluOp, BranchKind, Cond, Gpr, Mem, Size};

use super::guard::StubKind;
use super::{Compiler, RUNTIME, gpr};
use crate::analysis::TAIL_CALL;

impl<const PLANTED: bool> Compiler<'_, PLANTED> {
    /// A call.
    pub(super) fn call(&mut self, index: usize, target: CallTarget) {
        match target {
            CallTarget::Local(_) => self.call_local(index),
            CallTarget::Helper(id) => {
                let Some(displacement) = self.helpers.displacement(id) else {
                    return self
                        .fail(index, "more different helper functions are called than there is room for");
                };
                let slot = Mem::at(RUNTIME, displacement);
                if id == TAIL_CALL {
                    self.tail_call(index, slot);
                } else {
                    self.code.call_rm(slot);
                    self.check_helper(index);
                }
            }
            CallTarget::Register(register) => {
                self.code.mov(Size::B4, Gpr::R10, gpr(register));
                self.code.call_rm(Mem::at(RUNTIME, runtime::GATE));
                self.check_helper(index);
            }
            CallTarget::Kfunc { .. } => self.fail(index, "kernel functions exist in the kernel alone"),
            CallTarget::Kop { .. } => unreachable!("a Kop call stands behind its sidecar"),
        }
    }

    fn call_local(&mut self, index: usize) {
        let start = self.body.target(index) as u32;
        let number = self.body.functions.binary_search(&start).expect("a local call goes to a function");
        if self.options.guarded {
            self.count_frame(index);
        }
        self.branch(BranchKind::Call, (self.body.insns.len() + number) as u32);
        if self.options.guarded {
            self.uncount_frame();
        }
    }

    /// Leaves guarded code when the engine refused the call.
    fn check_helper(&mut self, index: usize) {
        if self.options.guarded {
            self.code.alu(AluOp::Cmp, Size::B8, Mem::at(RUNTIME, runtime::FAULT_KIND), 0);
            self.fault_if(Cond::Ne, index, StubKind::Helper);
        }
    }

    /// Goes on with another program in place of this function, or after the call where that fails.
    fn tail_call(&mut self, index: usize, slot: Mem) {
        self.code.call_rm(slot);
        self.check_helper(index);
        self.code.test(Size::B8, Gpr::Rax, Gpr::Rax);
        let failed = self.code.skip(Cond::E);
        self.code.mov(Size::B8, Gpr::Rdi, RUNTIME);
        self.take_down();
        self.code.jmp_rm(Gpr::Rax);
        self.code.land(failed);
    }
}
