// SPDX-License-Identifier: GPL-2.0-or-later
//! Jumps.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value};
use kop_ops::ebpf::{Cond, Width};

use super::Translator;
use crate::flat::Op;
use crate::flow::test_of;
use crate::planted::Planted;
use crate::state::Test;

impl Translator<'_> {
    /// The block for a jump to an operation.
    fn block_of(&self, index: usize) -> Option<Block> {
        self.blocks[self.known.blocks.at(index)]
    }

    /// Goes on with an operation.
    pub(super) fn go_on(&mut self, index: usize) {
        let block = self.block_of(index).expect("what is reached goes on with what is reached");
        self.flush();
        self.builder.ins().jump(block, &[]);
    }

    /// A conditional jump; none where it is known where it goes.
    pub(super) fn jump(&mut self, index: usize, op: Op) {
        let test = test_of(&op).expect("it is a conditional jump");
        match self.known.facts.outcomes.get(&index) {
            Some(true) => return self.go_on(op.target as usize),
            Some(false) => return self.go_on(index + 1),
            None => {}
        }
        let holds = self.holds(op.frame, &test);
        let target = self.block_of(op.target as usize).expect("a jump that may be taken leads somewhere");
        let next = self.block_of(index + 1).expect("a jump that may not be taken goes on");
        self.flush();
        self.builder.ins().brif(holds, target, &[], next, &[]);
    }

    fn holds(&mut self, frame: u32, test: &Test) -> Value {
        let width = if self.planted(Planted::CompareWidth) { Width::W64 } else { test.width };
        let a = self.get_width(frame, width, test.dst);
        let b = self.operand(frame, width, test.src);
        let cond = match test.cond {
            Cond::Set if self.planted(Planted::TestAsCompare) => IntCC::Equal,
            Cond::Set => return self.builder.ins().band(a, b),
            Cond::Eq => IntCC::Equal,
            Cond::Ne => IntCC::NotEqual,
            Cond::Gt => IntCC::UnsignedGreaterThan,
            Cond::Ge => IntCC::UnsignedGreaterThanOrEqual,
            Cond::Lt => IntCC::UnsignedLessThan,
            Cond::Le => IntCC::UnsignedLessThanOrEqual,
            Cond::SGt => IntCC::SignedGreaterThan,
            Cond::SGe => IntCC::SignedGreaterThanOrEqual,
            Cond::SLt => IntCC::SignedLessThan,
            Cond::SLe => IntCC::SignedLessThanOrEqual,
        };
        let cond = if self.planted(Planted::CompareSign) { cond.unsigned() } else { cond };
        self.builder.ins().icmp(cond, a, b)
    }

    /// `may_goto`: jumps once the function's budget is used up.
    pub(super) fn may_goto(&mut self, index: usize, op: Op) {
        let budget = self.budgets[op.frame as usize].expect("a function with a may_goto has a budget");
        let left = self.builder.use_var(budget);
        let target = self.block_of(op.target as usize).expect("a jump that may be taken leads somewhere");
        let on = self.builder.create_block();
        self.flush();
        self.builder.ins().brif(left, on, &[], target, &[]);
        self.builder.switch_to_block(on);
        let less = self.builder.ins().iadd_imm_s(left, -1);
        self.builder.def_var(budget, less);
        self.go_on(index + 1);
    }
}
