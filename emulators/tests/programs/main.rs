// SPDX-License-Identifier: GPL-2.0-or-later
//! Compiled programs on the engines that run them: what engines promise, shown with code written by hand.

mod aarch64;
mod x86_64;

use kop_emulators::program::{Job, PROGRAM_ENGINES, ProgramEngine, Runs};
use kop_ops::code::Mark;
use kop_ops::ebpf::{Insn, Reg};
use kop_ops::state::Registers;
use kop_ops::{Arch, Code, Features, Flow, Object, Program, ProgramKind, Slot};
use kop_semantics::world::Input;
use kop_semantics::world::helpers::HelperSet;
use kop_semantics::{Image, Outcome, Run, World};

/// Code whose instructions, which start at `offsets`, are numbered as they stand. It calls the helpers 5 and 1000.
fn code(arch: Arch, bytes: Vec<u8>, offsets: impl Iterator<Item = usize>) -> Code {
    let marks = (0..).zip(offsets).map(|(index, offset)| Mark { offset: offset as u32, index }).collect();
    Code {
        arch,
        bytes,
        entry: 0,
        marks,
        helpers: vec![5, 1000],
        features: Features::NONE,
        guarded: false,
        observing: false,
        sites: Vec::new(),
    }
}

/// An object whose programs are never looked at.
fn object(programs: usize) -> Object {
    let flow = Flow::new(vec![Insn::mov64(Reg::R0, 0), Insn::Exit]).expect("it is sound");
    let program = |i| Program { name: format!("program{i}"), kind: ProgramKind::Raw, flow: flow.clone() };
    Object { programs: (0..programs).map(program).collect(), ..Object::default() }
}

fn image(slot: Slot) -> Image {
    let mut image = Image::zeroed(slot, 24, 4096 + 40);
    for (i, (_, bytes)) in image.regions_mut().enumerate() {
        bytes.fill(0x11 * (i as u8 + 1));
    }
    image
}

/// Registers with the places of a slot: r1 the window, r2 the context, r3 the maps, r4 a number.
fn registers(slot: Slot) -> Registers {
    let mut registers = [0; 11];
    registers[1..5].copy_from_slice(&[slot.window(), slot.context(), slot.maps(), 0x1234_5678_9abc_def0]);
    registers[10] = slot.stack_end();
    registers
}

fn run_in(slot: Slot, engine: &mut dyn ProgramEngine, codes: &[Code]) -> Outcome {
    let (object, image, registers) = (object(codes.len()), image(slot), registers(slot));
    let world = World::default();
    let run = Run {
        object: &object,
        entry: 0,
        world: &world,
        image: &image,
        registers: &registers,
        fuel: 1_000_000,
    };
    let job = Job { run, codes };
    engine.admits(&job).expect("it runs such code");
    engine.run(&job)
}

fn run(engine: &mut dyn ProgramEngine, code: &Code) -> Outcome {
    run_in(Slot::of_batch(2), engine, std::slice::from_ref(code))
}

/// Every engine for code of an architecture that is here.
fn engines(arch: Arch) -> Vec<Box<dyn ProgramEngine>> {
    let mut engines = Vec::new();
    for kind in PROGRAM_ENGINES.iter().filter(|kind| kind.runs == Runs::Code(arch)) {
        match kind.make() {
            Ok(engine) => engines.push(engine),
            Err(reason) => eprintln!("{} is absent: {reason}", kind.name),
        }
    }
    engines
}

/// A world whose helper 5 returns its first argument.
fn conforming(object: &Object, slot: Slot) -> (World, Image) {
    let input = Input { helpers: HelperSet::Conformance, ..Input::default() };
    World::new(object, 0, slot, &input).expect("the input suits a raw program")
}

/// Runs code that calls helper 5.
fn run_conforming(engine: &mut dyn ProgramEngine, code: &Code, fuel: u64) -> Outcome {
    let object = object(1);
    let (world, image) = conforming(&object, Slot::default());
    let registers = world.registers();
    let run = Run { object: &object, entry: 0, world: &world, image: &image, registers: &registers, fuel };
    engine.run(&Job { run, codes: std::slice::from_ref(code) })
}
