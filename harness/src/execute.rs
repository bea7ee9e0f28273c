// SPDX-License-Identifier: GPL-2.0-or-later
//! One run of a program of a file on any engine, and whether two engines agree on it.

use kop_emulators::program::{Job, PROGRAM_ENGINES, ProgramEngine, Runs};
use kop_jit::{LowerError, Lowered, Options};
use kop_ops::ebpf::RegSet;
use kop_ops::program::MapAddresses;
use kop_ops::{Arch, Catalog, Code, Features, Object, Slot};
use kop_semantics::{Image, Input, Outcome, Run, Trap, World};

use crate::bench::Trial;
use crate::program::Terms;
use crate::tier::{self, Choice, Tier, Whole};

/// How programs are run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// The compiler; the native tier makes code without checks alone, so that a choice between both is the JIT where there are to be some.
    pub tier: Tier,
    /// Whether compiled code checks accesses and fuel: for programs that no verifier has accepted.
    pub guarded: bool,
    /// Whether operations' emits are used.
    pub emits: bool,
    /// How many instructions a run may take.
    pub fuel: u64,
}

impl Default for Manner {
    /// Guarded, with emits, and enough fuel for what the kernel's verifier would accept.
    fn default() -> Self {
        Self { tier: Tier::Jit, guarded: true, emits: true, fuel: 100_000_000 }
    }
}

/// An engine, or why it is not here.
pub type Made = Result<Box<dyn ProgramEngine>, String>;

/// Every engine for whole programs whose name `wanted` is true of, in the order of the list.
pub fn engines(wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, Made)> {
    let kinds = PROGRAM_ENGINES.iter().filter(|kind| wanted(kind.name));
    kinds.map(|kind| (kind.name, kind.make())).collect()
}

/// A program of an object, ready for engines.
pub struct Executable<'a> {
    object: &'a Object,
    lowered: Lowered,
    entry: usize,
    manner: Manner,
    catalog: &'a Catalog<'a>,
    codes: Vec<(Arch, Features, Vec<Code>)>,
}

impl<'a> Executable<'a> {
    /// The program `entry` of `object`.
    ///
    /// # Errors
    /// [`LowerError`] for a Kop site that is wrong.
    pub fn new(
        object: &'a Object,
        entry: usize,
        catalog: &'a Catalog<'a>,
        manner: Manner,
    ) -> Result<Self, LowerError> {
        let lowered = kop_jit::lower(object, catalog)?;
        Ok(Self { object, lowered, entry, manner, catalog, codes: Vec::new() })
    }

    /// Runs it on an engine, from this world and memory.
    ///
    /// # Errors
    /// Why the engine cannot run it, in one line.
    pub fn run(
        &mut self,
        engine: &mut dyn ProgramEngine,
        world: &World,
        image: &Image,
    ) -> Result<Outcome, String> {
        let registers = world.registers();
        let Runs::Code(arch) = engine.runs() else {
            let run = self.job(world, image, &registers, true);
            let job = Job { run, codes: &[] };
            engine.admits(&job)?;
            let outcome = engine.run(&job);
            return engine.undone().map_or(Ok(outcome), Err);
        };
        // What most CPUs have, then what all have.
        let mut refused = String::new();
        for features in [Features::all(arch).without_simd(), Features::NONE] {
            self.compile(arch, features, world.addresses())?;
            let found = self.codes.iter().find(|known| (known.0, known.1) == (arch, features));
            let (.., codes) = found.expect("it was compiled");
            let job = Job { run: self.job(world, image, &registers, false), codes };
            match engine.admits(&job) {
                Ok(()) => return Ok(engine.run(&job)),
                Err(reason) => refused = reason,
            }
        }
        Err(refused)
    }

    /// Engines that run eBPF see no Kop sites.
    fn job<'r>(
        &'r self,
        world: &'r World,
        image: &'r Image,
        registers: &'r kop_ops::state::Registers,
        ebpf: bool,
    ) -> Run<'r> {
        let object = if ebpf { &self.lowered.object } else { self.object };
        Run { object, entry: self.entry, world, image, registers, fuel: self.manner.fuel }
    }

    fn compile(&mut self, arch: Arch, features: Features, addresses: &MapAddresses) -> Result<(), String> {
        if self.codes.iter().any(|known| (known.0, known.1) == (arch, features)) {
            return Ok(());
        }
        if self.manner.tier.is_whole() {
            if self.manner.guarded {
                return Err(tier::VERIFIED_ONLY.to_owned());
            }
            let codes = self.whole(self.manner.tier, (arch, features), addresses)?;
            self.codes.push((arch, features, codes));
            return Ok(());
        }
        let codes = match self.manner.tier == Tier::Auto && !self.manner.guarded {
            true => self.choose(arch, features, addresses, None)?.1,
            false => self.plain(arch, features, addresses)?,
        };
        self.codes.push((arch, features, codes));
        Ok(())
    }

    /// Decides now which compiler code for this architecture is from, by what it takes on packets if there are some; `None` where there is
    /// nothing to choose between.
    ///
    /// # Errors
    /// Why there is no code, in one line.
    pub fn choose_on(
        &mut self,
        arch: Arch,
        input: &Input,
        packets: Option<&[Vec<u8>]>,
    ) -> Result<Option<Choice>, String> {
        if self.manner.tier != Tier::Auto || self.manner.guarded {
            return Ok(None);
        }
        let object = &self.lowered.object;
        let trial = packets.map(|packets| Trial { object, index: self.entry, input, packets });
        let features = Features::all(arch).without_simd();
        let addresses =
            MapAddresses::new(&self.object.maps, Slot::default()).map_err(|error| error.to_string())?;
        let (choice, codes) = self.choose(arch, features, &addresses, trial.as_ref())?;
        self.codes.push((arch, features, codes));
        Ok(Some(choice))
    }

    /// The compiler of the program, and what it makes of all programs.
    fn choose(
        &self,
        arch: Arch,
        features: Features,
        addresses: &MapAddresses,
        trial: Option<&Trial>,
    ) -> Result<(Choice, Vec<Code>), String> {
        let jit = self.plain(arch, features, addresses)?;
        let whole = |tier| self.whole(tier, (arch, features), addresses);
        Ok(Choice::of(&self.object.programs, jit, whole, trial))
    }

    /// What a compiler of whole programs makes of them.
    fn whole(
        &self,
        tier: Tier,
        target: (Arch, Features),
        addresses: &MapAddresses,
    ) -> Result<Vec<Code>, String> {
        Whole { tier, target, addresses, planted: None }.all(&self.lowered)
    }

    /// What the JIT makes of the programs.
    fn plain(&self, arch: Arch, features: Features, addresses: &MapAddresses) -> Result<Vec<Code>, String> {
        let options = Options {
            arch,
            features,
            guarded: self.manner.guarded,
            observe: false,
            catalog: self.catalog,
            operations: &self.object.operations,
            emits: self.manner.emits,
            addresses,
        };
        let programs = self.object.programs.iter();
        let codes = programs.map(|program| {
            kop_jit::compile(program, &options)
                .map_err(|error| format!("program `{}`: {error}", program.name))
        });
        codes.collect()
    }

    /// The place of a trap in the programs as they are in the file.
    pub fn place(&self, engine: Runs, trap: &Trap) -> Option<(usize, usize)> {
        let at = trap.at?;
        let index = if engine == Runs::Ebpf { self.lowered.origin(trap.program, at) } else { at };
        Some((trap.program, index))
    }

    /// What differs between the outcome of the reference and that of another engine, in one line.
    pub fn difference(
        &self,
        (reference, first): (Runs, &Outcome),
        (other, second): (&dyn ProgramEngine, &Outcome),
    ) -> Option<String> {
        let terms = Terms {
            precision: other.precision(),
            // Code that is not observed says no more than r0.
            defined: RegSet::EMPTY,
            lowered: &self.lowered,
            is_lowered: [reference, other.runs()].map(|runs| runs == Runs::Ebpf),
            compares_stack: self.manner.tier == Tier::Jit || other.runs() == Runs::Ebpf,
            slot: first.image.slot,
        };
        terms.compare(first, second).map(|difference| difference.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine that never gets to run anything.
    struct Unable;

    impl ProgramEngine for Unable {
        fn name(&self) -> &'static str {
            "unable"
        }

        fn runs(&self) -> Runs {
            Runs::Ebpf
        }

        fn admits(&self, _job: &Job) -> Result<(), String> {
            Ok(())
        }

        fn run(&mut self, job: &Job) -> Outcome {
            let trap = Trap { fault: kop_ops::Fault::Other(22), program: job.run.entry, at: None };
            Outcome {
                end: Err(trap),
                registers: None,
                defined: RegSet::EMPTY,
                world: job.run.world.clone(),
                image: job.run.image.clone(),
            }
        }

        fn undone(&self) -> Option<String> {
            Some("could not run the program: Invalid argument".to_owned())
        }
    }

    #[test]
    fn a_run_that_did_not_come_about_is_no_outcome() {
        let catalog = Catalog::einsn();
        let options = kop_jit::LoadOptions { format: None, kind: None, catalog: Some(&catalog) };
        let object = kop_jit::load(b"r0 = 0\nexit\n", &options).expect("a program");
        let mut executable = Executable::new(&object, 0, &catalog, Manner::default()).expect("sound");
        let (world, image) = World::new(&object, 0, Slot::default(), &Input::default()).expect("a state");
        let said = executable.run(&mut Unable, &world, &image).expect_err("nothing ran");
        assert_eq!(said, "could not run the program: Invalid argument");
    }
}
