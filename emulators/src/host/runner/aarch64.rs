// SPDX-License-Identifier: GPL-2.0-or-later
//! The runner's code on AArch64.

use kop_ops::Arch;
use kop_ops::aarch64::{Assembler, Cond, Gpr, Item, Label, Mem, SysReg, Width};

use super::super::abi::aarch64::UC_PC;
use super::super::abi::{Calls, calls, sig};
use super::super::control;
use super::{ANSWERS, Call, Code, REQUESTS, STACK_END, STACK_STEPS, Step};

const NR: Calls = calls(Arch::Aarch64);

const ARGUMENTS: [Gpr; 6] = [Gpr::X0, Gpr::X1, Gpr::X2, Gpr::X3, Gpr::X4, Gpr::X5];

/// The code that takes these steps and then serves.
pub(super) fn code(steps: &[Step]) -> Code {
    let mut a = Assembler::new();
    let serve = Serve { answer: a.label(), wait: a.label(), quit: a.label() };
    serve.handler(&mut a);
    serve.answer(&mut a);
    serve.wait(&mut a);
    serve.quit(&mut a);
    let failed = a.label();
    fail(&mut a, failed);
    let start = a.items().iter().filter(|item| !matches!(item, Item::Bind(_))).count();
    setup(&mut a, steps, failed);
    serve.ready(&mut a);
    let code = a.finish().expect("every operand is a constant that fits");
    Code { start: code.insns[start].0 as u64, bytes: code.bytes }
}

/// The loop.
struct Serve {
    answer: Label,
    wait: Label,
    quit: Label,
}

impl Serve {
    /// The signal handler `(x0: number, x1: siginfo_t, x2: ucontext_t)`: notes everything and answers with
    /// the number.
    fn handler(&self, a: &mut Assembler) {
        store(a, control::SIGNAL, Gpr::X0);
        a.ldrsw(Gpr::X10, Mem::offset(Gpr::X1, sig::SI_CODE));
        store(a, control::CODE, Gpr::X10);
        for (field, source) in [
            (control::ADDRESS, Mem::offset(Gpr::X1, sig::SI_ADDR)),
            (control::AT, Mem::offset(Gpr::X2, UC_PC)),
        ] {
            a.ldr(Width::X, Gpr::X10, source);
            store(a, field, Gpr::X10);
        }
        for field in [control::ERROR, control::VECTOR] {
            store(a, field, Gpr::Xzr);
        }
    }

    /// Sends the low byte of `x0`, from whatever stack.
    fn answer(&self, a: &mut Assembler) {
        a.bind(self.answer);
        load_stack(a);
        send_byte(a);
        a.cmp_imm(Width::X, Gpr::X0, 1);
        a.b_cond(Cond::Ne, self.quit);
    }

    /// Waits for an entry, calls it with clean flags, and answers zero.
    fn wait(&self, a: &mut Assembler) {
        a.bind(self.wait);
        load_stack(a);
        system_call(a, NR.read, &[REQUESTS, control::ACCEPTED.address(), 8]);
        a.cmp_imm(Width::X, Gpr::X0, 8);
        a.b_cond(Cond::Ne, self.quit);
        a.msr(SysReg::Nzcv, Gpr::Xzr);
        load(a, Gpr::X9, control::ACCEPTED.address());
        a.ldr(Width::X, Gpr::X9, Mem::base(Gpr::X9));
        a.blr(Gpr::X9);
        self.ready(a);
    }

    /// The parent is gone.
    fn quit(&self, a: &mut Assembler) {
        a.bind(self.quit);
        system_call(a, NR.exit_group, &[0]);
    }

    /// Answers zero.
    fn ready(&self, a: &mut Assembler) {
        load(a, Gpr::X0, 0);
        a.b(self.answer);
    }
}

/// Takes the steps; those that must succeed are counted in `x19`.
fn setup(a: &mut Assembler, steps: &[Step], failed: Label) {
    let mut number = 0;
    for (position, Step { what, call: Call { number: call, arguments } }) in steps.iter().enumerate() {
        if position == STACK_STEPS {
            load_stack(a);
        }
        if what.is_some() {
            number += 1;
            load(a, Gpr::X19, number);
        }
        system_call(a, *call, arguments);
        if what.is_some() {
            a.tbnz(Gpr::X0, 63, failed);
        }
    }
}

/// Sends the error in `x0` and exits with the step in `x19`.
fn fail(a: &mut Assembler, failed: Label) {
    a.bind(failed);
    a.neg(Width::X, Gpr::X0, Gpr::X0);
    send_byte(a);
    a.mov(Width::X, Gpr::X0, Gpr::X19);
    load(a, Gpr::X8, u64::from(NR.exit_group));
    a.svc(0);
}

/// Sends the low byte of `x0` from the stack.
fn send_byte(a: &mut Assembler) {
    a.str(Width::X, Gpr::X0, Mem::pre(Gpr::Sp, -16));
    a.mov(Width::X, Gpr::X1, Gpr::Sp);
    load(a, Gpr::X0, ANSWERS);
    load(a, Gpr::X2, 1);
    load(a, Gpr::X8, u64::from(NR.write));
    a.svc(0);
}

/// Calls the kernel (syscall(2)): changes `x0`, `x8` and the registers of the arguments.
fn system_call(a: &mut Assembler, number: u32, arguments: &[u64]) {
    for (register, &value) in ARGUMENTS.into_iter().zip(arguments) {
        load(a, register, value);
    }
    load(a, Gpr::X8, u64::from(number));
    a.svc(0);
}

fn load(a: &mut Assembler, register: Gpr, value: u64) {
    a.mov_imm64(register, value);
}

fn load_stack(a: &mut Assembler) {
    load(a, Gpr::X9, STACK_END);
    a.mov(Width::X, Gpr::Sp, Gpr::X9);
}

fn store(a: &mut Assembler, field: control::Field, register: Gpr) {
    load(a, Gpr::X9, field.address());
    a.str(Width::X, register, Mem::base(Gpr::X9));
}
