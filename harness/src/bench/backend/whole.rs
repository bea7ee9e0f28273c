// SPDX-License-Identifier: GPL-2.0-or-later
//! The native tier: whole programs by our optimising compiler, with either back end.

use kop_emulators::engines::host_features;
use kop_jit::Lowered;
use kop_ops::{Arch, Catalog, Code, Object};
use kop_reports::Trusted;

use super::{Backend, Built, Compiled, Making, timed};
use crate::bench::machine::{Argument, Machine};
use crate::bench::suite::Sample;
use crate::bench::trust;
use crate::tier::{Tier, Whole};

struct Native(Tier);

/// The backend.
pub fn make(tier: Tier) -> Result<Box<dyn Backend>, String> {
    tier.is_here()?;
    Ok(Box::new(Native(tier)))
}

fn lowered(object: &Object) -> Result<Lowered, String> {
    kop_jit::lower(object, &Catalog::einsn()).map_err(|error| error.to_string())
}

impl Native {
    /// How often a program is compiled to know how long it takes: clang takes long.
    const fn times(&self) -> usize {
        if matches!(self.0, Tier::Llvm) { 1 } else { 5 }
    }

    fn compile(&self, lowered: &Lowered, sample: &Sample, index: usize) -> Result<Code, String> {
        let target = (Arch::X86_64, host_features().without_simd());
        let whole = Whole { tier: self.0, target, addresses: &sample.addresses, planted: None };
        whole.program(lowered, index)
    }
}

impl Backend for Native {
    fn trusted(&self) -> Vec<Trusted> {
        trust::tier(self.0)
    }

    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let lowered = lowered(&sample.object)?;
        let mut made = None;
        let compile_ns =
            Some(timed(self.times(), || made = Some(self.compile(&lowered, sample, sample.index))));
        let code = made.expect("it was compiled once")?;
        let call = machine.native(&code.bytes, code.entry, Argument::Block)?;
        Ok(Built { call, code_bytes: Some(code.bytes.len()), making: Making::new(compile_ns) })
    }

    fn compile(&self, _machine: &Machine, sample: &Sample) -> Result<Compiled, String> {
        let lowered = lowered(&sample.object)?;
        let programs = 0..lowered.object.programs.len();
        let codes = programs.map(|index| self.compile(&lowered, sample, index)).collect::<Result<_, _>>()?;
        let compile_ns = Some(timed(self.times(), || self.compile(&lowered, sample, sample.index)));
        Ok(Compiled { codes, making: Making::new(compile_ns) })
    }
}
