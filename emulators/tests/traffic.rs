// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs over traffic: what they return for each packet, helper functions that are called as functions, and how a run ends that goes
//! wrong.

#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "native"))]

use kop_emulators::traffic::{Passed, Programs, Traffic, Turns};
use kop_ops::code::runtime;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::x86_64::{Assembler, Gpr, Mem, Size};
use kop_ops::{Arch, Code, Features, Flow, MapKind, MapSpec, Object, Program, ProgramKind, Slot};
use kop_semantics::{Image, Input, World};

const CLOCK: i32 = 5;
const PROCESSOR: i32 = 8;
const TAIL_CALL: i32 = 12;

/// What a program finds, of an object with two.
struct Start {
    world: World,
    image: Image,
    input: Input,
    packets: Vec<Vec<u8>>,
}

impl Start {
    fn new(maps: Vec<MapSpec>, firsts: &[u32]) -> Self {
        let flow = Flow::new(vec![Insn::mov64(Reg::R0, 0), Insn::Exit]).expect("it is a program");
        let program = Program { name: "p".to_owned(), kind: ProgramKind::Xdp, flow };
        let object = Object { programs: vec![program; 2], maps: maps.into(), ..Object::default() };
        let input = Input::default();
        let (world, image) = World::new(&object, 0, Slot::default(), &input).expect("a state");
        let packets = firsts.iter().map(|first| [&first.to_le_bytes()[..], &[0; 60]].concat()).collect();
        Self { world, image, input, packets }
    }

    /// Turns of these codes, of which the first programs get the packets.
    fn turns<'a>(&'a self, made: &[&'a [Code]]) -> Turns<'a> {
        let Self { world, image, input, packets } = self;
        let programs = made.iter().map(|codes| Programs { codes, entry: 0 }).collect();
        Turns::new(Traffic { world, image, fields: &input.fields, packets }, programs)
    }

    fn run(&self, code: Code, passes: u32) -> Result<Passed, String> {
        self.turns(&[&[code]]).run(0, passes)
    }
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

fn returns(result: i32) -> Code {
    code(&[], |a| {
        a.mov(Size::B4, Gpr::Rax, result);
        a.ret();
    })
}

fn faults() -> Code {
    code(&[], |a| {
        a.mov(Size::B4, Gpr::Rax, Mem::absolute(0));
        a.ret();
    })
}

/// Returns what the first of its helper functions does.
fn calls(helper: i32) -> Code {
    code(&[helper], |a| {
        a.pushq(Gpr::Rbx);
        a.call_rm(Mem::at(Gpr::Rdi, runtime::HELPERS));
        a.popq(Gpr::Rbx);
        a.ret();
    })
}

/// The clock moves by a microsecond at each reading.
const READINGS: [u32; 2] = [1_000_000_000, 1_000_001_000];

#[test]
fn each_packet_of_the_first_pass_has_its_result() {
    let start = Start::new(Vec::new(), &[7, 0x01020304, 9]);
    let passed = start.run(code(&[], first_byte), 3).expect("it returns");
    assert_eq!(passed.results, [7, 0x01020304, 9]);
    assert!(!passed.time.is_zero());
}

#[test]
fn helper_functions_are_the_worlds_and_every_run_starts_anew() {
    let start = Start::new(Vec::new(), &[1, 2]);
    let made = [[calls(CLOCK)], [returns(3)]];
    let mut turns = start.turns(&[&made[0], &made[1]]);
    for passes in 1..3 {
        assert_eq!(turns.run(0, passes).expect("it returns").results, READINGS);
        assert_eq!(turns.run(1, passes).expect("it returns").results, [3, 3]);
    }
    turns.renew();
    assert_eq!(turns.run(0, 1).expect("it returns").results, READINGS);
}

#[test]
fn what_stops_is_told_of_and_the_others_go_on() {
    let start = Start::new(Vec::new(), &[1]);
    let made = [[faults()], [returns(5)]];
    let mut turns = start.turns(&[&made[0], &made[1]]);
    for _ in 0..2 {
        assert_eq!(turns.run(1, 1).expect("it returns").results, [5]);
        let said = turns.run(0, 1).expect_err("nothing is mapped there");
        assert_eq!(said, format!("the program ended with signal {}", libc::SIGSEGV));
    }
}

#[test]
fn code_of_another_processor_is_refused() {
    let start = Start::new(Vec::new(), &[1]);
    let said = start.run(Code { arch: Arch::Aarch64, ..returns(1) }, 1).expect_err("it is not for this one");
    assert!(said.contains("x86-64"), "{said}");
}

#[test]
fn a_program_that_is_gone_on_with_has_its_own_helper_functions() {
    let numbers = |number: u32| number.to_le_bytes().to_vec();
    let programs = MapSpec {
        name: "programs".to_owned(),
        kind: MapKind::ProgramArray,
        key_size: 4,
        value_size: 4,
        max_entries: 2,
        flags: 0,
        initial: vec![(numbers(1), numbers(1))],
    };
    let start = Start::new(vec![programs], &[1, 2]);
    let array = start.world.addresses().handle(0);
    let first = code(&[PROCESSOR, TAIL_CALL], |a| {
        a.pushq(Gpr::Rbx);
        a.mov(Size::B8, Gpr::Rbx, Gpr::Rdi);
        a.call_rm(Mem::at(Gpr::Rbx, runtime::HELPERS));
        a.movabs(Gpr::Rsi, array);
        a.mov(Size::B4, Gpr::Rdx, 1);
        a.call_rm(Mem::at(Gpr::Rbx, runtime::HELPERS + 8));
        a.mov(Size::B8, Gpr::Rdi, Gpr::Rbx);
        a.popq(Gpr::Rbx);
        a.jmp_rm(Gpr::Rax);
    });
    let made = [first, calls(CLOCK)];
    assert_eq!(start.turns(&[&made]).run(0, 2).expect("it returns").results, READINGS);
}

#[test]
fn many_threads_have_children_at_the_same_time() {
    let start = &Start::new(Vec::new(), &[1]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let made = [[returns(5)], [faults()]];
                let mut turns = start.turns(&[&made[0], &made[1]]);
                for round in 0..50 {
                    assert_eq!(turns.run(0, 1).expect("it returns").results, [5]);
                    match round % 2 {
                        0 => turns.renew(),
                        _ => assert!(turns.run(1, 1).is_err()),
                    }
                }
            });
        }
    });
}
