// SPDX-License-Identifier: GPL-2.0-or-later
//! Programs that call helper functions and each other, compiled in every way, on every engine for programs: all give what
//! `spec` gives.

use kop_emulators::engines::host_features;
use kop_emulators::program::{Job, PROGRAM_ENGINES, ProgramEngine, Runs};
use kop_jit::{Options, compile};
use kop_ops::ebpf::parse_program;
use kop_ops::program::MAX_TAIL_CALLS;
use kop_ops::{Arch, Catalog, Code, Features, Flow, MapKind, MapSpec, Object, Program, ProgramKind, Slot};
use kop_semantics::world::Input;
use kop_semantics::world::scenarios::SCENARIOS;
use kop_semantics::{Image, Outcome, Run, World, spec};

fn engines() -> Vec<(Arch, Box<dyn ProgramEngine>)> {
    let mut engines = Vec::new();
    for kind in PROGRAM_ENGINES {
        let Runs::Code(arch) = kind.runs else { continue };
        match kind.make() {
            Ok(engine) => engines.push((arch, engine)),
            Err(reason) => eprintln!("{} is absent: {reason}", kind.name),
        }
    }
    engines
}

/// The code of every program of an object, or `None` where there is no back end for the architecture.
fn codes(object: &Object, world: &World, arch: Arch, guarded: bool, observe: bool) -> Option<Vec<Code>> {
    let options = Options {
        arch,
        features: if arch == Arch::X86_64 { host_features() } else { Features::NONE },
        guarded,
        observe,
        catalog: &Catalog::einsn(),
        operations: &object.operations,
        emits: true,
        addresses: world.addresses(),
    };
    let codes = object.programs.iter().map(|program| compile(program, &options));
    match codes.collect::<Result<Vec<_>, _>>() {
        Ok(codes) => Some(codes),
        Err(error) if error.to_string().contains("no back end") => None,
        Err(error) => panic!("it compiles: {error}"),
    }
}

fn agree(context: &str, expected: &Outcome, outcome: &Outcome, traps_exactly: bool) {
    match (&expected.end, &outcome.end) {
        (Err(expected), Err(found)) if !traps_exactly => {
            assert!(expected.fault.same_kind(found.fault), "{context}: {expected:?} {found:?}");
        }
        (expected, found) => assert_eq!(expected, found, "{context}"),
    }
    assert_eq!(expected.world, outcome.world, "{context}");
    assert_eq!(expected.image.first_difference(&outcome.image), None, "{context}");
    if let (Ok(_), Some(expected_registers), Some(found)) =
        (&expected.end, expected.registers, outcome.registers)
    {
        for register in expected.defined.iter() {
            let i = register.index();
            assert_eq!(expected_registers[i], found[i], "{context}: {register}");
        }
    }
}

/// Runs an object in every way, and returns how `spec` ends.
fn check(context: &str, object: &Object, world: &World, image: &Image, fuel: u64) -> Outcome {
    let registers = world.registers();
    let run = Run { object, entry: 0, world, image, registers: &registers, fuel };
    let expected = spec::run(&run);
    for (arch, mut engine) in engines() {
        for (guarded, observe) in [(true, true), (true, false), (false, true), (false, false)] {
            // Only guarded code ends by itself, and says so.
            let unbounded = expected.end.as_ref().is_err_and(|trap| trap.fault == kop_ops::Fault::RunAway);
            let Some(codes) = codes(object, world, arch, guarded, observe) else { continue };
            if unbounded && !guarded {
                continue;
            }
            let job = Job { run, codes: &codes };
            engine.admits(&job).expect("it runs such code");
            let context = format!("{context} on {}, guarded {guarded}, observe {observe}", engine.name());
            agree(&context, &expected, &engine.run(&job), guarded && !unbounded);
        }
    }
    expected
}

#[test]
fn scenarios_are_the_same_everywhere() {
    for (number, scenario) in (0..).zip(SCENARIOS) {
        let object = scenario.object();
        let input = Input { packet: scenario.packet.to_vec(), ..Input::default() };
        let slot = Slot::of_batch(number);
        let (world, image) = World::new(&object, 0, slot, &input).expect("a scenario is valid");
        check(scenario.name, &object, &world, &image, 100_000);
    }
}

fn program(name: &str, kind: ProgramKind, text: &str) -> Program {
    let insns = parse_program(text).expect("the text parses");
    Program { name: name.to_owned(), kind, flow: Flow::new(insns).expect("its control flow is sound") }
}

fn tail_calls(texts: &[&str]) -> (Object, World, Image) {
    let number = |i: usize| (i as u32).to_le_bytes().to_vec();
    let maps = vec![
        MapSpec {
            name: "programs".to_owned(),
            kind: MapKind::ProgramArray,
            key_size: 4,
            value_size: 4,
            max_entries: 8,
            flags: 0,
            initial: (0..texts.len()).map(|i| (number(i), number(i))).collect(),
        },
        MapSpec {
            name: "count".to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: 0,
            initial: Vec::new(),
        },
    ];
    let programs = texts.iter().enumerate();
    let object = Object {
        programs: programs.map(|(i, text)| program(&format!("p{i}"), ProgramKind::Xdp, text)).collect(),
        maps: maps.into(),
        ..Object::default()
    };
    let (world, image) =
        World::new(&object, 0, Slot::of_batch(9), &Input::default()).expect("the object is valid");
    (object, world, image)
}

#[test]
fn tail_calls_go_on_in_the_other_program() {
    let first = "r6 = r1\nr7 = 7\nr2 = map_by_idx(0) ll\nr3 = 1\ncall 12\nr0 = 99\nexit";
    let second = "r0 = *(u32 *)(r1 + 0)\nr2 = *(u32 *)(r1 + 4)\nr2 -= r0\nr0 = r2\nr0 += 1000\nexit";
    let (object, world, image) = tail_calls(&[first, second]);
    let outcome = check("tail call", &object, &world, &image, 1000);
    assert_eq!(outcome.end, Ok(1064));
}

#[test]
fn tail_calls_that_fail_fall_through() {
    let first = "r2 = map_by_idx(0) ll\nr3 = 7\ncall 12\nr0 = 99\nexit";
    let (object, world, image) = tail_calls(&[first]);
    assert_eq!(check("missing element", &object, &world, &image, 1000).end, Ok(99));
}

#[test]
fn tail_calls_are_limited() {
    let first = "r6 = map_val_by_idx(1, 0) ll\nr0 = *(u64 *)(r6 + 0)\nr0 += 1\n*(u64 *)(r6 + 0) = r0\n\
        r2 = map_by_idx(0) ll\nr3 = 0\ncall 12\nr0 = *(u64 *)(r6 + 0)\nexit";
    let (object, world, image) = tail_calls(&[first]);
    let outcome = check("endless tail calls", &object, &world, &image, 10_000);
    assert_eq!(outcome.end, Ok(u64::from(MAX_TAIL_CALLS) + 1));
}

#[test]
fn a_fault_behind_a_tail_call_is_the_other_program_s() {
    let first = "r2 = map_by_idx(0) ll\nr3 = 1\ncall 12\nr0 = 0\nexit";
    let second = "r0 = 0\nr1 = *(u32 *)(r1 + 0)\nr0 = *(u64 *)(r1 - 8192)\nexit";
    let (object, world, image) = tail_calls(&[first, second]);
    let trap = check("fault behind a tail call", &object, &world, &image, 1000).end.expect_err("it faults");
    assert_eq!((trap.program, trap.at), (1, Some(2)));
}
