// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole programs on the interpreter of the `semantics` crate.

use kop_semantics::{Outcome, spec};

use super::{NAME, SpecEngine};
use crate::program::{Job, ProgramEngine, Runs};

impl ProgramEngine for SpecEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn runs(&self) -> Runs {
        Runs::Ebpf
    }

    fn admits(&self, job: &Job) -> Result<(), String> {
        spec::check(job.run.object).map_err(|unsupported| unsupported.to_string())
    }

    fn run(&mut self, job: &Job) -> Outcome {
        spec::run(&job.run)
    }
}

#[cfg(test)]
mod tests {
    use kop_ops::ebpf::{Insn, Reg};
    use kop_ops::{Flow, Object, Program, ProgramKind, Slot};
    use kop_semantics::{Image, Run, World};

    use super::*;

    fn object(insns: Vec<Insn>) -> Object {
        let flow = Flow::new(insns).expect("its control flow is sound");
        let program = Program { name: "main".to_owned(), kind: ProgramKind::Raw, flow };
        Object { programs: vec![program], ..Object::default() }
    }

    #[test]
    fn it_runs_programs_and_says_what_it_cannot_run() {
        let image = Image::zeroed(Slot::default(), 0, 0);
        let (world, registers) = (World::default(), [0; 11]);
        let returns = object(vec![Insn::mov64(Reg::R0, 7), Insn::Exit]);
        let site = object([&Insn::kop_site(1, 7, 0)[..], &[Insn::Exit]].concat());
        let job = |object| {
            let run = Run { object, entry: 0, world: &world, image: &image, registers: &registers, fuel: 9 };
            Job { run, codes: &[] }
        };
        assert_eq!(SpecEngine.admits(&job(&returns)), Ok(()));
        assert_eq!(SpecEngine.run(&job(&returns)).end, Ok(7));
        let reason = SpecEngine.admits(&job(&site)).expect_err("a site is not lowered");
        assert!(reason.contains("instruction 0") && reason.contains("proof sequence"), "{reason}");
    }
}
