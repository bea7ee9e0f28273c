// SPDX-License-Identifier: GPL-2.0-or-later
//! [`TextKop`]: an operation of a file, as the harness sees it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::{
    Access, Arch, Contract, Emission, EmitRequest, Fault, Features, Form, Kop, Limits, MemoryUse, Operands,
    Pass, Reject, Site, State,
};

use super::document::SourceFile;
use super::form::{FormText, Problem};

/// The most codes that are kept; what is assembled once is asked for many times.
const KEPT: usize = 1 << 16;

/// What a code depends on: form, architecture, template, operands.
type Key = (usize, Arch, usize, Operands);

/// An operation that a file describes.
#[derive(Debug)]
pub struct TextKop {
    pub(super) source: SourceFile,
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) arguments: Vec<String>,
    /// The forms as they are handed out, in the order of `texts`.
    pub(super) forms: Vec<Form>,
    pub(super) texts: Vec<FormText>,
    pub(super) declared: Vec<String>,
    /// By form.
    pub(super) remarks: Vec<Vec<String>>,
    pub(super) codes: Mutex<HashMap<Key, Result<Vec<u8>, Problem>>>,
}

impl TextKop {
    fn index(&self, form: &Form) -> usize {
        self.forms.iter().position(|own| own.name == form.name).expect("a form of this operation")
    }

    fn text(&self, form: &Form) -> &FormText {
        &self.texts[self.index(form)]
    }

    /// A problem with its place, in one line.
    pub(super) fn locate(&self, problem: &Problem) -> String {
        match problem {
            Problem::Features => "no form for this CPU".to_owned(),
            Problem::Uncovered(at, what) | Problem::At(at, what) => self.source.error(*at, what).to_string(),
        }
    }

    /// The native code, assembled once for each payload.
    fn code(&self, index: usize, site: &Site, arch: Arch) -> Result<Vec<u8>, Reject> {
        let text = &self.texts[index];
        let values = site.operands.values();
        let refused = |problem: &Problem| match problem {
            Problem::Features => Reject::NoEmit { arch, features: site.features },
            Problem::Uncovered(..) => Reject::Operands(Cow::Owned(self.locate(problem))),
            Problem::At(..) => Reject::Encode(self.locate(problem)),
        };
        let choice = text.choose(arch, site.features, values).map_err(|problem| refused(&problem))?;
        let key = (index, arch, choice, site.operands);
        let kept = |codes: &HashMap<Key, _>| codes.get(&key).cloned();
        let lock = || self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept(&lock());
        let code = known.unwrap_or_else(|| {
            let code = text.code(arch, choice, values);
            let mut codes = lock();
            if codes.len() >= KEPT {
                codes.clear();
            }
            codes.insert(key, code.clone());
            code
        });
        code.map_err(|problem| refused(&problem))
    }
}

impl Kop for TextKop {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        &self.summary
    }

    fn source(&self) -> &str {
        &self.source.path
    }

    fn forms(&self) -> &[Form] {
        &self.forms
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        match self.text(site.form).broken_rule(site.operands.values()) {
            None => Ok(()),
            Some(reason) => Err(Reject::Operands(Cow::Owned(reason))),
        }
    }

    fn model(&self, _site: &Site, _state: &mut State) -> Option<Result<(), Fault>> {
        None
    }

    fn proof(&self, site: &Site) -> Result<Vec<Insn>, Reject> {
        let proof = self.text(site.form).proof(site.operands.values());
        proof.map_err(|problem| Reject::Operands(Cow::Owned(self.locate(&problem))))
    }

    fn contract(&self, site: &Site) -> Contract {
        let text = self.text(site.form);
        let dead = site.form.layout.temporaries(&site.operands).union(text.dead(site.operands.values()));
        let memory =
            text.proof(site.operands.values()).map_or_else(|_| Vec::new(), |proof| memory_uses(&proof));
        Contract { dead, memory, vectors: text.vectors }
    }

    fn archs(&self, form: &Form) -> &[Arch] {
        &self.text(form).archs
    }

    fn arguments(&self) -> &[String] {
        &self.arguments
    }

    fn declared_contract(&self) -> &[String] {
        &self.declared
    }

    fn remarks(&self, form: &Form) -> Vec<String> {
        self.remarks[self.index(form)].clone()
    }

    fn features(&self, arch: Arch) -> Features {
        self.texts.iter().fold(Features::NONE, |all, text| all.union(text.features(arch)))
    }

    fn limits(&self, form: &Form) -> Limits {
        self.text(form).limits
    }

    fn interesting_values(&self, form: &Form) -> &[u64] {
        &self.text(form).interesting
    }

    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        let site = Site::decode(form, request.payload, request.features)?;
        self.admits(&site)?;
        let index = self.index(form);
        if !self.texts[index].archs.contains(&request.arch) {
            return Err(Reject::NoEmit { arch: request.arch, features: request.features });
        }
        let mut bytes = self.code(index, &site, request.arch)?;
        let size = bytes.len();
        if request.pass == Pass::Size {
            bytes.clear();
        }
        Ok(Emission { size, bytes })
    }
}

/// The accesses of a proof whose base register still holds what it held at the start.
fn memory_uses(proof: &[Insn]) -> Vec<MemoryUse> {
    let mut written = RegSet::EMPTY;
    let mut uses = Vec::new();
    for insn in proof {
        let found: Option<(Access, Reg, i16, u32)> = match *insn {
            Insn::Load { size, base, off, .. } => Some((Access::Read, base, off, size.bytes() as u32)),
            Insn::Store { size, base, off, .. } | Insn::Atomic { size, base, off, .. } => {
                Some((Access::Write, base, off, size.bytes() as u32))
            }
            _ => None,
        };
        if let Some((access, base, offset, size)) = found.filter(|(_, base, ..)| !written.has(*base)) {
            uses.push(MemoryUse { access, base, offset: offset.into(), size });
        }
        written = written.union(insn.writes());
    }
    uses
}
