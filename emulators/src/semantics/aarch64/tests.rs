// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine observes what Unicorn observes.

#[cfg(feature = "unicorn")]
use kop_ops::aarch64::Mem;
use kop_ops::aarch64::{Assembler, Width};
#[cfg(feature = "unicorn")]
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Arch, Features, Slot, State, Vectors};
#[cfg(feature = "unicorn")]
use kop_ops::{Catalog, EmitRequest, Feature, Pass, Site};

use super::*;
use crate::engine::{Engine, NativeCode, Observation, Probe, Program};
use crate::semantics::SemanticsEngine;

const SLOT: Slot = Slot::of_batch(0);

fn code(write: impl FnOnce(&mut Assembler)) -> NativeCode {
    let mut asm = Assembler::new();
    write(&mut asm);
    let bytes = asm.finish().expect("the operands fit").bytes;
    let (features, vectors) = (Features::default(), Vectors::default());
    let other_features = Vec::new();
    NativeCode { arch: Arch::Aarch64, bytes, features, other_features, vex_vector: false, vectors }
}

fn probe(engine: &mut dyn Engine, code: &NativeCode) -> Observation {
    let mut state = State::zeroed(SLOT);
    for (i, reg) in Reg::ALL.into_iter().enumerate() {
        state.set(reg, 0x0123_4567_89ab_cdef_u64.rotate_left(7 * i as u32));
    }
    state.set(Reg::R1, SLOT.window() + 0x18);
    state.set(Reg::R10, SLOT.stack_end());
    for (i, byte) in state.memory.window.iter_mut().enumerate() {
        *byte = i as u8;
    }
    let program = Program::Native(code);
    assert_eq!(engine.admits(&program), Ok(()));
    engine.probe(&Probe { program, state: &state, garbage: 7 })
}

/// What writes a code under test.
#[cfg(feature = "unicorn")]
type Write = fn(&mut Assembler);

/// Code that keeps the rules and code that breaks each of them. x0 points into the window, x25 to the end of the stack.
#[cfg(feature = "unicorn")]
const CODES: [(&str, Write); 11] = [
    ("nothing", |_| {}),
    ("push and pop", |a| {
        a.stp(Width::X, Gpr::X0, Gpr::X1, Mem::pre(Gpr::Sp, -16));
        a.ldp(Width::X, Gpr::X9, Gpr::X10, Mem::post(Gpr::Sp, 16));
    }),
    ("load and store", |a| {
        a.ldr(Width::W, Gpr::X1, Mem::offset(Gpr::X0, 4));
        a.str(Width::X, Gpr::X1, Mem::offset(Gpr::X25, -8));
    }),
    ("sixteen bytes", |a| {
        a.ldp(Width::X, Gpr::X9, Gpr::X10, Mem::offset(Gpr::X0, 8));
        a.stp(Width::X, Gpr::X10, Gpr::X9, Mem::offset(Gpr::X0, 24));
    }),
    ("x19 changes", |a| a.mov_imm64(Gpr::X19, 1)),
    ("x14 changes", |a| a.mov_imm64(Gpr::X14, 1)),
    ("sp changes", |a| a.sub_imm(Width::X, Gpr::Sp, Gpr::Sp, 16)),
    ("below the stack pointer", |a| a.str(Width::X, Gpr::X0, Mem::offset(Gpr::Sp, -8))),
    ("the caller's stack", |a| a.str(Width::X, Gpr::X0, Mem::offset(Gpr::Sp, 8))),
    ("reads the caller's stack", |a| a.ldr(Width::X, Gpr::X0, Mem::base(Gpr::Sp))),
    ("beyond the window", |a| a.ldr(Width::X, Gpr::X1, Mem::offset(Gpr::X0, 4096 - 0x18))),
];

#[cfg(feature = "unicorn")]
#[test]
fn it_observes_what_unicorn_observes() {
    let unicorn = crate::engines::find("unicorn-aarch64").expect("in the list");
    let mut unicorn = unicorn.make().expect("it is here");
    for (name, write) in CODES {
        let (code, mut engine) = (code(write), SemanticsEngine::<Aarch64>::new());
        let (ours, theirs) = (probe(&mut engine, &code), probe(&mut *unicorn, &code));
        match (ours.fault, theirs.fault) {
            (Some(a), Some(b)) => assert!(a.same_kind(b), "{name}: {a} against {b}"),
            (a, b) => assert_eq!(a, b, "{name}"),
        }
        assert_eq!(ours.breaches, theirs.breaches, "{name}");
        assert_eq!(ours.state.registers, theirs.state.registers, "{name}");
        assert_eq!(ours.state.memory.first_difference(&theirs.state.memory), None, "{name}");
        if ours.fault.is_none() {
            assert_eq!(ours.accesses, theirs.accesses, "{name}");
        }
    }
}

/// The emits of random payloads of every form of the catalog.
#[cfg(feature = "unicorn")]
fn emits(choices: &mut Seeded) -> Vec<(String, NativeCode)> {
    let (arch, mut emits) = (Arch::Aarch64, Vec::new());
    for (kop, form) in Catalog::einsn().forms() {
        // Unicorn has no SVE.
        let features = Feature::ALL.into_iter().filter(|feature| *feature != Feature::SveBitperm);
        let features: Features = features.filter(|feature| kop.features(arch).has(*feature)).collect();
        for _ in 0..60 {
            let operands = form.layout.combination(choices.below(form.layout.combinations()));
            let payload = form.layout.pack(&operands);
            let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
            let Ok(emission) = kop.emit(form, &request) else { continue };
            let site = Site::decode(form, payload, features).expect("it emits");
            let vectors = kop.contract(&site).vectors;
            let code = NativeCode { bytes: emission.bytes, vectors, ..code(|_| {}) };
            let name = format!("{} {} {}", kop.name(), form.name, form.layout.show(&site.operands));
            emits.push((name, code));
        }
    }
    emits
}

#[cfg(feature = "unicorn")]
#[test]
fn emits_of_the_catalog_do_what_they_do_on_unicorn() {
    let unicorn = crate::engines::find("unicorn-aarch64").expect("in the list");
    let (mut unicorn, mut engine) = (unicorn.make().expect("it is here"), SemanticsEngine::<Aarch64>::new());
    let (mut choices, mut ended) = (Seeded::new(11), 0);
    let emits = emits(&mut choices);
    for (name, code) in &emits {
        let mut state = State::zeroed(SLOT);
        for reg in Reg::ALL.into_iter().filter(|reg| *reg != Reg::R10) {
            let pointer = SLOT.window() + 2048 + choices.below(64);
            state.set(reg, if choices.one_in(2) { pointer } else { choices.bits() });
        }
        state.set(Reg::R10, SLOT.stack_end());
        state.memory.window.iter_mut().for_each(|byte| *byte = choices.bits() as u8);
        let probe = Probe { program: Program::Native(code), state: &state, garbage: choices.bits() };
        assert_eq!(engine.admits(&probe.program), Ok(()), "{name}");
        let (ours, theirs) = (engine.probe(&probe), unicorn.probe(&probe));
        match (ours.fault, theirs.fault) {
            (Some(a), Some(b)) => assert!(a.same_kind(b), "{name}: {a} against {b}"),
            (a, b) => assert_eq!(a, b, "{name}"),
        }
        assert_eq!(ours.state.registers, theirs.state.registers, "{name}");
        assert_eq!((&ours.breaches, theirs.breaches), (&Vec::new(), Vec::new()), "{name}");
        assert_eq!(ours.state.memory.first_difference(&theirs.state.memory), None, "{name}");
        ended += usize::from(ours.fault.is_none());
    }
    assert!(ended > 500 && 2 * ended > emits.len(), "{ended} of {} came to their end", emits.len());
}

#[test]
fn what_has_no_semantics_is_not_admitted() {
    let svc = code(|a| a.push(Insn::Svc { imm: 0 }));
    let engine = SemanticsEngine::<Aarch64>::new();
    let reason = engine.admits(&Program::Native(&svc)).expect_err("it has no semantics");
    assert!(reason.contains("svc"), "{reason}");
}

#[test]
fn traps_are_told_apart() {
    let mut engine = SemanticsEngine::<Aarch64>::new();
    let trap = code(|a| a.push(Insn::Brk { imm: 1 }));
    let undefined = code(|a| a.push(Insn::Udf { imm: 1 }));
    let forever = code(|a| a.push(Insn::B { offset: 0 }));
    assert_eq!(probe(&mut engine, &trap).fault, Some(Fault::Trap));
    assert_eq!(probe(&mut engine, &undefined).fault, Some(Fault::Illegal));
    assert_eq!(probe(&mut engine, &forever).fault, Some(Fault::RunAway));
}

#[test]
fn a_misaligned_atomic_access_faults() {
    let load = |offset| {
        code(|a| {
            a.add_imm(Width::X, Gpr::X9, Gpr::X0, offset);
            a.push(Insn::LoadAcquire { size: kop_ops::aarch64::Size::B8, rt: Gpr::X10, base: Gpr::X9 });
        })
    };
    let mut engine = SemanticsEngine::<Aarch64>::new();
    assert_eq!(probe(&mut engine, &load(8)).fault, None);
    let fault = Fault::Memory { access: Access::Read, address: Some(SLOT.window() + 0x18 + 4) };
    assert_eq!(probe(&mut engine, &load(4)).fault, Some(fault));
}
