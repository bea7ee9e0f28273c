// SPDX-License-Identifier: GPL-2.0-or-later
//! Our JIT.

use std::sync::LazyLock;

use kop_emulators::engines::host_features;
use kop_jit::Options;
use kop_ops::program::{MapAddresses, SiteTarget};
use kop_ops::{Arch, Catalog, Code, Object, Program};

use super::{Backend, Built, Compiled, Making, timed};
use crate::bench::machine::{Argument, Machine};
use crate::bench::suite::Sample;

/// What it compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What the verifier has accepted, with the proof sequences of Kop sites.
    Plain,
    /// The same with checks.
    Guarded,
    /// With the emits of Kop sites, in general registers.
    Kops,
    /// With the emits of Kop sites, and with SIMD.
    KopsSimd,
}

struct Jit(Form);

/// The operations of sites.
pub static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::einsn);

/// The backend.
pub fn make(_machine: &Machine, form: Form) -> Result<Box<dyn Backend>, String> {
    Ok(Box::new(Jit(form)))
}

/// A program's code.
///
/// # Errors
/// What the JIT says.
pub fn compile(
    program: &Program,
    operations: &[SiteTarget],
    addresses: &MapAddresses,
    form: Form,
) -> Result<Code, String> {
    let options = Options {
        arch: Arch::X86_64,
        features: if form == Form::Kops { host_features().without_simd() } else { host_features() },
        guarded: form == Form::Guarded,
        observe: false,
        catalog: &CATALOG,
        operations,
        emits: matches!(form, Form::Kops | Form::KopsSimd),
        addresses,
    };
    kop_jit::compile(program, &options).map_err(|error| error.to_string())
}

/// How often a program is compiled to know how long it takes.
const TIMES: usize = 15;

impl Backend for Jit {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        built(machine, sample, self.compile(machine, sample)?)
    }

    fn compile(&self, _machine: &Machine, sample: &Sample) -> Result<Compiled, String> {
        compiled(sample, &sample.object, self.0)
    }
}

/// All programs of `object`, which is that of the sample or one in place of it.
///
/// # Errors
/// What the JIT says.
pub fn compiled(sample: &Sample, object: &Object, form: Form) -> Result<Compiled, String> {
    let one = |program: &Program| compile(program, &object.operations, &sample.addresses, form);
    let codes = object.programs.iter().map(one).collect::<Result<_, _>>()?;
    let compile_ns = timed(TIMES, || one(&object.programs[sample.index]));
    Ok(Compiled { codes, making: Making::new(Some(compile_ns)) })
}

/// A program without maps, ready to be called.
///
/// # Errors
/// Why the code finds no place.
pub fn built(machine: &Machine, sample: &Sample, compiled: Compiled) -> Result<Built, String> {
    let Compiled { codes, making } = compiled;
    let code = &codes[sample.index];
    let call = machine.native(&code.bytes, code.entry, Argument::Block)?;
    Ok(Built { call, code_bytes: Some(code.bytes.len()), making })
}
