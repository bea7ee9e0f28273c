// SPDX-License-Identifier: GPL-2.0-or-later
//! The wrapper that makes a sound operation wrong in one way.

use std::sync::atomic::{AtomicU64, Ordering};

use kop_ops::ebpf::Insn;
use kop_ops::kop::{Emission, EmitRequest, KnownAnswer, KnownStore, Limits, Pass};
use kop_ops::{Arch, Contract, Fault, Features, Form, Kop, Reject, Site, State, aarch64, x86_64};
use kop_reports::Kind;

use super::Planted;

/// A change to a sequence of instructions.
pub(super) type Patch<I> = fn(&Site, &mut Vec<I>);

/// What is wrong.
#[derive(Clone, Copy)]
pub(super) enum Mistake {
    /// The x86-64 instructions.
    X86_64(Patch<x86_64::Insn>),
    /// The AArch64 instructions.
    Aarch64(Patch<aarch64::Insn>),
    /// What the emit for the row's architecture answers.
    Emission(fn(&Call, &mut Emission)),
    /// The emit for the row's architecture sees another payload, and does not ask whether the operands go together.
    EmitReads(fn(&Form, u64) -> u64),
    /// The emit for the row's architecture refuses these operands.
    EmitRefuses(fn(&Site) -> bool),
    /// The proof sequence.
    Proof(Patch<Insn>),
    /// The proof sees another payload, and does not ask whether the operands go together.
    ProofReads(fn(&Form, u64) -> u64),
    /// The proof refuses these operands.
    ProofRefuses(fn(&Site) -> bool),
    /// What the model leaves, given the state before and after.
    Model(fn(&Site, &State, &mut State)),
    /// What the site contract says.
    Contract(fn(&Site, &mut Contract)),
}

/// One call of an emit.
pub(super) struct Call<'a> {
    /// The site.
    pub site: Site<'a>,
    /// What was asked for.
    pub request: EmitRequest,
    /// Whether the last call was for the same payload.
    pub again: bool,
    /// The declared limit of bytes.
    pub limit: usize,
}

/// How much longer an emit or a proof may be before its length becomes a fault of its own.
const SLACK: u16 = 64;

/// A sound operation with one mistake.
pub(super) struct Faulty {
    inner: &'static dyn Kop,
    planted: Planted,
    last: AtomicU64,
}

impl Faulty {
    pub(super) fn new(inner: &'static dyn Kop, planted: Planted) -> Self {
        Self { inner, planted, last: AtomicU64::new(u64::MAX) }
    }

    /// The mistake, if it is in this form.
    fn mistake(&self, form: &Form) -> Option<Mistake> {
        (form.name == self.planted.form).then_some(self.planted.mistake)
    }

    /// The bytes of the patched instructions.
    fn assemble(&self, site: &Site, arch: Arch) -> Result<Vec<u8>, Reject> {
        let encode = |error: &dyn std::error::Error| Reject::Encode(error.to_string());
        match arch {
            Arch::X86_64 => {
                let mut asm = x86_64::Assembler::new();
                self.x86_64(site, &mut asm)?;
                Ok(asm.finish().map_err(|error| encode(&error))?.bytes)
            }
            Arch::Aarch64 => {
                let mut asm = aarch64::Assembler::new();
                self.aarch64(site, &mut asm)?;
                Ok(asm.finish().map_err(|error| encode(&error))?.bytes)
            }
        }
    }
}

impl Kop for Faulty {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn summary(&self) -> &str {
        self.inner.summary()
    }

    fn unseen_purpose(&self) -> Option<&str> {
        self.inner.unseen_purpose()
    }

    fn source(&self) -> &str {
        self.inner.source()
    }

    fn forms(&self) -> &[Form] {
        self.inner.forms()
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        self.inner.admits(site)
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        let Some(Mistake::Model(change)) = self.mistake(site.form) else {
            return self.inner.model(site, state);
        };
        let before = state.clone();
        let result = self.inner.model(site, state);
        if result == Some(Ok(())) {
            change(site, &before, state);
        }
        result
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let mut proof = self.inner.proof(site)?;
        if let Some(Mistake::Proof(patch)) = self.mistake(site.form) {
            patch(site, &mut proof);
        }
        Ok(proof)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86_64::Assembler) -> Result<(), Reject> {
        let Some(Mistake::X86_64(patch)) = self.mistake(site.form) else {
            return self.inner.x86_64(site, asm);
        };
        let mut sound = x86_64::Assembler::new();
        self.inner.x86_64(site, &mut sound)?;
        // Branches of the sound code, if it had any, would be resolved: a patch sees plain instructions.
        let sound = sound.finish().map_err(|error| Reject::Encode(error.to_string()))?;
        let mut insns = sound.insns.into_iter().map(|(_, insn)| insn).collect();
        patch(site, &mut insns);
        insns.into_iter().for_each(|insn| asm.push(insn));
        Ok(())
    }

    fn aarch64(&self, site: &Site, asm: &mut aarch64::Assembler) -> Result<(), Reject> {
        let Some(Mistake::Aarch64(patch)) = self.mistake(site.form) else {
            return self.inner.aarch64(site, asm);
        };
        let mut sound = aarch64::Assembler::new();
        self.inner.aarch64(site, &mut sound)?;
        let sound = sound.finish().map_err(|error| Reject::Encode(error.to_string()))?;
        let mut insns = sound.insns.into_iter().map(|(_, insn)| insn).collect();
        patch(site, &mut insns);
        insns.into_iter().for_each(|insn| asm.push(insn));
        Ok(())
    }

    fn contract(&self, site: &Site) -> Contract {
        let mut contract = self.inner.contract(site);
        if let Some(Mistake::Contract(change)) = self.mistake(site.form) {
            change(site, &mut contract);
        }
        contract
    }

    fn features(&self, arch: Arch) -> Features {
        self.inner.features(arch)
    }

    /// A patch may make the code longer; that is not what is wrong with it.
    fn limits(&self, form: &Form) -> Limits {
        let limits = self.inner.limits(form);
        match self.mistake(form) {
            Some(Mistake::X86_64(_) | Mistake::Aarch64(_)) => {
                Limits { max_emit_bytes: limits.max_emit_bytes + SLACK, ..limits }
            }
            Some(Mistake::Proof(_)) if self.planted.kind != Kind::Shape => {
                Limits { max_insn_cnt: limits.max_insn_cnt + SLACK, ..limits }
            }
            _ => limits,
        }
    }

    fn interesting_values(&self, form: &Form) -> &[u64] {
        self.inner.interesting_values(form)
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        self.inner.known_answers()
    }

    fn known_stores(&self) -> Vec<KnownStore> {
        self.inner.known_stores()
    }

    fn instantiate(&self, form: &Form, payload: u64) -> Result<Vec<Insn>, Reject> {
        let mistake = self.mistake(form);
        if let Some(Mistake::ProofReads(read)) = mistake {
            return self.proof(&Site::decode(form, read(form, payload), Features::NONE)?);
        }
        let site = Site::decode(form, payload, Features::NONE)?;
        self.admits(&site)?;
        match mistake {
            Some(Mistake::ProofRefuses(refuses)) if refuses(&site) => Err(Reject::operands("not supported")),
            _ => self.proof(&site),
        }
    }

    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        let mistake = self.mistake(form).filter(|_| request.arch == self.planted.arch);
        let site = match mistake {
            Some(Mistake::EmitReads(read)) => {
                Site::decode(form, read(form, request.payload), request.features)?
            }
            _ => {
                let site = Site::decode(form, request.payload, request.features)?;
                self.admits(&site)?;
                site
            }
        };
        if matches!(mistake, Some(Mistake::EmitRefuses(refuses)) if refuses(&site)) {
            return Err(Reject::operands("not supported"));
        }
        let mut bytes = self.assemble(&site, request.arch)?;
        let size = bytes.len();
        if request.pass == Pass::Size {
            bytes.clear();
        }
        let mut emission = Emission { size, bytes };
        if let Some(Mistake::Emission(change)) = mistake {
            let again = self.last.swap(request.payload, Ordering::Relaxed) == request.payload;
            let limit = usize::from(self.limits(form).max_emit_bytes);
            change(&Call { site, request: *request, again, limit }, &mut emission);
        }
        Ok(emission)
    }
}
