// SPDX-License-Identifier: GPL-2.0-or-later
//! What the interpreter does around instructions: frames, fuel, faults, and what calls leave.

use kop_ops::Program;
use kop_ops::ebpf::{Insn, parse_program};
use kop_ops::state::Access;

use super::*;

const SLOT: u64 = 3;

fn object(source: &str) -> Object {
    let insns = parse_program(source).expect("it parses");
    let flow = Flow::new(insns).expect("its control flow is sound");
    let program = Program { name: "test".to_owned(), kind: ProgramKind::Raw, flow };
    Object { programs: vec![program], ..Object::default() }
}

fn world(image: &Image) -> (World, Registers) {
    let mut registers = [0; 11];
    registers[1] = image.slot.window();
    registers[2] = 64;
    registers[10] = image.slot.stack_end();
    (World::default(), registers)
}

fn stopped_with_fuel(source: &str, fuel: u64, observer: &mut impl Observer) -> (Stopped, Image) {
    let object = object(source);
    assert_eq!(check(&object), Ok(()));
    let slot = Slot::of_batch(SLOT);
    let mut image = Image::zeroed(slot, 0, 0);
    let (mut world, registers) = world(&image);
    let start = Start { entry: 0, registers, fuel };
    let stopped = Interpreter::new(&object, slot).run(start, &mut world, &mut image, observer);
    (stopped, image)
}

fn stopped(source: &str) -> Stopped {
    stopped_with_fuel(source, 1_000, &mut ()).0
}

fn fault(source: &str) -> (Fault, Option<usize>) {
    let trap = stopped(source).end.expect_err("it faults");
    (trap.fault, trap.at)
}

#[test]
fn a_program_returns_r0() {
    let end = stopped("r0 = 7\nr0 += -9\nexit");
    assert_eq!((end.end, end.executed), (Ok(u64::MAX - 1), 3));
    assert_eq!(end.registers[10], Slot::of_batch(SLOT).stack_end());
}

/// RFC 9669 section 4.1: amounts are taken modulo the width.
#[test]
fn shift_amounts_are_masked() {
    let r0 = |source: &str| stopped(source).end;
    assert_eq!(r0("r0 = 1\nr2 = 65\nr0 <<= r2\nexit"), Ok(2));
    assert_eq!(r0("r0 = 6\nr2 = 65\nr0 >>= r2\nexit"), Ok(3));
    assert_eq!(r0("r0 = -4\nr2 = 65\nr0 s>>= r2\nexit"), Ok(u64::MAX - 1));
    assert_eq!(r0("w0 = 1\nr2 = 33\nw0 <<= w2\nexit"), Ok(2));
    assert_eq!(r0("w0 = 6\nr2 = 33\nw0 >>= w2\nexit"), Ok(3));
    assert_eq!(r0("w0 = -4\nr2 = 33\nw0 s>>= w2\nexit"), Ok(0xffff_fffe));
}

#[test]
fn every_instruction_takes_fuel() {
    let source = "r0 = 1\nr0 = 2\nexit";
    assert_eq!(stopped_with_fuel(source, 3, &mut ()).0.end, Ok(2));
    let (end, _) = stopped_with_fuel(source, 2, &mut ());
    assert_eq!(end.end, Err(Trap { fault: Fault::RunAway, program: 0, at: Some(2) }));
    assert_eq!(fault("goto -1"), (Fault::RunAway, Some(0)));
}

#[test]
fn memory_outside_of_the_ranges_faults_with_its_address() {
    let slot = Slot::of_batch(SLOT);
    let at = |access, address| Fault::Memory { access, address: Some(address) };
    let end = slot.window_end();
    let read = fault("r0 = 0\nr0 = *(u64 *)(r1 + 4089)\nexit");
    assert_eq!(read, (at(Access::Read, end - 7), Some(1)));
    let write = fault("*(u8 *)(r1 - 1) = 5\nr0 = 0\nexit");
    assert_eq!(write, (at(Access::Write, slot.window() - 1), Some(0)));
    let stack = fault("r0 = *(u8 *)(r10 + 0)\nexit");
    assert_eq!(stack, (at(Access::Read, slot.stack_end()), Some(0)));
    let null = fault("r1 = 0\nr0 = *(u32 *)(r1 + 0)\nexit");
    assert_eq!(null, (at(Access::Read, 0), Some(1)));
}

#[test]
fn atomic_operations_are_aligned() {
    let slot = Slot::of_batch(SLOT);
    let unaligned = |address| Fault::Memory { access: Access::Write, address: Some(slot.window() + address) };
    assert_eq!(fault("lock *(u64 *)(r1 + 4) += r2\nexit"), (unaligned(4), Some(0)));
    assert_eq!(fault("lock *(u32 *)(r1 + 2) += r2\nexit"), (unaligned(2), Some(0)));
    assert_eq!(fault("r0 = load_acquire((u16 *)(r1 + 1))\nexit"), (unaligned(1), Some(0)));
    assert_eq!(stopped("lock *(u32 *)(r1 + 4) += r2\nr0 = *(u32 *)(r1 + 4)\nexit").end, Ok(64));
    assert_eq!(fault("r3 = 1\nlock *(u64 *)(r1 + 4096) += r3\nexit"), (unaligned(4096), Some(1)));
}

#[test]
fn a_faulting_instruction_writes_nothing() {
    let end = stopped("r0 = 5\nr0 = *(u64 *)(r1 - 8)\nexit");
    assert_eq!(end.registers[0], 5);
}

#[test]
fn functions_have_frames_of_their_own_and_keep_r6_to_r9() {
    let source = "
        r6 = 6
        r7 = 7
        r1 = 30
        *(u64 *)(r10 - 8) = 1
        call double
        r0 += r6
        r0 += r7
        r2 = *(u64 *)(r10 - 8)
        r0 += r2
        exit
    double:
        r6 = r1
        r7 = 1000
        *(u64 *)(r10 - 8) = 2
        r0 = r6
        r0 += r6
        exit";
    let (end, image) = stopped_with_fuel(source, 1_000, &mut ());
    assert_eq!(end.end, Ok(60 + 6 + 7 + 1));
    let stack_end = image.slot.stack_end();
    assert_eq!((image.load(stack_end - 8, 8), image.load(stack_end - 520, 8)), (Ok(1), Ok(2)));
}

#[test]
fn calls_leave_arguments_undefined() {
    let source = "r0 = 0\nr3 = 1\nr6 = 1\ncall f\nr4 = 1\nexit\nf:\nr0 = r3\nr7 = 1\nr5 = 0\nexit";
    let end = stopped(source);
    assert_eq!(end.end, Ok(1));
    assert_eq!(end.defined, RegSet::of(&[Reg::R0, Reg::R4, Reg::R6, Reg::R10]));
    assert_eq!(end.registers[3], 0xdead_c0de_bad0_0003);
    let no_result = stopped("r0 = 1\ncall f\nexit\nf: exit");
    assert!(!no_result.defined.has(Reg::R0));
}

#[test]
fn eight_frames_are_allowed_and_nine_are_not() {
    let nested = |calls: usize| {
        let mut source = "call f1\nexit\n".to_owned();
        for level in 1..calls {
            source += &format!("f{level}: call f{}\nexit\n", level + 1);
        }
        source + &format!("f{calls}: r0 = r10\nexit\n")
    };
    assert_eq!(stopped(&nested(7)).end, Ok(Slot::of_batch(SLOT).stack_end() - 7 * 512));
    assert_eq!(fault(&nested(8)), (Fault::CallDepth, Some(14)));
}

#[test]
fn unknown_helpers_fault_in_both_forms_of_call() {
    assert_eq!(fault("call 9999\nexit"), (Fault::Helper { id: 9999 }, Some(0)));
    let [callx, exit] = [Insn::Call { target: CallTarget::Register(Reg::R7) }, Insn::Exit];
    let flow = Flow::new(vec![Insn::load_imm64(Reg::R7, 0x1_0000_270f), callx, exit]).expect("sound");
    let mut object = object("exit");
    object.programs[0].flow = flow;
    let mut image = Image::zeroed(Slot::default(), 0, 0);
    let (mut world, registers) = world(&image);
    let start = Start { entry: 0, registers, fuel: 10 };
    let end = Interpreter::new(&object, Slot::default()).run(start, &mut world, &mut image, &mut ());
    assert_eq!(end.end, Err(Trap { fault: Fault::Helper { id: 9999 }, program: 0, at: Some(1) }));
}

#[test]
fn may_goto_goes_on_until_its_budget_is_used_up() {
    // One loop counts how often the budget lets it go on; the call has a budget of its own.
    let source = "
        r0 = 0
        r6 = 0
    again:
        may_goto +2
        r6 += 1
        goto again
        call f
        r0 = r6
        exit
    f:
        may_goto +2
        r0 = 1
        exit
        r0 = *(u8 *)(r10 + 0)
        exit";
    let (end, _) = stopped_with_fuel(source, 40_000_000, &mut ());
    assert_eq!(end.end, Ok(MAY_GOTO_BUDGET));
}

#[test]
fn what_has_no_meaning_here_is_named() {
    let refuse = |insns: Vec<Insn>| {
        let mut object = object("exit");
        object.programs[0].flow = Flow::new(insns).expect("its control flow is sound");
        check(&object).expect_err("it is refused").to_string()
    };
    let [sidecar, call] = Insn::kop_site(1, 7, 0);
    let exit = Insn::Exit;
    let map = |kind, imm| Insn::LoadImm64 { dst: Reg::R1, kind, imm };
    assert!(refuse(vec![sidecar, call, exit]).contains("instruction 0"));
    let kfunc = Insn::Call { target: CallTarget::Kfunc { id: 3, off: 0 } };
    assert!(refuse(vec![Insn::mov64(Reg::R0, 0), kfunc, exit]).contains("instruction 1"));
    for insn in [map(1, 4), map(5, 0), map(6, 0), map(5, 1 << 32), map(4, 0)] {
        assert!(refuse(vec![insn, exit]).starts_with("program `test`, instruction 0 (`r1 = "));
    }
    let legacy = Insn::LoadAbs { size: kop_ops::ebpf::Size::B1, imm: 0 };
    assert!(refuse(vec![legacy, exit]).contains("legacy"));
}

#[test]
fn what_is_refused_is_illegal_where_it_is_reached() {
    let mut object = object("exit");
    object.programs[0].flow =
        Flow::new(vec![Insn::LoadImm64 { dst: Reg::R1, kind: 5, imm: 0 }, Insn::Exit]).expect("sound");
    let image = Image::zeroed(Slot::default(), 0, 0);
    let (world, registers) = world(&image);
    let job = Run { object: &object, entry: 0, world: &world, image: &image, registers: &registers, fuel: 9 };
    assert_eq!(run(&job).end, Err(Trap { fault: Fault::Illegal, program: 0, at: Some(0) }));
}

#[test]
fn a_trace_keeps_the_last_steps() {
    let mut trace = Trace::last(3);
    stopped_with_fuel("r0 = 1\nr3 = 5\nif r3 == 5 goto +1\nr0 = 2\nr0 += r3\nexit", 100, &mut trace);
    let steps: Vec<_> = trace.steps().map(|step| (step.index, step.written)).collect();
    assert_eq!(steps, [(2, None), (4, Some((Reg::R0, 6))), (5, None)]);
}
