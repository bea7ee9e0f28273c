// SPDX-License-Identifier: GPL-2.0-or-later
//! A Kop site: the operation it calls, its proof sequence, and its native code.

use kop_ops::ebpf::{Insn, Reg, RegSet, shape};
use kop_ops::program::SiteTarget;
use kop_ops::{Catalog, EmitRequest, Features, Form, Kop, Pass, Reject, Site};

use crate::Options;
use crate::error::SiteError;

/// The operation and form that a site calls, with its payload.
#[derive(Clone, Copy)]
pub(crate) struct Called<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    payload: u64,
}

/// The native code of a site.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The registers that it may read.
    pub reads: RegSet,
    /// The registers that it may write.
    pub writes: RegSet,
}

impl<'a> Called<'a> {
    /// What the site with `payload` and the BTF id `id` calls.
    pub fn find(
        catalog: &Catalog<'a>,
        operations: &[SiteTarget],
        payload: u64,
        id: i32,
    ) -> Result<Self, SiteError> {
        let target = operations.iter().find(|target| target.id == id).ok_or(SiteError::UnknownId(id))?;
        let kop = catalog.get(&target.kop)?;
        let form = kop.forms().iter().find(|form| form.name == target.form);
        let form = form
            .ok_or_else(|| SiteError::UnknownForm { kop: target.kop.clone(), form: target.form.clone() })?;
        Ok(Self { kop, form, payload })
    }

    fn name(&self) -> String {
        self.kop.name().to_owned()
    }

    fn rejected(&self, reject: &Reject) -> SiteError {
        SiteError::Rejected { kop: self.name(), payload: self.payload, reason: reject.to_string() }
    }

    /// The registers that hold garbage afterwards; nothing when the payload is none.
    pub fn dead(&self) -> Option<RegSet> {
        let site = Site::decode(self.form, self.payload, Features::NONE).ok()?;
        Some(self.kop.contract(&site).dead)
    }

    /// The proof sequence, of the shape that the kernel demands.
    pub fn proof(&self) -> Result<Vec<Insn>, SiteError> {
        let proof = self.kop.instantiate(self.form, self.payload).map_err(|reject| self.rejected(&reject))?;
        let limit = self.kop.limits(self.form).max_insn_cnt;
        shape::check(&proof, limit.into()).map_err(|source| SiteError::Shape { kop: self.name(), source })?;
        match proof.iter().find(|insn| !insn.is_well_formed() || insn.writes().has(Reg::R10)) {
            Some(insn) => Err(SiteError::IllFormed { kop: self.name(), insn: Box::new(*insn) }),
            None => Ok(proof),
        }
    }

    /// The native code, or in one line why there is none and `proof` has to be compiled.
    pub fn native(&self, proof: &[Insn], options: &Options) -> Result<Result<Native, String>, SiteError> {
        if !options.emits {
            return Ok(Err("emits are turned off".to_owned()));
        }
        let site = Site::decode(self.form, self.payload, options.features);
        let site = site.map_err(|reject| self.rejected(&reject))?;
        let touches_memory =
            !self.kop.contract(&site).memory.is_empty() || proof.iter().any(|insn| insn.access().is_some());
        if options.guarded && touches_memory {
            return Ok(Err("its memory accesses cannot be checked".to_owned()));
        }
        let request = |pass| EmitRequest {
            arch: options.arch,
            features: options.features,
            payload: self.payload,
            pass,
            address: 0,
        };
        let size = match self.kop.emit(self.form, &request(Pass::Size)) {
            Ok(emission) => emission.size,
            Err(reject @ Reject::NoEmit { .. }) => return Ok(Err(reject.to_string())),
            Err(reject) => return Err(self.rejected(&reject)),
        };
        let written = self.kop.emit(self.form, &request(Pass::Write));
        let bytes = written.map_err(|reject| self.rejected(&reject))?.bytes;
        let limit = usize::from(self.kop.limits(self.form).max_emit_bytes);
        if bytes.len() != size || size > limit {
            return Err(SiteError::Size { kop: self.name(), said: size, written: bytes.len(), limit });
        }
        let operands = self.form.layout.registers(&site.operands);
        let writes = proof.iter().map(Insn::writes).fold(operands, RegSet::union);
        Ok(Ok(Native { bytes, reads: taken_by(proof), writes }))
    }
}

/// The registers whose values before a proof sequence may matter to it, and so to its native form.
fn taken_by(proof: &[Insn]) -> RegSet {
    let (mut taken, mut written, mut always_runs) = (RegSet::EMPTY, RegSet::EMPTY, true);
    for insn in proof {
        taken = taken.union(insn.reads().minus(written));
        always_runs &= insn.branch_offset().is_none();
        if always_runs {
            written = written.union(insn.writes());
        }
    }
    // What a jump may go around is written only sometimes: its old value may be what stays.
    let sometimes = proof.iter().map(Insn::writes).fold(RegSet::EMPTY, RegSet::union).minus(written);
    taken.union(sometimes)
}
