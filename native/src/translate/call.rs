// SPDX-License-Identifier: GPL-2.0-or-later
//! Calls of the program's own functions, of helper functions, and tail calls.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, InstBuilder, MemFlagsData, SigRef, Signature, UserExternalName,
    Value,
};
use kop_ops::code::runtime;
use kop_ops::ebpf::{CallTarget, Reg, Size};
use kop_ops::program::{MAY_GOTO_BUDGET, NOWHERE};
use kop_semantics::world::helpers::Helper;

use super::{TAIL_CALL_THUNK, Translator};
use crate::error::CompileError;
use crate::flat::{Op, TAIL_CALL};
use crate::flow::Array;
use crate::planted::Planted;

/// How many arguments a helper function has at most.
const ARGUMENTS: usize = 5;

impl Translator<'_> {
    /// A function starts, with its caller's r6 to r9.
    pub(super) fn enter(&mut self, frame: u32) {
        let depth = usize::from(self.known.flat.depths[frame as usize]);
        let first = 6 + 4 * (depth - 1);
        for number in first..first + 4 {
            self.inherit(number + 4, number);
        }
        if let Some(budget) = self.budgets[frame as usize] {
            let value = self.builder.ins().iconst(I64, MAY_GOTO_BUDGET as i64);
            self.builder.def_var(budget, value);
        }
    }

    /// A call of something outside.
    pub(super) fn call(&mut self, index: usize, op: Op, target: CallTarget) -> Result<(), CompileError> {
        let refused = |reason: &str| Err(CompileError::unsupported(op.origin as usize, reason));
        match target {
            CallTarget::Helper(id) => self.helper(index, op, id),
            CallTarget::Register(_) => refused("a call by register: the verifier accepts none"),
            CallTarget::Kfunc { .. } => {
                refused("a call of a kernel function: they exist in the kernel alone")
            }
            CallTarget::Kop { .. } => refused("a Kop site: the native tier takes proof sequences"),
            CallTarget::Local(_) => unreachable!("local calls are replaced"),
        }
    }

    /// A lookup in an array, as the kernel's verifier inlines it: the element's address if there is one, and zero if not.
    fn lookup(&mut self, index: usize, op: Op, array: Array) {
        let key = match self.known.slots.of(index) {
            Some((number, slot)) => self.load_slot(index, number, slot, Size::B4),
            None => {
                let (address, off) = self.address(op.frame, (Reg::R2, 0));
                let flags = self.flags(self.region(index));
                self.builder.ins().load(I32, flags, address, off)
            }
        };
        let count = array.count + u32::from(self.planted(Planted::ArrayBound));
        let is_there = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, key, i64::from(count));
        let number = self.builder.ins().uextend(I64, key);
        let stride = self.builder.ins().iconst(I64, array.stride as i64);
        let distance = self.builder.ins().imul(number, stride);
        let first = self.builder.ins().iconst(I64, array.first as i64);
        let place = self.builder.ins().iadd(distance, first);
        let zero = self.builder.ins().iconst(I64, 0);
        let result = self.builder.ins().select(is_there, place, zero);
        self.set(op.frame, Reg::R0, result);
        self.clobber(op.frame);
    }

    fn helper(&mut self, index: usize, op: Op, id: i32) -> Result<(), CompileError> {
        if let Some(&array) = self.known.facts.lookups.get(&index) {
            self.lookup(index, op, array);
            return Ok(());
        }
        let slot = self.helpers.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.helpers.push(id);
            self.helpers.len() - 1
        });
        if slot >= runtime::MAX_HELPERS {
            let reason = format!("calls more than {} different helper functions", runtime::MAX_HELPERS);
            return Err(CompileError::unsupported(op.origin as usize, reason));
        }
        // The table stays as it is while a program runs.
        let flags = MemFlagsData::trusted().with_readonly().with_can_move();
        let displacement = runtime::HELPERS + 8 * slot as i32;
        let function = self.builder.ins().load(I64, flags, self.runtime, displacement);
        let count = Helper::find(id).map_or(ARGUMENTS, |helper| helper.arguments.len());
        let count = if self.planted(Planted::HelperArguments) { count.saturating_sub(1) } else { count };
        let mut arguments = Vec::with_capacity(ARGUMENTS);
        for number in 1..=count {
            let register = Reg::new(number as u8).expect("r1 to r5");
            arguments.push(self.get(op.frame, register));
        }
        if id == TAIL_CALL {
            self.tail_call(index, op, &mut arguments, function);
            return Ok(());
        }
        let signature = self.signature(count);
        let call = self.builder.ins().call_indirect(signature, function, &arguments);
        let result = self.builder.inst_results(call)[0];
        self.set(op.frame, Reg::R0, result);
        self.clobber(op.frame);
        Ok(())
    }

    /// r1 to r5 hold nothing that a program may read.
    fn clobber(&mut self, frame: u32) {
        let zero = self.builder.ins().iconst(I64, 0);
        for number in 1..=5 {
            self.set(frame, Reg::new(number).expect("r1 to r5"), zero);
        }
    }

    fn signature(&mut self, arguments: usize) -> SigRef {
        let mut signature = Signature::new(self.convention);
        signature.params.resize(arguments, AbiParam::new(I64));
        signature.returns.push(AbiParam::new(I64));
        self.builder.import_signature(signature)
    }

    /// Goes on with another program, whose result is then this function's, or after the call where that failed.
    fn tail_call(&mut self, index: usize, op: Op, arguments: &mut Vec<Value>, function: Value) {
        // The engine finds the caller's r10 in the register of r10, which the thunk puts it into.
        arguments.resize(3, self.runtime);
        let frame = self.get(op.frame, Reg::R10);
        arguments.extend([if self.planted(Planted::TailCallFrame) { self.runtime } else { frame }, function]);
        let signature = self.signature(ARGUMENTS);
        let name =
            self.builder.func.declare_imported_user_function(UserExternalName::new(0, TAIL_CALL_THUNK));
        let thunk = self.builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: true,
            patchable: false,
        });
        let call = self.builder.ins().call(thunk, arguments);
        let entry = self.builder.inst_results(call)[0];
        self.flush();
        let (goes, failed) = (self.builder.create_block(), self.builder.create_block());
        self.builder.ins().brif(entry, goes, &[], failed, &[]);
        self.builder.switch_to_block(goes);
        let signature = self.signature(1);
        let runtime = self.runtime;
        let call = self.builder.ins().call_indirect(signature, entry, &[runtime]);
        let result = self.builder.inst_results(call)[0];
        if op.target == NOWHERE {
            self.builder.ins().return_(&[result]);
        } else {
            self.set(op.frame, Reg::R0, result);
            self.go_on(op.target as usize);
        }
        self.builder.switch_to_block(failed);
        let zero = self.builder.ins().iconst(I64, 0);
        self.set(op.frame, Reg::R0, zero);
        self.clobber(op.frame);
        self.go_on(index + 1);
    }
}
