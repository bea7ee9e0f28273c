// SPDX-License-Identifier: GPL-2.0-or-later
//! The native tier: whole programs by our optimising compiler.

use kop_emulators::engines::host_features;
use kop_jit::Lowered;
use kop_ops::{Arch, Catalog, Code, Object};

use super::{Backend, Built, Compiled, jit, kops, timed};
use crate::bench::machine::{Argument, Machine};
use crate::bench::suite::Sample;
use crate::tier::{self, Choice, Tier};

struct Native;

/// Our JIT with Kops, or the native tier.
struct Auto {
    jit: Box<dyn Backend>,
}

/// The backend that takes the one of both that has less to run.
pub fn auto(machine: &Machine) -> Result<Box<dyn Backend>, String> {
    make(machine)?;
    let jit = match kops::make(jit::Form::Kops, false) {
        Ok(jit) => jit,
        Err(_) => jit::make(machine, jit::Form::Plain)?,
    };
    Ok(Box::new(Auto { jit }))
}

impl Auto {
    fn is_native(&self, machine: &Machine, sample: &Sample) -> bool {
        let Ok(native) = Native.compile(machine, sample) else { return false };
        let Ok(jit) = self.jit.compile(machine, sample) else { return true };
        let programs = self.jit.programs(sample);
        let native = (&*sample.object.programs, &*native.codes);
        Choice::between((&programs, &jit.codes), native).tier == Tier::Native
    }
}

impl Backend for Auto {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        match self.is_native(machine, sample) {
            true => Native.build(machine, sample),
            false => self.jit.build(machine, sample),
        }
    }

    fn compile(&self, machine: &Machine, sample: &Sample) -> Result<Compiled, String> {
        match self.is_native(machine, sample) {
            true => Native.compile(machine, sample),
            false => self.jit.compile(machine, sample),
        }
    }
}

/// How often a program is compiled to know how long it takes.
const TIMES: usize = 5;

/// The backend.
pub fn make(_machine: &Machine) -> Result<Box<dyn Backend>, String> {
    if tier::HAS_NATIVE {
        Ok(Box::new(Native))
    } else {
        Err("this build is without it (cargo feature `native`)".to_owned())
    }
}

fn lowered(object: &Object) -> Result<Lowered, String> {
    kop_jit::lower(object, &Catalog::einsn()).map_err(|error| error.to_string())
}

fn compile(lowered: &Lowered, sample: &Sample, index: usize) -> Result<Code, String> {
    let target = (Arch::X86_64, host_features());
    tier::native_program(lowered, index, target, &sample.addresses, None)
}

impl Backend for Native {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        let lowered = lowered(&sample.object)?;
        let code = compile(&lowered, sample, sample.index)?;
        let call = machine.native(&code.bytes, code.entry, Argument::Block)?;
        let compile_ns = Some(timed(TIMES, || compile(&lowered, sample, sample.index)));
        Ok(Built { call, code_bytes: Some(code.bytes.len()), compile_ns, rewrite_ns: None })
    }

    fn compile(&self, _machine: &Machine, sample: &Sample) -> Result<Compiled, String> {
        let lowered = lowered(&sample.object)?;
        let programs = 0..lowered.object.programs.len();
        let codes = programs.map(|index| compile(&lowered, sample, index)).collect::<Result<_, _>>()?;
        let compile_ns = Some(timed(TIMES, || compile(&lowered, sample, sample.index)));
        Ok(Compiled { codes, compile_ns, rewrite_ns: None })
    }
}
