// SPDX-License-Identifier: GPL-2.0-or-later
//! Our JIT on programs that were rewritten into Kops.

use kop_ops::program::{SiteTarget, sites};
use kop_ops::{Code, Object, Program};
use kop_reports::{SiteBytes, Trusted};

use super::jit::{self, Form};
use super::{Backend, Built, Compiled, Making, Part};
use crate::bench::machine::Machine;
use crate::bench::suite::Sample;
use crate::bench::trust;

struct Kops {
    form: Form,
    /// Whether branches become selects where a profile says so.
    profiled: bool,
    /// An operation that is not used.
    without: Option<String>,
}

/// The backend.
pub fn make(form: Form, profiled: bool) -> Result<Box<dyn Backend>, String> {
    Ok(Box::new(Kops { form, profiled, without: None }))
}

/// The bytes of native code that emits made at the sites of each operation of a program.
fn site_bytes(object: &Object, program: &Program, code: &Code) -> Vec<SiteBytes> {
    let mut bytes: Vec<SiteBytes> = Vec::new();
    for ((index, _, id), site) in sites(program.flow.insns()).zip(&code.sites) {
        let called = object.operations.iter().find(|target| target.id == id);
        let (Some(SiteTarget { kop, .. }), None) = (called, &site.fallback) else { continue };
        // The sidecar has no code of its own, but what the JIT puts in front of a call may be its.
        let own = (code.bytes_of(index) + code.bytes_of(index + 1)) as u64;
        match bytes.iter_mut().find(|known| known.operation == *kop) {
            Some(known) => known.bytes += own,
            None => bytes.push(SiteBytes { operation: kop.clone(), bytes: own }),
        }
    }
    bytes
}

impl Backend for Kops {
    fn build(&self, machine: &Machine, sample: &Sample) -> Result<Built, String> {
        jit::built(machine, sample, self.compile(machine, sample)?)
    }

    fn compile(&self, _machine: &Machine, sample: &Sample) -> Result<Compiled, String> {
        let made = sample.rewritten(self.without.as_deref(), self.profiled)?;
        let compiled = jit::compiled(sample, &made.rewritten.object, self.form)?;
        let object = &made.rewritten.object;
        let sites = site_bytes(object, &object.programs[sample.index], &compiled.codes[sample.index]);
        let making = Making { rewrite_ns: Some(made.ns), sites, ..compiled.making };
        Ok(Compiled { making, ..compiled })
    }

    fn trusted(&self) -> Vec<Trusted> {
        trust::operations()
    }

    fn programs(&self, sample: &Sample) -> Vec<Program> {
        match sample.rewritten(self.without.as_deref(), self.profiled) {
            Ok(made) => made.rewritten.object.programs.clone(),
            Err(_) => sample.object.programs.clone(),
        }
    }

    /// With SIMD, operations are the same: they are told apart once.
    fn parts(&self, sample: &Sample) -> Vec<Part> {
        if self.form == Form::KopsSimd {
            return Vec::new();
        }
        let Ok(made) = sample.rewritten(None, self.profiled) else { return Vec::new() };
        let mut parts: Vec<Part> = Vec::new();
        for found in &made.rewritten.found {
            let known = parts.iter_mut().find(|part| part.operation == found.kop);
            if let Some(part) = known {
                part.sites += 1;
                part.replaced += found.removed.len();
                continue;
            }
            parts.push(Part {
                operation: found.kop.clone(),
                sites: 1,
                replaced: found.removed.len(),
                without: Box::new(Kops { without: Some(found.kop.clone()), ..*self }),
            });
        }
        parts.sort_by(|one, other| one.operation.cmp(&other.operation));
        parts
    }
}
