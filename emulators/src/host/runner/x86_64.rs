// SPDX-License-Identifier: GPL-2.0-or-later
//! The runner's code on x86-64.

use kop_ops::Arch;
use kop_ops::x86_64::{Assembler, Cond, Gpr, Item, Label, Mem, Operand, Size};

use super::super::abi::x86_64::{UC_ERR, UC_PC, UC_TRAPNO};
use super::super::abi::{Calls, calls, sig};
use super::super::control;
use super::{ANSWERS, Call, Code, REQUESTS, STACK_END, STACK_STEPS, Step};

const NR: Calls = calls(Arch::X86_64);

/// Flags at the call of an entry: all clear but bit 1, which is always set (Intel SDM vol. 1, section 3.4.3).
const FLAGS: i32 = 2;

const ARGUMENTS: [Gpr; 6] = [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::R10, Gpr::R8, Gpr::R9];

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
    /// The signal handler `(rdi: number, rsi: siginfo_t, rdx: ucontext_t)`: notes everything and answers with
    /// the number.
    fn handler(&self, a: &mut Assembler) {
        store(a, control::SIGNAL, Gpr::Rdi);
        a.movsx(Size::B8, Gpr::Rax, Size::B4, Mem::at(Gpr::Rsi, sig::SI_CODE));
        store(a, control::CODE, Gpr::Rax);
        for (field, source) in [
            (control::ADDRESS, Mem::at(Gpr::Rsi, sig::SI_ADDR)),
            (control::AT, Mem::at(Gpr::Rdx, UC_PC)),
            (control::ERROR, Mem::at(Gpr::Rdx, UC_ERR)),
            (control::VECTOR, Mem::at(Gpr::Rdx, UC_TRAPNO)),
        ] {
            a.mov(Size::B8, Gpr::Rax, source);
            store(a, field, Gpr::Rax);
        }
        a.mov(Size::B4, Gpr::Rax, Gpr::Rdi);
    }

    /// Sends the low byte of `rax`, from whatever stack.
    fn answer(&self, a: &mut Assembler) {
        a.bind(self.answer);
        load(a, Gpr::Rsp, STACK_END);
        send_byte(a);
        a.cmp(Size::B8, Gpr::Rax, 1);
        a.jcc(Cond::Ne, self.quit);
    }

    /// Waits for an entry, calls it with clean flags, and answers zero.
    fn wait(&self, a: &mut Assembler) {
        a.bind(self.wait);
        load(a, Gpr::Rsp, STACK_END);
        system_call(a, NR.read, &[REQUESTS, control::ACCEPTED.address(), 8]);
        a.cmp(Size::B8, Gpr::Rax, 8);
        a.jcc(Cond::Ne, self.quit);
        a.pushq(FLAGS);
        a.popfq();
        a.call_rm(absolute(control::ACCEPTED.address()));
        self.ready(a);
    }

    /// The parent is gone.
    fn quit(&self, a: &mut Assembler) {
        a.bind(self.quit);
        system_call(a, NR.exit_group, &[0]);
    }

    /// Answers zero.
    fn ready(&self, a: &mut Assembler) {
        load(a, Gpr::Rax, 0);
        a.jmp(self.answer);
    }
}

/// Takes the steps; those that must succeed are counted in `rbx`.
fn setup(a: &mut Assembler, steps: &[Step], failed: Label) {
    let mut number = 0;
    for (position, Step { what, call: Call { number: call, arguments } }) in steps.iter().enumerate() {
        if position == STACK_STEPS {
            load(a, Gpr::Rsp, STACK_END);
        }
        if what.is_some() {
            number += 1;
            load(a, Gpr::Rbx, number);
        }
        system_call(a, *call, arguments);
        if what.is_some() {
            a.test(Size::B8, Gpr::Rax, Gpr::Rax);
            a.jcc(Cond::S, failed);
        }
    }
}

/// Sends the error in `rax` and exits with the step in `rbx`.
fn fail(a: &mut Assembler, failed: Label) {
    a.bind(failed);
    a.neg(Size::B8, Gpr::Rax);
    send_byte(a);
    a.mov(Size::B4, Gpr::Rdi, Gpr::Rbx);
    load(a, Gpr::Rax, u64::from(NR.exit_group));
    a.syscall();
}

/// Sends the low byte of `rax` from the stack.
fn send_byte(a: &mut Assembler) {
    a.pushq(Gpr::Rax);
    a.mov(Size::B8, Gpr::Rsi, Gpr::Rsp);
    load(a, Gpr::Rdi, ANSWERS);
    load(a, Gpr::Rdx, 1);
    load(a, Gpr::Rax, u64::from(NR.write));
    a.syscall();
}

/// Calls the kernel (System V ABI for x86-64, section A.2): changes `rax`, `rcx`, `r11` and the registers of
/// the arguments.
fn system_call(a: &mut Assembler, number: u32, arguments: &[u64]) {
    for (register, &value) in ARGUMENTS.into_iter().zip(arguments) {
        load(a, register, value);
    }
    load(a, Gpr::Rax, u64::from(number));
    a.syscall();
}

fn load(a: &mut Assembler, register: Gpr, value: u64) {
    match u32::try_from(value) {
        Ok(value) => a.mov(Size::B4, register, Operand::Imm(value.cast_signed())),
        Err(_) => a.movabs(register, value),
    }
}

fn store(a: &mut Assembler, field: control::Field, register: Gpr) {
    a.mov(Size::B8, absolute(field.address()), register);
}

fn absolute(address: u64) -> Mem {
    Mem::absolute(i32::try_from(address).expect("regions lie below 2 GiB"))
}
