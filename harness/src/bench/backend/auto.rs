// SPDX-License-Identifier: GPL-2.0-or-later
//! The compiler that a measurement chooses for each program, on inputs that are not those of the benchmark; programs with maps have
//! their traffic alone. The kernel's is one of them, as a program may be left to it.

use kop_emulators::traffic::Programs;

use super::{Backend, Built, Compiled, jit, kernel, kops, whole};
use crate::bench::machine::{Inputs, Machine};
use crate::bench::measure::{Way, interleaved};
use crate::bench::suite::Sample;
use crate::bench::trial::{TRIAL, choice, over_packets, quickest, timed};
use crate::tier::Tier;

/// The compilers, in the order of what is trusted with them: the kernel's where its code can be had, our JIT without Kops, then the rest.
struct Auto(Vec<(&'static str, Box<dyn Backend>)>);

/// The backend.
pub fn make(machine: &Machine) -> Result<Box<dyn Backend>, String> {
    let compilers = [
        ("kernel-image", kernel::image(machine)),
        ("jit", jit::make(machine, jit::Form::Plain)),
        ("kops", kops::make(jit::Form::Kops, false)),
        ("kops-profile", kops::make(jit::Form::Kops, true)),
        ("native-tier", whole::make(Tier::Native)),
        ("llvm-tier", whole::make(Tier::Llvm)),
    ];
    let here = compilers.into_iter().filter_map(|(name, made)| Some((name, made.ok()?)));
    Ok(Box::new(Auto(here.collect())))
}

impl Auto {
    /// The index of our JIT without Kops, whose reason stands for those of all where none makes code of a program.
    fn jit(&self) -> usize {
        self.0.iter().position(|(name, _)| *name == "jit").unwrap_or(0)
    }
}

impl Backend for Auto {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let mut built: Vec<Result<Built, String>> =
            self.0.iter().map(|(_, backend)| backend.build(machine, sample)).collect();
        let times = [Inputs::Training, Inputs::TrainingRotating].map(|inputs| {
            let mut ways: Vec<Way> = built
                .iter()
                .map(|built| timed(machine, &built.as_ref().map_err(Clone::clone)?.call, inputs))
                .collect();
            quickest(interleaved(&mut ways, TRIAL))
        });
        let index = choice(&times).unwrap_or(self.jit());
        let mut built = built.swap_remove(index)?;
        built.making.compiler = Some(self.0[index].0);
        Ok(built)
    }

    fn compile(&self, machine: &Machine, sample: &Sample) -> Result<Compiled, String> {
        let mut compiled: Vec<Result<Compiled, String>> =
            self.0.iter().map(|(_, backend)| backend.compile(machine, sample)).collect();
        let made: Vec<Result<Programs, String>> =
            compiled.iter().map(|made| Ok(made.as_ref().map_err(Clone::clone)?.programs(sample))).collect();
        let index = choice(&[over_packets(sample, &made)?]).unwrap_or(self.jit());
        let mut compiled = compiled.swap_remove(index)?;
        compiled.making.compiler = Some(self.0[index].0);
        Ok(compiled)
    }
}
