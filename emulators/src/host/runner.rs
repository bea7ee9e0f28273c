// SPDX-License-Identifier: GPL-2.0-or-later
//! The program of the child process: it maps the arena, locks itself in, and then calls the entries it is
//! sent, one by one, for as long as it is asked to.
//!
//! It talks over two pipes. A request is the eight bytes of an entry; the answer is one byte, zero for a
//! return and the signal's number for a fault, whose details are in the [control page](super::control). The
//! first answer comes unasked: zero when everything is set up, else the `errno` of the step that failed,
//! whose number is the exit status.
//!
//! A fault does not end it: the handler never returns but goes on with the next request, so that a fault
//! costs microseconds. Nothing survives in registers; what it needs is at absolute addresses below 2 GiB.

use kop_ops::x86_64::{AssembleError, Assembler, Cond, Gpr, Label, Mem, Operand, Size};

use super::abi::{TASK_SIZE, map, nr, pr, sig};
use super::{control, elf, seccomp};
use crate::arena::{Protection, Region};

/// Descriptors of the child.
pub(super) const REQUESTS: u64 = 0;
pub(super) const ANSWERS: u64 = 1;
pub(super) const ARENA: u64 = 2;

/// The runner as an executable file.
pub(super) struct Program {
    /// The ELF file.
    pub file: Vec<u8>,
    /// What each step of the setup does; the exit status of a setup that failed counts from 1.
    pub steps: Vec<String>,
}

const BASE: u64 = 0x7000_0000;
/// What the file may occupy.
const SIZE: u64 = 0x4000;
const CONSTANTS: u64 = BASE + elf::HEADERS;
const CODE: u64 = FILTER + 8 * seccomp::LENGTH;

/// Memory of its own: a stack and an alternate stack for the handler, with nothing around either. A signal
/// frame with all of AVX-512 and AMX takes 12 KiB.
const STACK: u64 = 0x7001_0000;
const STACK_SIZE: u64 = 0x1000;
const STACK_END: u64 = STACK + STACK_SIZE;
const HANDLER_STACK: u64 = 0x7002_0000;
const HANDLER_STACK_SIZE: u64 = 0x1_0000;

/// Constants of the program: kernel structures made of 64-bit words.
const ACTION: u64 = CONSTANTS;
const ALTERNATE: u64 = ACTION + 4 * 8;
const NAME: u64 = ALTERNATE + 3 * 8;
const FILTER_HEADER: u64 = NAME + 2 * 8;
const FILTER: u64 = FILTER_HEADER + 2 * 8;

const SIGNALS: [i32; 6] = [sig::SEGV, sig::BUS, sig::ILL, sig::TRAP, sig::FPE, sig::SYS];

/// Flags at the call of an entry: all clear but bit 1, which is always set (Intel SDM vol. 1, section 3.4.3).
const FLAGS: i32 = 2;

const ARGUMENTS: [Gpr; 6] = [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::R10, Gpr::R8, Gpr::R9];

impl Program {
    /// Assembles the runner.
    pub(super) fn new() -> Self {
        let mut a = Assembler::new();
        let serve = Serve::new(&mut a);
        serve.handler(&mut a);
        serve.answer(&mut a);
        serve.wait(&mut a);
        serve.quit(&mut a);
        let mut setup = Setup { failed: a.label(), steps: Vec::new() };
        setup.fail(&mut a);
        let start = instructions(&a);
        setup.run(&mut a);
        serve.ready(&mut a);
        let (code, entry) = finish(&a, start).expect("every operand is a constant that fits");

        let mut contents = constants(code.len() as u64);
        contents.extend(code);
        let file = elf::executable(BASE, entry, &contents);
        assert!(file.len() as u64 <= SIZE, "the runner outgrew its place: {} bytes", file.len());
        Self { file, steps: setup.steps }
    }
}

/// The bytes, and the address of instruction number `start`.
fn finish(a: &Assembler, start: usize) -> Result<(Vec<u8>, u64), AssembleError> {
    let code = a.finish()?;
    let offset = code.insns[start].0 as u64;
    Ok((code.bytes, CODE + offset))
}

fn instructions(a: &Assembler) -> usize {
    a.items().iter().filter(|item| !matches!(item, kop_ops::x86_64::Item::Bind(_))).count()
}

/// What the code refers to, between the headers and the code.
fn constants(code_size: u64) -> Vec<u8> {
    let handler = CODE; // the first of the code
    let mut words = Vec::new();
    // struct sigaction: no restorer, since the handler does not return, and no mask
    words.extend([handler, sig::SA_FLAGS, 0, 0]);
    words.extend([HANDLER_STACK, 0, HANDLER_STACK_SIZE]); // stack_t
    words.extend([u64::from_le_bytes(*b"kop-host"), 0]); // a string
    words.extend([seccomp::LENGTH, FILTER]); // struct sock_fprog
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    let narrow = |address: u64| u32::try_from(address).expect("the runner lies below 2 GiB");
    bytes.extend(seccomp::filter(narrow(CODE)..narrow(CODE + code_size)));
    bytes
}

/// The loop.
struct Serve {
    answer: Label,
    wait: Label,
    quit: Label,
}

impl Serve {
    fn new(a: &mut Assembler) -> Self {
        Self { answer: a.label(), wait: a.label(), quit: a.label() }
    }

    /// The signal handler `(rdi: number, rsi: siginfo_t, rdx: ucontext_t)`: notes everything and answers with
    /// the number.
    fn handler(&self, a: &mut Assembler) {
        store(a, control::SIGNAL, Gpr::Rdi);
        a.movsx(Size::B8, Gpr::Rax, Size::B4, Mem::at(Gpr::Rsi, sig::SI_CODE));
        store(a, control::CODE, Gpr::Rax);
        for (field, source) in [
            (control::ADDRESS, Mem::at(Gpr::Rsi, sig::SI_ADDR)),
            (control::AT, Mem::at(Gpr::Rdx, sig::UC_RIP)),
            (control::ERROR, Mem::at(Gpr::Rdx, sig::UC_ERR)),
            (control::VECTOR, Mem::at(Gpr::Rdx, sig::UC_TRAPNO)),
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
        system_call(a, nr::READ, &[REQUESTS, control::ACCEPTED.address(), 8]);
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
        system_call(a, nr::EXIT_GROUP, &[0]);
    }

    /// Answers zero.
    fn ready(&self, a: &mut Assembler) {
        load(a, Gpr::Rax, 0);
        a.jmp(self.answer);
    }
}

/// Everything before the loop.
struct Setup {
    failed: Label,
    steps: Vec<String>,
}

impl Setup {
    fn run(&mut self, a: &mut Assembler) {
        self.settle(a);
        self.map_memory(a);
        self.catch_signals(a);
        self.lock(a);
    }

    /// A process that dies with its parent, leaves no core and has a name.
    fn settle(&mut self, a: &mut Assembler) {
        self.step(a, "ask to die with its parent", nr::PRCTL, &[pr::SET_PDEATHSIG, sig::KILL as u64]);
        self.step(a, "switch core dumps off", nr::PRCTL, &[pr::SET_DUMPABLE, 0]);
        self.step(a, "name itself", nr::PRCTL, &[pr::SET_NAME, NAME]);
    }

    /// The arena's regions and two stacks, and nothing else.
    fn map_memory(&mut self, a: &mut Assembler) {
        let flags = map::PRIVATE | map::FIXED | map::ANONYMOUS;
        for (address, size) in [(STACK, STACK_SIZE), (HANDLER_STACK, HANDLER_STACK_SIZE)] {
            let protection = map::PROT_READ | map::PROT_WRITE;
            let arguments = [address, size, protection, flags, u64::from(u32::MAX), 0];
            self.step(a, "map its stacks", nr::MMAP, &arguments);
        }
        load(a, Gpr::Rsp, STACK_END);
        // Kernels that seal the vdso refuse the last one; what is left then are the vdso and the initial
        // stack.
        let kept = [0, BASE, BASE + SIZE, STACK, STACK_END, HANDLER_STACK];
        let end = HANDLER_STACK + HANDLER_STACK_SIZE;
        for gap in kept.chunks_exact(2).chain([&[end, TASK_SIZE][..]]) {
            system_call(a, nr::MUNMAP, &[gap[0], gap[1] - gap[0]]);
        }
        for region in Region::all() {
            let protection = match region.protection() {
                Protection::ReadExecute => map::PROT_READ | map::PROT_EXEC,
                Protection::ReadWrite => map::PROT_READ | map::PROT_WRITE,
            };
            let (size, offset) = (region.size() as u64, region.file_offset() as u64);
            let arguments = [region.address(), size, protection, map::SHARED | map::FIXED, ARENA, offset];
            self.step(a, &format!("map {region:?}"), nr::MMAP, &arguments);
        }
        // Kernels before 5.9 lack it; the filter leaves no use for a descriptor anyway.
        system_call(a, nr::CLOSE_RANGE, &[ARENA, u64::from(u32::MAX), 0]);
    }

    fn catch_signals(&mut self, a: &mut Assembler) {
        self.step(a, "set its alternate stack", nr::SIGALTSTACK, &[ALTERNATE, 0]);
        for signal in SIGNALS {
            let arguments = [signal as u64, ACTION, 0, sig::MASK_BYTES];
            self.step(a, "catch a signal", nr::RT_SIGACTION, &arguments);
        }
    }

    fn lock(&mut self, a: &mut Assembler) {
        self.step(a, "renounce new privileges", nr::PRCTL, &[pr::SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
        let filter_mode = 2;
        self.step(a, "install its seccomp filter", nr::PRCTL, &[pr::SET_SECCOMP, filter_mode, FILTER_HEADER]);
    }

    /// A system call that must succeed.
    fn step(&mut self, a: &mut Assembler, what: &str, number: u32, arguments: &[u64]) {
        self.steps.push(what.to_owned());
        load(a, Gpr::Rbx, self.steps.len() as u64);
        system_call(a, number, arguments);
        a.test(Size::B8, Gpr::Rax, Gpr::Rax);
        a.jcc(Cond::S, self.failed);
    }

    /// Sends the error in `rax` and exits with the step in `rbx`.
    fn fail(&self, a: &mut Assembler) {
        a.bind(self.failed);
        a.neg(Size::B8, Gpr::Rax);
        send_byte(a);
        a.mov(Size::B4, Gpr::Rdi, Gpr::Rbx);
        load(a, Gpr::Rax, u64::from(nr::EXIT_GROUP));
        a.syscall();
    }
}

/// Sends the low byte of `rax` from the stack.
fn send_byte(a: &mut Assembler) {
    a.pushq(Gpr::Rax);
    a.mov(Size::B8, Gpr::Rsi, Gpr::Rsp);
    load(a, Gpr::Rdi, ANSWERS);
    load(a, Gpr::Rdx, 1);
    load(a, Gpr::Rax, u64::from(nr::WRITE));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_stays_clear_of_the_arena() {
        let own = [(BASE, SIZE), (STACK, STACK_SIZE), (HANDLER_STACK, HANDLER_STACK_SIZE)];
        for region in Region::all() {
            for (address, size) in own {
                let end = region.address() + region.size() as u64;
                assert!(end <= address || address + size <= region.address(), "{region:?}");
            }
        }
    }

    #[test]
    fn every_step_has_an_exit_status() {
        assert!(Program::new().steps.len() <= usize::from(u8::MAX));
    }
}
