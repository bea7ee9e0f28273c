// SPDX-License-Identifier: GPL-2.0-or-later
//! The host engine contains whatever code does, and says what it did.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kop_emulators::arena::{Protection, Region};
use kop_emulators::host::{HostMachine, control};
use kop_emulators::machine::{Machine, Stop};
use kop_ops::state::Slot;
use kop_ops::x86_64::{Assembler, Cond, Gpr, Mem, Size};
use kop_ops::{Access, Fault};

const ENTRY: u64 = Region::Code.address();
/// An address in no region.
const NOWHERE: u64 = 0x1234_5000;

fn machine() -> HostMachine {
    HostMachine::new().expect("the host engine runs on Linux on x86-64")
}

/// Puts code at the start of the code region and runs it; the offsets of its instructions come along.
fn run(machine: &mut HostMachine, write: impl FnOnce(&mut Assembler)) -> (Result<(), Stop>, Vec<u64>) {
    let mut a = Assembler::new();
    write(&mut a);
    let code = a.finish().expect("the test's operands fit");
    machine.arena_mut().bytes_mut(Region::Code)[..code.bytes.len()].copy_from_slice(&code.bytes);
    let addresses: Vec<u64> = code.insns.iter().map(|(offset, _)| ENTRY + *offset as u64).collect();
    (machine.run(ENTRY, *addresses.last().expect("there is code")), addresses)
}

/// The stop of code that does not return, and which instruction it blames.
fn stop(machine: &mut HostMachine, write: impl FnOnce(&mut Assembler)) -> (Fault, Option<usize>) {
    let (result, addresses) = run(machine, write);
    let Stop { fault, at } = result.expect_err("the code does not return");
    (fault, at.and_then(|at| addresses.iter().position(|&address| address == at)))
}

fn load(a: &mut Assembler, register: Gpr, value: u64) {
    a.movabs(register, value);
}

fn memory(access: Access, address: u64) -> Fault {
    Fault::Memory { access, address: Some(address) }
}

fn returns(machine: &mut HostMachine) {
    assert_eq!(run(machine, |a| a.ret()).0, Ok(()));
}

#[test]
fn it_is_available() {
    assert_eq!(HostMachine::available(), Ok(()));
}

#[test]
fn code_sees_the_arena_and_the_arena_sees_what_code_wrote() {
    let mut machine = machine();
    let written = |region: &Region| region.protection() == Protection::ReadWrite;
    let regions: Vec<Region> = Region::all().filter(written).collect();
    for (value, &region) in (1u64..).zip(&regions) {
        let end = if region == Region::Control { control::FREE } else { region.size() };
        machine.arena_mut().bytes_mut(region)[end - 8..end].copy_from_slice(&value.to_le_bytes());
        let (result, _) = run(&mut machine, |a| {
            load(a, Gpr::Rcx, region.address());
            a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rcx, end as i32 - 8));
            a.not(Size::B8, Gpr::Rax);
            a.mov(Size::B8, Mem::at(Gpr::Rcx, 0), Gpr::Rax);
            a.ret();
        });
        assert_eq!(result, Ok(()), "{region:?}");
    }
    for (value, &region) in (1u64..).zip(&regions) {
        assert_eq!(machine.arena().bytes(region)[..8], (!value).to_le_bytes(), "{region:?}");
    }
}

#[test]
fn new_code_takes_effect_every_time() {
    let mut machine = machine();
    for value in 0..2000 {
        let (result, _) = run(&mut machine, |a| {
            a.mov(Size::B4, Mem::absolute(Region::Rows.address() as i32), value);
            a.ret();
        });
        assert_eq!(result, Ok(()));
        assert_eq!(machine.arena().bytes(Region::Rows)[..4], value.to_le_bytes());
    }
}

#[test]
fn bad_accesses_are_memory_faults() {
    let mut machine = machine();
    let window = Slot::default().window();
    let cases = [
        (NOWHERE, NOWHERE),
        (0, 0),
        (window - 1, window - 1),
        (Slot::default().window_end() - 7, Slot::default().window_end()),
        (0x7fff_ffff_e000, 0x7fff_ffff_e000),
        (u64::MAX - 0xfff, u64::MAX - 0xfff),
    ];
    for (address, fault) in cases {
        let read = stop(&mut machine, |a| {
            load(a, Gpr::Rcx, address);
            a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rcx, 0));
        });
        assert_eq!(read, (memory(Access::Read, fault), Some(1)), "{address:#x}");
        let write = stop(&mut machine, |a| {
            load(a, Gpr::Rcx, address);
            a.nop();
            a.mov(Size::B8, Mem::at(Gpr::Rcx, 0), Gpr::Rax);
        });
        assert_eq!(write, (memory(Access::Write, fault), Some(2)), "{address:#x}");
    }
    returns(&mut machine);
}

#[test]
fn non_canonical_accesses_are_reads_without_address() {
    let mut machine = machine();
    for base in [Gpr::Rcx, Gpr::Rsp] {
        let fault = stop(&mut machine, |a| {
            load(a, base, 1 << 63);
            a.mov(Size::B8, Mem::at(base, 0), Gpr::Rax);
        });
        let expected = Fault::Memory { access: Access::Read, address: None };
        // An access through rsp raises a stack-segment fault, which Linux reports as a bus error.
        assert_eq!(fault, (expected, Some(1)), "{base}");
    }
}

#[test]
fn jumps_elsewhere_are_fetch_faults() {
    let mut machine = machine();
    for target in [NOWHERE, Region::Rows.address(), Slot::default().window(), 0] {
        let (result, _) = run(&mut machine, |a| {
            load(a, Gpr::Rax, target);
            a.jmp_rm(Gpr::Rax);
        });
        let stop = Stop { fault: memory(Access::Execute, target), at: Some(target) };
        assert_eq!(result, Err(stop), "{target:#x}");
    }
    returns(&mut machine);
}

#[test]
fn code_cannot_be_written() {
    let mut machine = machine();
    let fault = stop(&mut machine, |a| {
        a.mov(Size::B1, Mem::rip(0), 0);
        a.ret();
    });
    assert!(
        matches!(fault, (Fault::Memory { access: Access::Write, address: Some(ENTRY..) }, Some(0))),
        "{fault:?}"
    );
}

#[test]
fn the_runner_cannot_be_written() {
    let mut machine = machine();
    // The return address on the runner's stack leads to its code.
    let (result, _) = run(&mut machine, |a| {
        a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rsp, 0));
        a.mov(Size::B1, Mem::at(Gpr::Rax, 0), Gpr::Rcx);
    });
    assert!(
        matches!(result, Err(Stop { fault: Fault::Memory { access: Access::Write, .. }, .. })),
        "{result:?}"
    );
    returns(&mut machine);
}

#[test]
fn other_exceptions_keep_their_kind() {
    let mut machine = machine();
    assert_eq!(stop(&mut machine, |a| a.ud2()), (Fault::Illegal, Some(0)));
    let trap = stop(&mut machine, |a| {
        a.nop();
        a.int3();
        a.ret();
    });
    assert_eq!(trap, (Fault::Trap, Some(1)));
    let divide = stop(&mut machine, |a| {
        a.xor(Size::B4, Gpr::Rcx, Gpr::Rcx);
        a.div(Size::B8, Gpr::Rcx);
    });
    assert_eq!(divide, (Fault::Divide, Some(1)));
    let overflow = stop(&mut machine, |a| {
        load(a, Gpr::Rax, 1 << 63);
        load(a, Gpr::Rdx, u64::MAX);
        load(a, Gpr::Rcx, u64::MAX);
        a.idiv(Size::B8, Gpr::Rcx);
    });
    assert_eq!(overflow, (Fault::Divide, Some(3)));
    let single_step = stop(&mut machine, |a| {
        a.pushq(0x102);
        a.popfq();
        a.nop();
        a.nop();
        a.ret();
    });
    assert_eq!(single_step, (Fault::Trap, Some(3)));
    let unaligned = stop(&mut machine, |a| {
        load(a, Gpr::Rcx, Region::Rows.address() + 1);
        a.pushq(0x4_0002);
        a.popfq();
        a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rcx, 0));
    });
    assert_eq!(unaligned, (Fault::Other(libc::SIGBUS), Some(3)));
    returns(&mut machine);
}

#[test]
fn system_calls_are_stopped() {
    let mut machine = machine();
    let this = std::process::id();
    let calls = [
        (libc::SYS_exit, [1, 0]),
        (libc::SYS_exit_group, [1, 0]),
        (libc::SYS_kill, [u64::from(this), libc::SIGKILL as u64]),
        (libc::SYS_write, [1, ENTRY]),
        (libc::SYS_read, [0, Region::Rows.address()]),
        (libc::SYS_fork, [0, 0]),
        (libc::SYS_rt_sigreturn, [0, 0]),
        (0x4000_0000 | libc::SYS_getpid, [0, 0]),
        (-1, [0, 0]),
    ];
    for (number, [first, second]) in calls {
        let fault = stop(&mut machine, |a| {
            load(a, Gpr::Rdi, first);
            load(a, Gpr::Rsi, second);
            load(a, Gpr::Rdx, 8);
            load(a, Gpr::Rax, number.cast_unsigned());
            a.syscall();
            a.ret();
        });
        assert_eq!(fault, (Fault::Other(libc::SIGSYS), Some(4)), "{number}");
    }
    returns(&mut machine);
}

#[test]
fn an_endless_loop_is_stopped() {
    let mut machine = machine();
    for _ in 0..2 {
        let start = Instant::now();
        let (result, _) = run(&mut machine, |a| {
            let here = a.label();
            a.bind(here);
            a.jmp(here);
        });
        assert_eq!(result, Err(Stop { fault: Fault::RunAway, at: None }));
        assert!(start.elapsed() >= Duration::from_millis(900));
        returns(&mut machine);
    }
}

#[test]
fn a_long_run_is_let_finish() {
    let mut machine = machine();
    let start = Instant::now();
    let (result, _) = run(&mut machine, |a| {
        let here = a.label();
        load(a, Gpr::Rcx, 500_000_000);
        a.bind(here);
        a.dec(Size::B8, Gpr::Rcx);
        a.jcc(Cond::Ne, here);
        a.ret();
    });
    // A slow machine may need longer than the watchdog allows; then there is nothing to tell.
    assert!(result == Ok(()) || start.elapsed() > Duration::from_millis(900), "{result:?}");
}

#[test]
fn garbage_in_every_register_is_survived() {
    let mut machine = machine();
    for value in [0, 1, u64::MAX, 0x7000_0000, 0x5555_5555_5555_5555, ENTRY] {
        // With the stack pointer intact the code returns.
        let (result, _) = run(&mut machine, |a| {
            for register in Gpr::ALL.into_iter().filter(|&register| register != Gpr::Rsp) {
                load(a, register, value);
            }
            a.ret();
        });
        assert_eq!(result, Ok(()), "{value:#x}");
        let (fault, at) = stop(&mut machine, |a| {
            for register in Gpr::ALL {
                load(a, register, value);
            }
            a.pushq(Gpr::Rax);
        });
        assert!(matches!(fault, Fault::Memory { .. }), "{value:#x}: {fault}");
        assert_eq!(at, Some(16), "{value:#x}");
    }
    returns(&mut machine);
}

#[test]
fn garbage_in_flags_does_not_reach_the_next_run() {
    let mut machine = machine();
    // Carry, parity, adjust, zero, sign, direction, overflow, nested task, alignment check, identification.
    let flags = 0x24_4cd7;
    let rows = Region::Rows.address() as i32;
    for fault in [false, true] {
        let (result, _) = run(&mut machine, |a| {
            a.pushq(flags);
            a.popfq();
            if fault {
                a.ud2();
            }
            a.ret();
        });
        assert_eq!(result.is_err(), fault, "{result:?}");
        let (result, _) = run(&mut machine, |a| {
            a.pushfq();
            a.popq(Mem::absolute(rows));
            a.ret();
        });
        assert_eq!(result, Ok(()));
        let seen =
            u64::from_le_bytes(machine.arena().bytes(Region::Rows)[..8].try_into().expect("eight bytes"));
        let interrupts_on = 0x202;
        assert_eq!(seen, interrupts_on);
    }
}

/// With the stack pointer near the start of the handler's stack the kernel finds no place for the signal's
/// frame there, and kills the process.
fn end_the_child(machine: &mut HostMachine) -> Result<(), Stop> {
    run(machine, |a| {
        load(a, Gpr::Rsp, 0x7002_0100);
        a.ud2();
    })
    .0
}

#[test]
fn a_child_that_ends_is_replaced() {
    let mut machine = machine();
    for _ in 0..20 {
        assert_eq!(end_the_child(&mut machine), Err(Stop { fault: Fault::Other(libc::SIGSEGV), at: None }));
        returns(&mut machine);
    }
}

#[test]
fn a_machine_outlives_the_thread_that_created_it() {
    for _ in 0..20 {
        let mut machine = thread::spawn(machine).join().expect("it does not panic");
        for _ in 0..20 {
            returns(&mut machine);
        }
    }
}

#[test]
fn faults_leave_no_process_behind() {
    let mut machine = machine();
    for _ in 0..1000 {
        let fault = stop(&mut machine, |a| a.ud2());
        assert_eq!(fault, (Fault::Illegal, Some(0)));
    }
    for _ in 0..20 {
        assert!(end_the_child(&mut machine).is_err());
        drop(self::machine());
    }
    drop(machine);
    // Other tests' children come and go; a zombie that nobody waits for stays.
    let mut zombies = zombie_children();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(50));
        zombies = &zombies & &zombie_children();
    }
    assert!(zombies.is_empty(), "{zombies:?}");
}

/// The zombies among this process's children.
fn zombie_children() -> BTreeSet<u32> {
    children(std::process::id()).into_iter().filter(|(_, state)| state == "Z").map(|(pid, _)| pid).collect()
}

/// The children of a process, each with its state, from the fields in /proc/PID/stat behind the name (proc(5)).
fn children(parent: u32) -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| {
        state_and_parent(pid).filter(|&(_, of)| of == parent).map(|(state, _)| (pid, state))
    })
    .collect()
}

fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

#[test]
#[ignore = "a_child_in_a_loop_dies_with_its_parent starts it, and kills it"]
fn a_parent_with_a_child_in_a_loop() {
    let mut machine = machine();
    loop {
        let (result, _) = run(&mut machine, |a| {
            let here = a.label();
            a.bind(here);
            a.jmp(here);
        });
        assert!(result.is_err());
    }
}

#[test]
fn a_child_in_a_loop_dies_with_its_parent() {
    let mut parent = Command::new(std::env::current_exe().expect("tests have a path"))
        .args(["--ignored", "--exact", "a_parent_with_a_child_in_a_loop"])
        .stdout(Stdio::null())
        .spawn()
        .expect("tests can be run");
    let pid = parent.id();
    let child = patiently(|| children(pid).into_iter().find(|(_, state)| state == "R"));
    let killed = parent.kill().and_then(|()| parent.wait());
    let (child, _) = child.expect("the child runs");
    assert!(killed.is_ok());
    let ended = || state_and_parent(child).is_none_or(|(state, _)| state == "Z").then_some(());
    assert_eq!(patiently(ended), Some(()), "{child}");
}

/// Asks again and again, for ten seconds.
fn patiently<T>(ask: impl Fn() -> Option<T>) -> Option<T> {
    (0..1000).find_map(|_| {
        ask().or_else(|| {
            thread::sleep(Duration::from_millis(10));
            None
        })
    })
}
