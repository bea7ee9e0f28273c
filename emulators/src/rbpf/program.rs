// SPDX-License-Identifier: GPL-2.0-or-later
//! rbpf's interpreter on whole programs, where it is sound: raw programs that work on window and stack, without maps,
//! calls and loops.

use ::rbpf::EbpfVmMbuff;
use kop_ops::ebpf::{Insn, Reg, RegSet, encode_program};
use kop_ops::state::Registers;
use kop_ops::{Fault, ProgramKind};
use kop_semantics::{Outcome, Trap};

use super::{fixed, lint, refused};
use crate::arena::Region;
use crate::program::{Job, ProgramEngine, Runs};
use crate::slots::{SlotMemory, slots};

/// rbpf as an engine for programs.
#[derive(Clone, Copy, Debug)]
pub struct RbpfProgramEngine(());

impl RbpfProgramEngine {
    /// The engine.
    ///
    /// # Errors
    /// Why windows and stacks cannot be mapped, in one line.
    pub fn new() -> Result<Self, String> {
        slots().map(|_| Self(()))
    }
}

/// What runs before a program: every register as the run has it.
fn prologue(registers: &Registers) -> Vec<Insn> {
    Reg::ALL.into_iter().map(|register| Insn::load_imm64(register, registers[register.index()])).collect()
}

impl ProgramEngine for RbpfProgramEngine {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn runs(&self) -> Runs {
        Runs::Ebpf
    }

    fn admits(&self, job: &Job) -> Result<(), String> {
        let run = &job.run;
        let program = run.object.programs.get(run.entry).ok_or("there is no such program")?;
        if program.kind != ProgramKind::Raw || !run.object.maps.is_empty() {
            return Err("context-or-map: rbpf checks only the first byte of an access to them".to_owned());
        }
        let insns = program.flow.insns();
        lint::lint_program(insns).map_err(|rule| rule.to_string())?;
        // Without jumps backwards each instruction runs once at most.
        if run.fuel < insns.len() as u64 {
            return Err("fuel: rbpf counts no instructions".to_owned());
        }
        Ok(())
    }

    fn run(&mut self, job: &Job) -> Outcome {
        let (run, slot) = (&job.run, job.run.image.slot);
        let mut program = prologue(run.registers);
        let before: usize = program.iter().map(Insn::slots).sum();
        let flow = &run.object.programs[run.entry].flow;
        program.extend_from_slice(flow.insns());
        let code = encode_program(&program);
        let mut memory = SlotMemory::take(slot).expect("the slots were mapped when the engine was made");
        memory.load(run.image);
        let mut vm = EbpfVmMbuff::new(None).expect("a machine without a program is always made");
        vm.set_verifier(|_| Ok(())).expect("there is no program to verify yet");
        vm.set_program(&code).expect("the verifier accepts everything");
        let window = fixed(slot.window(), Region::Window(slot).size());
        let stack = fixed(slot.stack(), Region::Stack(slot).size());
        let end = vm.execute_program(window, stack).map_err(|error| {
            let Some((access, address, number)) = refused(&error.to_string()) else {
                return Trap { fault: Fault::Other(-1), program: run.entry, at: None };
            };
            let at = number.and_then(|number| flow.at_slot(number.checked_sub(before + 1)?));
            Trap { fault: Fault::Memory { access, address }, program: run.entry, at }
        });
        Outcome {
            end,
            registers: None,
            defined: RegSet::of(&[Reg::R0]),
            world: run.world.clone(),
            image: memory.read(run.image),
        }
    }
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::parse_program;
    use kop_ops::{Flow, MapSpec, Object, Program, Slot};
    use kop_semantics::world::Input;
    use kop_semantics::{Run, World, spec};

    use super::*;

    fn object(kind: ProgramKind, text: &str) -> Object {
        let flow = Flow::new(parse_program(text).expect("the text parses")).expect("it is a program");
        let program = Program { name: "main".to_owned(), kind, flow };
        Object { programs: vec![program], ..Object::default() }
    }

    /// Runs a program on rbpf and on `spec`, if rbpf admits it.
    fn both(object: &Object, fuel: u64) -> Result<[Outcome; 2], String> {
        let mut engine = RbpfProgramEngine::new().expect("the slots are free");
        let input = Input { fill: 3, ..Input::default() };
        let (world, image) = World::new(object, 0, Slot::of_batch(12), &input).expect("the input is valid");
        let mut registers = world.registers();
        registers[7] = 77;
        let run = Run { object, entry: 0, world: &world, image: &image, registers: &registers, fuel };
        let job = Job { run, codes: &[] };
        engine.admits(&job)?;
        Ok([engine.run(&job), spec::run(&run)])
    }

    #[test]
    fn it_ends_as_spec_does() {
        for text in [
            "r0 = r2\nr0 += r7\nexit",
            "*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\n*(u8 *)(r1 + 4095) = r0\nexit",
            "r0 = *(u32 *)(r1 + 4)\nif r0 > 5 goto +2\nr0 = 1\nexit\nr0 = 2\nexit",
            "r0 = 0\nr3 = 7 ll\nr0 = *(u64 *)(r1 + 4090)\nexit",
            "r0 = 0\nr3 = 7 ll\nr3 += 1\n*(u16 *)(r10 + 0) = r3\nexit",
            "r0 = *(u8 *)(r1 - 1)\nexit",
        ] {
            let [rbpf, spec] = both(&object(ProgramKind::Raw, text), 100).expect("it is sound");
            assert_eq!(rbpf.end, spec.end, "{text}");
            assert_eq!(rbpf.image.first_difference(&spec.image), None, "{text}");
            assert_eq!(rbpf.world, spec.world, "{text}");
        }
    }

    #[test]
    fn what_it_gets_wrong_is_refused_by_name() {
        let refused =
            |kind, text, fuel| both(&object(kind, text), fuel).map(drop).expect_err("it is refused");
        for (text, rule) in [
            ("r0 = 0\nif r0 == -1 goto +0\nexit", "negative-jump-immediate"),
            ("r0 = 0\ncall 5\nexit", "call"),
            ("r0 = 0\nif r0 == 1 goto -2\nexit", "backward-jump"),
            ("r0 = 0\nr0 s/= 3\nexit", "alu-offset"),
        ] {
            let reason = refused(ProgramKind::Raw, text, 100);
            assert!(reason.starts_with(rule), "{reason}");
        }
        assert!(refused(ProgramKind::Xdp, "r0 = 0\nexit", 100).starts_with("context-or-map"));
        assert!(refused(ProgramKind::Raw, "r0 = 0\nexit", 1).starts_with("fuel"));
        let mut with_map = object(ProgramKind::Raw, "r0 = 0\nexit");
        with_map.maps = vec![MapSpec {
            name: "m".to_owned(),
            kind: kop_ops::MapKind::Array,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: 0,
            initial: Vec::new(),
        }]
        .into();
        assert!(both(&with_map, 100).is_err_and(|reason| reason.starts_with("context-or-map")));
    }
}
