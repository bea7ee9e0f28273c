// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine observes what Unicorn observes, and its two ways of running agree.

use kop_ops::ebpf::{Reg, RegSet};
use kop_ops::x86_64::{Assembler, Gpr, Mem, Size};
use kop_ops::{Arch, Features, Slot, State, Vectors};

use super::*;
use crate::engine::{Batch, BatchResult, Chunk, Doubt, Engine, NativeCode, Observation, Probe, Program};
use crate::native::x86_64::X86_64;

const SLOT: Slot = Slot::of_batch(0);

fn code(write: impl FnOnce(&mut Assembler)) -> NativeCode {
    let mut asm = Assembler::new();
    write(&mut asm);
    let bytes = asm.finish().expect("the operands fit").bytes;
    let features = Features::default();
    let vectors = Vectors::default();
    NativeCode { arch: Arch::X86_64, bytes, features, other_features: Vec::new(), vex_vector: false, vectors }
}

fn engine() -> SemanticsEngine<X86_64> {
    SemanticsEngine::new()
}

fn state() -> State {
    let mut state = State::zeroed(SLOT);
    for (i, reg) in Reg::ALL.into_iter().enumerate() {
        state.set(reg, 0x0123_4567_89ab_cdef_u64.rotate_left(7 * i as u32));
    }
    state.set(Reg::R1, SLOT.window() + 0x18);
    state.set(Reg::R10, SLOT.stack_end());
    for (i, byte) in state.memory.window.iter_mut().enumerate() {
        *byte = i as u8;
    }
    state
}

fn probe(engine: &mut dyn Engine, code: &NativeCode) -> Observation {
    let program = Program::Native(code);
    assert_eq!(engine.admits(&program), Ok(()));
    engine.probe(&Probe { program, state: &state(), garbage: 7 })
}

/// What writes a code under test.
#[cfg(feature = "unicorn")]
type Write = fn(&mut Assembler);

/// Code that keeps the rules and code that breaks each of them. rdi points into the window, rbp to the end of the stack.
#[cfg(feature = "unicorn")]
fn codes() -> Vec<(&'static str, NativeCode)> {
    let list: [(&str, Write); 20] = [
        ("nothing", |_| {}),
        ("push and pop", |a| {
            a.pushq(Gpr::Rdi);
            a.popq(Gpr::Rax);
        }),
        ("load and store", |a| {
            a.mov(Size::B4, Gpr::Rsi, Mem::at(Gpr::Rdi, 4));
            a.mov(Size::B2, Mem::at(Gpr::Rbp, -6), Gpr::Rsi);
        }),
        ("sixteen bytes", |a| {
            a.movdqu(kop_ops::x86_64::Xmm::ALL[1], Mem::at(Gpr::Rdi, 1));
            a.movdqu_store(Mem::at(Gpr::Rdi, 33), kop_ops::x86_64::Xmm::ALL[1]);
        }),
        ("r9 changes", |a| a.mov(Size::B8, Gpr::R9, 1)),
        ("r12 changes", |a| a.mov(Size::B8, Gpr::R12, 1)),
        ("rsp changes", |a| a.sub(Size::B8, Gpr::Rsp, 8)),
        ("scratch changes", |a| a.mov(Size::B8, Gpr::R10, 1)),
        ("direction", |a| a.std()),
        ("below the stack pointer", |a| a.mov(Size::B8, Mem::at(Gpr::Rsp, -8), Gpr::Rax)),
        ("reads below", |a| a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rsp, -16))),
        ("the caller's stack", |a| a.mov(Size::B8, Mem::at(Gpr::Rsp, 8), Gpr::Rax)),
        ("reads the caller's stack", |a| a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::Rsp, 0))),
        ("unmapped", |a| a.mov(Size::B8, Gpr::Rax, Mem::at(Gpr::R12, 0))),
        ("beyond the window", |a| a.mov(Size::B8, Mem::at(Gpr::Rdi, 4096 - 0x18 - 4), Gpr::Rax)),
        ("undefined", |a| a.ud2()),
        ("division by zero", division_by_zero),
        ("another one", division_by_zero),
        ("and a third", division_by_zero),
        ("afterwards", |a| a.mov(Size::B8, Gpr::R11, 1)),
    ];
    list.into_iter().map(|(name, write)| (name, code(write))).collect()
}

#[cfg(feature = "unicorn")]
fn division_by_zero(a: &mut Assembler) {
    a.mov(Size::B8, Gpr::R10, 0);
    a.div(Size::B8, Gpr::R10);
}

#[cfg(feature = "unicorn")]
#[test]
fn it_observes_what_unicorn_observes() {
    let mut unicorn =
        crate::engines::find("unicorn-x86_64").expect("in the list").make().expect("it is here");
    for (name, code) in codes() {
        let (ours, theirs) = (probe(&mut engine(), &code), probe(&mut *unicorn, &code));
        match (ours.fault, theirs.fault) {
            (Some(a), Some(b)) => assert!(a.same_kind(b), "{name}: {a} against {b}"),
            (a, b) => assert_eq!(a, b, "{name}"),
        }
        assert_eq!(ours.breaches, theirs.breaches, "{name}");
        assert_eq!(ours.state.registers, theirs.state.registers, "{name}");
        // Of a store that faults, Unicorn does the bytes that fit; a CPU does nothing.
        if ours.fault.is_none() {
            assert_eq!(ours.state.memory.first_difference(&theirs.state.memory), None, "{name}");
            assert_eq!(ours.accesses, theirs.accesses, "{name}");
        }
    }
}

/// A batch of rows with r1 and r2, of which r3 and r2 come back.
fn run(code: &NativeCode, states: &[u64]) -> (BatchResult, Option<kop_ops::Memory>) {
    let start = state();
    let background = [start.registers, start.registers];
    let batch = Batch {
        program: Program::Native(code),
        inputs: RegSet::of(&[Reg::R1, Reg::R2, Reg::R3]),
        outputs: RegSet::of(&[Reg::R2, Reg::R3]),
        states,
        background: &background,
        garbage: 3,
    };
    let mut result = engine().run(&Chunk { memory: &start.memory, batches: vec![batch] });
    (result.batches.remove(0), result.memory)
}

#[test]
fn rows_give_what_single_states_give() {
    let code = code(|a| {
        a.mov(Size::B8, Gpr::Rdx, Mem::at(Gpr::Rdi, 0));
        a.add(Size::B8, Gpr::Rdx, Gpr::Rsi);
        a.mov(Size::B1, Mem::at(Gpr::Rdi, 1), Gpr::Rdx);
    });
    let states: Vec<u64> = (0..21).flat_map(|i| [SLOT.window() + 5 * i, i << 4, 9]).collect();
    let (result, memory) = run(&code, &states);
    let mut single = state();
    let mut expected = Vec::new();
    for row in states.chunks_exact(3) {
        for (reg, value) in [Reg::R1, Reg::R2, Reg::R3].into_iter().zip(row) {
            single.set(reg, *value);
        }
        let program = Program::Native(&code);
        single = engine().probe(&Probe { program, state: &single, garbage: 0 }).state;
        expected.extend([row[0], single.get(Reg::R2), single.get(Reg::R3)]);
    }
    assert_eq!(result, BatchResult::Ran { rows: expected, faults: Vec::new() });
    assert_eq!(memory.expect("all ran").first_difference(&single.memory), None);
}

#[test]
fn rows_that_break_rules_are_doubtful() {
    let rows = [SLOT.window(), 2, 3];
    for (doubt, code) in [
        (Doubt::Register, code(|a| a.mov(Size::B8, Gpr::R9, 1))),
        (Doubt::Register, code(|a| a.mov(Size::B8, Gpr::R13, 1))),
        (Doubt::Register, code(|a| a.sub(Size::B8, Gpr::Rsp, 8))),
        (Doubt::Stack, code(|a| a.mov(Size::B8, Mem::at(Gpr::Rsp, 0), Gpr::Rax))),
    ] {
        assert_eq!(run(&code, &rows).0, BatchResult::Doubt(doubt));
    }
    let scratch = code(|a| a.mov(Size::B8, Gpr::R11, 1));
    assert_eq!(run(&scratch, &rows).0, BatchResult::Ran { rows: rows.to_vec(), faults: Vec::new() });
}

#[test]
fn a_state_that_faults_is_told_and_the_next_one_runs() {
    let code = code(|a| a.mov(Size::B8, Gpr::Rdx, Mem::at(Gpr::Rdi, 0)));
    let (result, _) = run(&code, &[8, 2, 3, SLOT.window() + 8, 2, 3]);
    let BatchResult::Ran { rows, faults } = result else { panic!("{result:?}") };
    let fault = Fault::Memory { access: kop_ops::Access::Read, address: Some(8) };
    assert_eq!((faults, rows[5]), (vec![(0, fault)], 0x0f0e_0d0c_0b0a_0908));
}

#[test]
fn code_that_does_not_end_runs_away_and_code_that_leaves_escapes() {
    let forever = NativeCode { bytes: vec![0xeb, 0xfe], ..code(|_| {}) };
    assert_eq!(probe(&mut engine(), &forever).fault, Some(Fault::RunAway));
    let into_instruction = NativeCode { bytes: vec![0xeb, 0x01, 0x83, 0xc0, 0x01], ..code(|_| {}) };
    assert!(matches!(probe(&mut engine(), &into_instruction).fault, Some(Fault::Escape { .. })));
}

#[test]
fn what_has_no_semantics_is_not_admitted() {
    let cpuid = NativeCode { bytes: vec![0x0f, 0xa2], ..code(|_| {}) };
    let reason = engine().admits(&Program::Native(&cpuid)).expect_err("it has no semantics");
    assert!(reason.contains("cpuid"), "{reason}");
}
