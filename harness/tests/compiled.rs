// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiled programs against the interpreter, on every engine for native code that is here: random instructions, and
//! programs with calls. The generators of `kop_harness::program` go further; this test needs nothing but the compiler.

use kop_emulators::program::{Job, PROGRAM_ENGINES, ProgramEngine, Runs};
use kop_harness::generate::random_operands;
use kop_jit::{Options, compile, lower};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::{AtomicOp, Insn, Reg, forms, parse_program};
use kop_ops::program::{MapAddresses, SiteTarget};
use kop_ops::state::Registers;
use kop_ops::{Arch, Catalog, Code, Fault, Features, Flow, Object, Program, ProgramKind, Site, Slot};
use kop_semantics::world::Input;
use kop_semantics::{Outcome, Run, World, spec};

/// One program with what it is compiled for.
struct Subject {
    object: Object,
    guarded: bool,
    features: Features,
    registers: Registers,
}

impl Subject {
    fn code(&self, arch: Arch) -> Code {
        let catalog = Catalog::einsn();
        let options = Options {
            arch,
            features: self.features,
            guarded: self.guarded,
            observe: true,
            catalog: &catalog,
            operations: &self.object.operations,
            emits: true,
            addresses: &MapAddresses::new(&[], SLOT).expect("there are none"),
        };
        compile(&self.object.programs[0], &options).expect("it compiles")
    }

    /// What the interpreter and the engine say; none where unguarded code would fault, and where the engine is known to get an emit
    /// wrong.
    fn outcomes(&self, engine: &mut dyn ProgramEngine, arch: Arch) -> Option<(Outcome, Outcome)> {
        let (world, mut image) = World::new(&self.object, 0, SLOT, &Input::default()).expect("a world");
        for (place, byte) in image.window.iter_mut().enumerate() {
            *byte = (place as u8).wrapping_mul(37) ^ (place >> 3) as u8;
        }
        let lowered = lower(&self.object, &Catalog::einsn()).expect("its sites have proof sequences");
        let run = Run {
            object: &lowered.object,
            entry: 0,
            world: &world,
            image: &image,
            registers: &self.registers,
            fuel: 100_000,
        };
        let mut expected = spec::run(&run);
        if let Err(trap) = &mut expected.end {
            trap.at = trap.at.map(|at| lowered.origin(0, at));
        }
        if expected.end.is_err() && !self.guarded {
            return None;
        }
        let codes = [self.code(arch)];
        let job = Job { run, codes: &codes };
        if let Err(reason) = engine.admits(&job) {
            let known = ["it does not execute an emit in the code rightly", "it lacks "];
            assert!(known.iter().any(|known| reason.starts_with(known)), "{reason}");
            return None;
        }
        Some((expected, engine.run(&job)))
    }

    /// Compares everything that is defined.
    fn check(&self, engine: &mut dyn ProgramEngine, arch: Arch) {
        let Some((expected, found)) = self.outcomes(engine, arch) else {
            return;
        };
        let listing: String =
            self.object.programs[0].flow.insns().iter().map(|insn| format!("{insn}\n")).collect();
        let about = format!(
            "{} guarded {} features {}\n{listing}registers {:x?}",
            engine.name(),
            self.guarded,
            self.features,
            self.registers
        );
        match (expected.end, found.end) {
            (Err(expected), Err(found)) => {
                let same = match (expected.fault, found.fault) {
                    (Fault::RunAway, Fault::RunAway) => return,
                    (Fault::Memory { address: expected, .. }, Fault::Memory { address: found, .. }) => {
                        expected == found
                    }
                    (expected, found) => expected == found,
                };
                assert!(same && expected.at == found.at, "{expected:?} {found:?}\n{about}");
            }
            (expected, found) => assert_eq!(expected, found, "{about}"),
        }
        assert_eq!(expected.image, found.image, "{about}");
        if expected.end.is_ok() {
            let (wanted, got) = (expected.registers.expect("it tells"), found.registers.expect("it tells"));
            for register in expected.defined.iter() {
                let at = register.index();
                assert_eq!(wanted[at], got[at], "r{at} {:x?} {:x?}\n{about}", wanted, got);
            }
        }
    }
}

const SLOT: Slot = Slot::of_batch(3);

fn object(insns: Vec<Insn>) -> Option<Object> {
    let flow = Flow::new(insns).ok()?;
    let program = Program { name: "test".to_owned(), kind: ProgramKind::Raw, flow };
    Some(Object { programs: vec![program], ..Object::default() })
}

/// A value that instructions treat differently from others, or a pointer.
fn value(choices: &mut impl Choices) -> u64 {
    match choices.below(6) {
        0 | 1 => SLOT.window() + 2048 + choices.below(4) * 8,
        2 => SLOT.window() + choices.below(4096),
        3 => *choices.pick(&[0, 1, 2, u64::MAX, 1 << 63, 1 << 31, 0xffff_ffff, 0x7fff_ffff, 31, 32, 33, 63]),
        4 => choices.bits() & 0xffff_ffff,
        _ => choices.bits(),
    }
}

/// An instruction that can stand in a program without calls.
fn plain(choices: &mut impl Choices, after: u64) -> Option<Insn> {
    let insn = forms::random(choices);
    let near = |off: i16| if off % 3 == 0 { off } else { off % 200 };
    Some(match insn {
        Insn::Call { .. } | Insn::Sidecar { .. } | Insn::Exit => return None,
        Insn::LoadAbs { .. } | Insn::LoadInd { .. } | Insn::MayGoto { .. } => return None,
        Insn::LoadImm64 { kind, .. } if kind != 0 => return None,
        Insn::Load { size, signed, dst, base, off } => Insn::Load { size, signed, dst, base, off: near(off) },
        Insn::Store { size, base, off, src } => Insn::Store { size, base, off: near(off), src },
        Insn::Atomic { op, size, base, off, src } => {
            let off = if choices.one_in(8) { off } else { near(off) & !7 };
            Insn::Atomic { op, size, base, off, src }
        }
        insn if insn.branch_offset().is_some() => insn.with_branch_offset(choices.below(after + 1) as i32)?,
        insn => insn,
    })
}

fn random(seed: u64, arch: Arch) -> Option<Subject> {
    let mut choices = Seeded::derived(seed, &[7]);
    let count = 1 + choices.below(6);
    let mut insns = Vec::new();
    while (insns.len() as u64) < count {
        if let Some(insn) = plain(&mut choices, count - insns.len() as u64 - 1) {
            insns.push(insn);
        }
    }
    insns.push(Insn::Exit);
    let mut registers = [0; 11];
    registers.iter_mut().for_each(|register| *register = value(&mut choices));
    registers[10] = SLOT.stack_end();
    let features = if choices.one_in(2) { Features::all(arch) } else { Features::NONE };
    Some(Subject { object: object(insns)?, guarded: choices.one_in(2), features, registers })
}

/// The engines for code of an architecture that are here, with the features that all of them have.
fn engines() -> Vec<(Arch, Box<dyn ProgramEngine>)> {
    let mut engines = Vec::new();
    for kind in PROGRAM_ENGINES {
        let Runs::Code(arch) = kind.runs else {
            continue;
        };
        match kind.make() {
            Ok(engine) => engines.push((arch, engine)),
            Err(reason) => eprintln!("{} is absent: {reason}", kind.name),
        }
    }
    engines
}

#[test]
fn random_instructions_do_what_the_interpreter_does() {
    let count = std::env::var("KOP_COMPILED_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    for (arch, mut engine) in engines() {
        let mut ran = 0;
        for seed in 0..count {
            if let Some(subject) = random(seed, arch) {
                subject.check(engine.as_mut(), arch);
                ran += 1;
            }
        }
        assert!(ran > count / 2, "{ran} of {count} programs ran on {}", engine.name());
    }
}

/// Every instruction with a memory operand and every aliasing of its registers, where the address is good.
#[test]
fn every_aliasing_of_memory_operands() {
    for (arch, mut engine) in engines() {
        for insn in forms::samples() {
            let (base, off) = match insn {
                Insn::Load { base, off, .. } | Insn::Store { base, off, .. } => (base, off),
                Insn::Atomic { base, off, .. } => (base, off),
                _ => continue,
            };
            let Some(object) = object(vec![insn, Insn::Exit]) else {
                continue;
            };
            let mut registers = std::array::from_fn(|i| 0x0123_4567_89ab_cdef_u64.rotate_left(7 * i as u32));
            registers[10] = SLOT.stack_end();
            if base != Reg::R10 {
                registers[base.index()] = (SLOT.window() + 2048).wrapping_sub(i64::from(off) as u64);
            }
            for features in [Features::all(arch), Features::NONE] {
                for guarded in [false, true] {
                    let subject = Subject { object: object.clone(), guarded, features, registers };
                    subject.check(engine.as_mut(), arch);
                    if let Insn::Atomic { op: AtomicOp::CmpXchg, .. } = insn {
                        // What memory holds there, so that the exchange succeeds.
                        let mut registers = registers;
                        registers[0] = (0..8).rev().fold(0, |value, i| {
                            let place = 2048 + i;
                            let byte = (place as u8).wrapping_mul(37) ^ (place >> 3) as u8;
                            value << 8 | u64::from(byte)
                        });
                        let subject = Subject { object: object.clone(), registers, ..subject };
                        subject.check(engine.as_mut(), arch);
                    }
                }
            }
        }
    }
}

#[test]
fn calls_keep_frames_and_registers() {
    let texts = [
        "r6 = 6\nr7 = 7\nr8 = 8\nr9 = 9\n*(u64 *)(r10 - 8) = 5\nr1 = r10\ncall pc+5\nr0 += r6\nr0 += r7\nr0 += r8\nr0 += r9\nexit\n\
         r6 = 60\nr9 = 90\n*(u64 *)(r10 - 8) = 500\nr0 = *(u64 *)(r10 - 8)\nr2 = *(u64 *)(r1 - 8)\nr0 += r2\nexit",
        // Recursion through instruction 0, to the limit of frames.
        "r1 += 1\nr0 = r1\nif r1 > 100 goto +2\ncall pc-4\nr0 += 1\nexit",
        "r6 = 3\nr6 -= 1\nif r6 == 0 goto +1\ngoto -3\nr0 = r6\nexit",
        // Endless.
        "r0 = 0\nr0 += 1\ngoto -2\nexit",
        "r6 = r10\ncall 5\nr7 = 5\nr0 = r6\nr0 -= r10\nexit",
        "r7 = 5\nr0 = 0\ncallx r7\nr0 = 3\nexit",
        "r7 = 0x123456\ncallx r7\nr0 = 3\nexit",
        "r0 = 0\nmay_goto +2\nr0 += 1\nif r0 < 10 goto -3\nr0 += 5\nexit",
        "call pc+1\nexit\nr0 = 0\nmay_goto +2\nr0 += 1\nif r0 < 10 goto -3\nr6 = r0\nexit",
    ];
    for (arch, mut engine) in engines() {
        for text in texts {
            let insns = parse_program(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let object = object(insns).expect("it is a program");
            let mut registers = std::array::from_fn(|i| 0x100 + i as u64);
            registers[1] = SLOT.window();
            registers[10] = SLOT.stack_end();
            for guarded in [false, true] {
                let subject =
                    Subject { object: object.clone(), guarded, features: Features::NONE, registers };
                subject.check(engine.as_mut(), arch);
            }
        }
    }
}

/// A site of each form between instructions that set and use its registers, against its proof sequence.
#[test]
fn sites_do_what_their_proof_sequences_do() {
    let catalog = Catalog::einsn();
    for (arch, mut engine) in engines() {
        let mut choices = Seeded::derived(1, &[9]);
        for (kop, form) in catalog.forms() {
            for round in 0..40 {
                let Some(operands) = random_operands(kop, form, &mut choices) else {
                    continue;
                };
                let payload = form.layout.encode(&operands).expect("the operands are its own");
                let site = Site::decode(form, payload, Features::NONE).expect("it decodes");
                let dead = kop.contract(&site).dead;
                let [sidecar, call] = Insn::kop_site(payload, 7, 0);
                let mut insns = vec![sidecar, call];
                // What a contract declares dead may differ, and is not looked at.
                insns.extend(dead.iter().map(|register| Insn::mov64(register, 0)));
                insns.push(Insn::Exit);
                let Some(mut object) = object(insns) else {
                    continue;
                };
                let target = SiteTarget { id: 7, kop: kop.name().to_owned(), form: form.name.to_string() };
                object.operations = vec![target];
                let mut registers = [0; 11];
                registers.iter_mut().for_each(|register| *register = value(&mut choices));
                registers[10] = SLOT.stack_end();
                let features = if round % 2 == 0 { Features::NONE } else { Features::all(arch) };
                let subject = Subject { object, guarded: round % 4 < 2, features, registers };
                subject.check(engine.as_mut(), arch);
            }
        }
    }
}
