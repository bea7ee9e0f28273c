// SPDX-License-Identifier: GPL-2.0-or-later
//! The compiler that a measurement chooses for each program, on inputs that are not those of the benchmark; programs with maps have
//! their traffic alone. The kernel's is one of them, as a program may be left to it.

use std::time::Duration;

use kop_ops::state::Slot;
use kop_semantics::World;

use super::{Backend, Built, Compiled, jit, kernel, kops, whole};
use crate::bench::machine::{Inputs, Machine};
use crate::bench::measure::{Rounds, Times, Way, interleaved};
use crate::bench::suite::Sample;
use crate::bench::traffic;
use crate::tier::Tier;

/// Long enough for a choice: a tenth of a second for each kind of input.
const TRIAL: Rounds = Rounds { rounds: 5, samples: 4, sample: Duration::from_micros(500) };

/// How much quicker a compiler has to be than those before it, of which each is trusted with less.
const WORTH: f64 = 1.02;

/// How much slower than the first of them a compiler may be on the same input and on those that rotate.
const SLOWEST: f64 = 0.97;

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

/// The quickest of the rounds of each way; `None` for one that failed.
fn quickest(times: Vec<Times>) -> Vec<Option<f64>> {
    let least = |times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min);
    times.into_iter().map(|times| times.ok().map(least)).collect()
}

/// The index of the compiler to take, if any made code of the program; `times` has one list for each kind of input, of times by compiler. The first that made code of the
/// program is what others are compared with.
fn choice(times: &[Vec<Option<f64>>]) -> Option<usize> {
    let compilers = times.first().map_or(0, Vec::len);
    let made = |index: &usize| times.iter().all(|times| times.get(*index).is_some_and(Option::is_some));
    let base = (0..compilers).find(made)?;
    let speeds = |index: usize| -> Option<Vec<f64>> {
        times.iter().map(|times| Some(times.get(base).copied()?? / times.get(index).copied()??)).collect()
    };
    let mut best = (base, 1.0);
    for index in base + 1..compilers {
        let Some(speeds) = speeds(index) else { continue };
        let mean = speeds.iter().map(|speed| speed.ln()).sum::<f64>() / speeds.len() as f64;
        if speeds.iter().all(|speed| *speed >= SLOWEST) && mean.exp() >= WORTH * best.1 {
            best = (index, mean.exp());
        }
    }
    Some(best.0)
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
                .map(|built| match built {
                    Ok(built) => {
                        Ok(Box::new(move |times| built.call.time(machine, &[], inputs, times)) as Box<_>)
                    }
                    Err(reason) => Err(reason.clone()),
                })
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
        let (world, image) = World::new(&sample.object, sample.index, Slot::default(), &sample.input)
            .map_err(|error| error.to_string())?;
        let (world, image) = (&world, &image);
        let mut ways: Vec<Way> = compiled
            .iter()
            .map(|compiled| match compiled {
                Ok(compiled) => Ok(Box::new(move |passes| {
                    Ok(traffic::run(sample, world, image, &compiled.codes, sample.index, passes)?.0)
                }) as Box<_>),
                Err(reason) => Err(reason.clone()),
            })
            .collect();
        let times = quickest(interleaved(&mut ways, traffic::for_children(TRIAL)));
        drop(ways);
        let index = choice(&[times]).unwrap_or(self.jit());
        let mut compiled = compiled.swap_remove(index)?;
        compiled.making.compiler = Some(self.0[index].0);
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times<const N: usize>(times: [f64; N]) -> Vec<Option<f64>> {
        times.map(Some).into()
    }

    #[test]
    fn the_quickest_is_taken_if_it_is_worth_it() {
        assert_eq!(choice(&[times([10.0, 9.0, 5.0]), times([10.0, 9.0, 6.0])]), Some(2));
        assert_eq!(choice(&[times([10.0, 5.05, 5.0])]), Some(1), "one per cent is not worth it");
        assert_eq!(
            choice(&[times([10.0, 5.0, 20.0]), times([10.0, 9.0, 0.1])]),
            Some(1),
            "slower on one kind of input"
        );
        assert_eq!(choice(&[times([10.0, 10.1])]), Some(0));
        assert_eq!(choice(&[vec![Some(10.0), None, Some(5.0)]]), Some(2));
        assert_eq!(choice(&[vec![None, Some(10.0), Some(9.9), Some(8.0)]]), Some(3));
        assert_eq!(
            choice(&[vec![None, Some(10.0), Some(9.9), Some(11.0)]]),
            Some(1),
            "as there is no first, the second"
        );
        assert_eq!(choice(&[vec![None, None]]), None);
        assert_eq!(choice(&[]), None);
    }
}
