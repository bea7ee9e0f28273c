// SPDX-License-Identifier: GPL-2.0-or-later
//! Whole programs: a case with all that a program finds, run on every engine and compared.

mod compare;
mod instructions;
mod minimise;
mod rig;
pub mod text;
mod unshared;
mod witness;

use kop_ops::choices::{Choices, Seeded};
use kop_ops::ebpf::Reg;
use kop_ops::state::{Registers, Slot};
use kop_ops::{Object, ProgramKind};
use kop_semantics::world::{Input, SetupError};
use kop_semantics::{Image, Outcome, Run, World, spec};

pub use compare::Difference;
pub(crate) use compare::Terms;
pub use instructions::{Instructions, sweep};
pub use minimise::{minimise, minimise_until};
pub use rig::{Blame, CaseProblem, Judged, Made, ProgramFinding, ProgramRig};

/// A program with all that it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCase {
    /// The lines of the comment; the first says the root cause.
    pub comment: Vec<String>,
    /// The programs with their maps; the first program is where it starts.
    pub object: Object,
    /// The packet, or the data of a raw program.
    pub packet: Vec<u8>,
    /// The seed for what registers, stack and window hold that a program may not read.
    pub garbage: u64,
    /// How many instructions may run.
    pub fuel: u64,
    /// Whether a verifier would accept the programs: the native tier takes for granted what it shows.
    pub verified: bool,
}

/// Fuel that no generated program uses up.
pub const FUEL: u64 = 1 << 22;

impl ProgramCase {
    /// A case with an empty packet, of programs that no verifier has seen.
    pub fn of(object: Object) -> Self {
        Self { comment: Vec::new(), object, packet: Vec::new(), garbage: 0, fuel: FUEL, verified: false }
    }
}

/// Everything a run starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// What helper functions see.
    pub world: World,
    /// Memory.
    pub image: Image,
    /// r0..r10, garbage where a program finds nothing.
    pub registers: Registers,
}

impl ProgramCase {
    /// What the program finds in `slot`.
    ///
    /// # Errors
    /// [`SetupError`] when maps or packet are such that there is no run.
    pub fn start(&self, slot: Slot) -> Result<Start, SetupError> {
        let input = Input {
            packet: self.packet.clone(),
            fill: self.garbage,
            seed: self.garbage | 1,
            ..Input::default()
        };
        let (world, image) = World::new(&self.object, 0, slot, &input)?;
        let given = world.registers();
        let is_raw = self.object.programs.first().is_some_and(|program| program.kind == ProgramKind::Raw);
        let set: &[Reg] = if is_raw { &[Reg::R1, Reg::R2, Reg::R10] } else { &[Reg::R1, Reg::R10] };
        let mut noise = Seeded::derived(self.garbage, &[0x7265_6773]);
        let mut registers: Registers = std::array::from_fn(|_| noise.bits());
        for register in set {
            registers[register.index()] = given[register.index()];
        }
        Ok(Start { world, image, registers })
    }

    /// What `spec` makes of the case with its sites lowered to `lowered`.
    ///
    /// # Errors
    /// As [`ProgramCase::start`].
    pub fn spec(&self, lowered: &Object) -> Result<Outcome, SetupError> {
        let Start { world, image, registers } = self.start(Slot::default())?;
        let run = Run {
            object: lowered,
            entry: 0,
            world: &world,
            image: &image,
            registers: &registers,
            fuel: self.fuel,
        };
        Ok(spec::run(&run))
    }
}
