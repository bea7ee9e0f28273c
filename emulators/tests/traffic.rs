// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs over traffic: what they return for each packet, helper functions that are called as functions, and how a run ends that goes
//! wrong.

#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "native"))]

use kop_emulators::traffic::Traffic;
use kop_ops::code::runtime;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::x86_64::{Assembler, Gpr, Mem, Size};
use kop_ops::{Arch, Code, Features, Flow, Object, Program, ProgramKind, Slot};
use kop_semantics::{Image, Input, World};

const CLOCK: i32 = 5;

fn world(kind: ProgramKind) -> (World, Image, Input) {
    let flow = Flow::new(vec![Insn::mov64(Reg::R0, 0), Insn::Exit]).expect("it is a program");
    let program = Program { name: "p".to_owned(), kind, flow };
    let object = Object { programs: vec![program], ..Object::default() };
    let input = Input::default();
    let (world, image) = World::new(&object, 0, Slot::default(), &input).expect("a state");
    (world, image, input)
}

fn code(helpers: &[i32], write: impl FnOnce(&mut Assembler)) -> Code {
    let mut a = Assembler::new();
    write(&mut a);
    Code {
        arch: Arch::X86_64,
        bytes: a.finish().expect("operands that fit").bytes,
        entry: 0,
        marks: Vec::new(),
        helpers: helpers.to_vec(),
        features: Features::NONE,
        guarded: false,
        observing: false,
        sites: Vec::new(),
    }
}

/// Returns the first byte of the packet: r1 is the context, whose first word is the packet's address.
fn first_byte(a: &mut Assembler) {
    a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rdi, runtime::REGISTERS + 8));
    a.mov(Size::B4, Gpr::Rax, Mem::at(Gpr::Rax, 0));
    a.mov(Size::B4, Gpr::Rax, Mem::at(Gpr::Rax, 0));
    a.ret();
}

fn packets(firsts: &[u32]) -> Vec<Vec<u8>> {
    firsts.iter().map(|first| [&first.to_le_bytes()[..], &[0; 60]].concat()).collect()
}

#[test]
fn each_packet_of_the_first_pass_has_its_result() {
    let (world, image, input) = world(ProgramKind::Xdp);
    let packets = packets(&[7, 0x01020304, 9]);
    let traffic = Traffic { world: &world, image: &image, fields: &input.fields, packets: &packets };
    let passed = traffic.run(&[code(&[], first_byte)], 0, 3).expect("it returns");
    assert_eq!(passed.results, [7, 0x01020304, 9]);
    assert!(!passed.time.is_zero());
}

#[test]
fn helper_functions_are_the_worlds_and_every_run_starts_anew() {
    let (world, image, input) = world(ProgramKind::Xdp);
    let packets = packets(&[1, 2]);
    let traffic = Traffic { world: &world, image: &image, fields: &input.fields, packets: &packets };
    let calls = code(&[CLOCK], |a| {
        a.pushq(Gpr::Rbx);
        a.call_rm(Mem::at(Gpr::Rdi, runtime::HELPERS));
        a.popq(Gpr::Rbx);
        a.ret();
    });
    for _ in 0..2 {
        let passed = traffic.run(std::slice::from_ref(&calls), 0, 2).expect("it returns");
        // The clock moves by a microsecond at each reading.
        assert_eq!(passed.results, [1_000_000_000, 1_000_001_000]);
    }
}

#[test]
fn what_stops_is_told_of() {
    let (world, image, input) = world(ProgramKind::Xdp);
    let packets = packets(&[1]);
    let traffic = Traffic { world: &world, image: &image, fields: &input.fields, packets: &packets };
    let faults = code(&[], |a| {
        a.mov(Size::B4, Gpr::Rax, Mem::absolute(0));
        a.ret();
    });
    let said = traffic.run(&[faults], 0, 1).expect_err("nothing is mapped there");
    assert_eq!(said, format!("the program ended with signal {}", libc::SIGSEGV));
}
