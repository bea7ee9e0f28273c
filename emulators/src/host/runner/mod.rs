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
//!
//! Here is what it does before it serves, as data; one file per architecture, mirrored, turns it into code.

mod aarch64;
mod x86_64;

use kop_ops::Arch;

use super::abi::{calls, map, pr, sig, task_size};
use super::{Platform, elf, seccomp};
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
const SIZE: u64 = 0x8000;
const CONSTANTS: u64 = BASE + elf::HEADERS;
const CODE: u64 = FILTER + 8 * seccomp::LENGTH;

/// Memory of its own: a stack and an alternate stack for the handler, with nothing around either. A signal
/// frame with all of AVX-512 and AMX takes 12 KiB, one with all of SVE and SME more.
const STACK: u64 = 0x7001_0000;
const STACK_SIZE: u64 = 0x1000;
const STACK_END: u64 = STACK + STACK_SIZE;
const HANDLER_STACK: u64 = 0x7002_0000;
const HANDLER_STACK_SIZE: u64 = 0x2_0000;

/// Whether the runner has memory of its own at an address.
pub(super) fn has_memory_at(address: u64) -> bool {
    let own = [(BASE, SIZE), (STACK, STACK_SIZE), (HANDLER_STACK, HANDLER_STACK_SIZE)];
    own.into_iter().any(|(start, size)| (start..start + size).contains(&address))
}

/// Constants of the program: kernel structures made of 64-bit words.
const ACTION: u64 = CONSTANTS;
const ALTERNATE: u64 = ACTION + 4 * 8;
const NAME: u64 = ALTERNATE + 3 * 8;
const FILTER_HEADER: u64 = NAME + 2 * 8;
const FILTER: u64 = FILTER_HEADER + 2 * 8;

const SIGNALS: [i32; 6] = [sig::SEGV, sig::BUS, sig::ILL, sig::TRAP, sig::FPE, sig::SYS];

/// A system call.
struct Call {
    number: u32,
    arguments: Vec<u64>,
}

/// A part of the setup.
struct Step {
    /// What it does, if it must succeed.
    what: Option<String>,
    call: Call,
}

/// How many steps come first, after which the stacks are there.
const STACK_STEPS: usize = 2;

/// The code of a runner and the number of the byte that it starts at; the signal handler is its first.
struct Code {
    bytes: Vec<u8>,
    start: u64,
}

impl Program {
    /// Assembles the runner.
    pub(super) fn new(platform: Platform) -> Self {
        let steps = setup(platform);
        let code = match platform.arch() {
            Arch::X86_64 => x86_64::code(&steps),
            Arch::Aarch64 => aarch64::code(&steps),
        };
        let mut contents = constants(platform.arch(), code.bytes.len() as u64);
        contents.extend(code.bytes);
        let file = elf::executable(platform.arch(), BASE, CODE + code.start, &contents);
        assert!(file.len() as u64 <= SIZE, "the runner outgrew its place: {} bytes", file.len());
        Self { file, steps: steps.into_iter().filter_map(|step| step.what).collect() }
    }
}

/// What the code refers to, between the headers and the code.
fn constants(arch: Arch, code_size: u64) -> Vec<u8> {
    let handler = CODE; // the first of the code
    let mut words = Vec::new();
    // struct sigaction: no restorer, since the handler does not return, and no mask
    words.extend([handler, sig::SA_FLAGS, 0, 0]);
    words.extend([HANDLER_STACK, 0, HANDLER_STACK_SIZE]); // stack_t
    words.extend([u64::from_le_bytes(*b"kop-host"), 0]); // a string
    words.extend([seccomp::LENGTH, FILTER]); // struct sock_fprog
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    let narrow = |address: u64| u32::try_from(address).expect("the runner lies below 2 GiB");
    bytes.extend(seccomp::filter(arch, narrow(CODE)..narrow(CODE + code_size)));
    bytes
}

/// Everything before the loop.
fn setup(platform: Platform) -> Vec<Step> {
    let nr = calls(platform.arch());
    let must = |what: &str, number, arguments: &[u64]| Step {
        what: Some(what.to_owned()),
        call: Call { number, arguments: arguments.to_vec() },
    };
    let may =
        |number, arguments: &[u64]| Step { what: None, call: Call { number, arguments: arguments.to_vec() } };
    // Until the stacks are there, the one that the kernel gave serves.
    let mut steps = Vec::new();
    let flags = map::PRIVATE | map::FIXED | map::ANONYMOUS;
    for (address, size) in [(STACK, STACK_SIZE), (HANDLER_STACK, HANDLER_STACK_SIZE)] {
        let protection = map::PROT_READ | map::PROT_WRITE;
        let arguments = [address, size, protection, flags, u64::from(u32::MAX), 0];
        steps.push(must("map its stacks", nr.mmap, &arguments));
    }
    debug_assert_eq!(steps.len(), STACK_STEPS, "the stack pointer is set behind them");
    // A process that dies with its parent, leaves no core and has a name.
    steps.extend([
        must("ask to die with its parent", nr.prctl, &[pr::SET_PDEATHSIG, sig::KILL as u64]),
        must("switch core dumps off", nr.prctl, &[pr::SET_DUMPABLE, 0]),
        must("name itself", nr.prctl, &[pr::SET_NAME, NAME]),
    ]);
    // The arena's regions and the stacks, and nothing else.
    if !platform.is_emulated() {
        // Kernels that seal the vdso refuse the last one; what is left then are the vdso and the initial
        // stack.
        let kept = [0, BASE, BASE + SIZE, STACK, STACK_END, HANDLER_STACK];
        let end = HANDLER_STACK + HANDLER_STACK_SIZE;
        for gap in kept.chunks_exact(2).chain([&[end, task_size(platform.arch())][..]]) {
            steps.push(may(nr.munmap, &[gap[0], gap[1] - gap[0]]));
        }
    }
    for region in Region::all() {
        let protection = match region.protection() {
            Protection::ReadExecute => map::PROT_READ | map::PROT_EXEC,
            Protection::ReadWrite => map::PROT_READ | map::PROT_WRITE,
        };
        let (size, offset) = (region.size() as u64, region.file_offset() as u64);
        let arguments = [region.address(), size, protection, map::SHARED | map::FIXED, ARENA, offset];
        steps.push(must(&format!("map {region:?}"), nr.mmap, &arguments));
    }
    // Kernels before 5.9 lack it; the filter leaves no use for a descriptor anyway.
    steps.push(may(nr.close_range, &[ARENA, u64::from(u32::MAX), 0]));
    steps.push(must("set its alternate stack", nr.sigaltstack, &[ALTERNATE, 0]));
    for signal in SIGNALS {
        let arguments = [signal as u64, ACTION, 0, sig::MASK_BYTES];
        steps.push(must("catch a signal", nr.rt_sigaction, &arguments));
    }
    if !platform.is_emulated() {
        // An emulator needs system calls of its own.
        let filter_mode = 2;
        steps.push(must("renounce new privileges", nr.prctl, &[pr::SET_NO_NEW_PRIVS, 1, 0, 0, 0]));
        steps.push(must(
            "install its seccomp filter",
            nr.prctl,
            &[pr::SET_SECCOMP, filter_mode, FILTER_HEADER],
        ));
    }
    steps
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
        for platform in Platform::ALL {
            assert!(Program::new(platform).steps.len() <= usize::from(u8::MAX));
        }
    }
}
