// SPDX-License-Identifier: GPL-2.0-or-later
//! An operation with one change, made in the code of every payload whose code has the shape that the change is for.

use std::sync::Arc;

use kop_ops::ebpf::{self, Reg};
use kop_ops::kop::{CallbackFault, Emission, EmitRequest, KnownAnswer, KnownStore, Limits, Pass};
use kop_ops::{Arch, Contract, Fault, Features, Form, Kop, Reject, Site, State};
use kop_ops::{aarch64 as arm, registers, x86_64 as x86};
use kop_reports::MutatedSide;

use super::edit::{Edit, Instruction, Roles, edited};
use super::{aarch64, ebpf as bpf, x86_64};

/// How much longer an emit or a proof may be before its length becomes a fault of its own.
const SLACK: u16 = 64;

/// SIMD registers that no emit that saves its own would choose: the last ones.
const VECTOR_X86_64: u8 = 15;
const VECTOR_AARCH64: u8 = 31;

/// A change, and the code that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The shapes of all instructions.
    pub shape: Arc<[u64]>,
    /// What is changed.
    pub edit: Edit,
}

/// What is broken of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The architecture of the emit, or of the row that a proof is checked in.
    pub arch: Arch,
    /// The emit or the proof.
    pub side: MutatedSide,
}

/// The shapes of all instructions of some code.
pub(super) fn shape<I: Instruction>(code: &[I]) -> Arc<[u64]> {
    code.iter().map(Instruction::shape).collect()
}

/// The code with a change; `None` where it has another shape, where the change cannot be made, and where it does nothing.
fn changed<I: Instruction>(code: &I::Code, change: &Change, roles: &Roles) -> Option<I::Code> {
    let insns = I::decode(code)?;
    let has_shape = insns.len() == change.shape.len()
        && insns.iter().zip(&*change.shape).all(|(insn, shape)| insn.shape() == *shape);
    if has_shape { edited(code, &insns, change.edit, roles) } else { None }
}

impl Place<'_> {
    /// The registers that are put in the place of others for a payload.
    pub(super) fn roles(&self, payload: u64) -> Roles {
        let layout = &self.form.layout;
        let operands = layout.decode(payload).unwrap_or_default();
        let named = layout.registers(&operands);
        let outsider = Reg::WRITABLE.into_iter().find(|reg| !named.has(*reg)).unwrap_or(Reg::R9);
        let fields = layout.fields().iter().zip(operands.values());
        let operands = fields.map(|(field, &value)| {
            let reg = Reg::new(value as u8).filter(|_| field.is_register())?;
            Some(self.number(reg))
        });
        let (scratch, vector) = match (self.side, self.arch) {
            (MutatedSide::Proof, _) => (None, 0),
            (_, Arch::X86_64) => (Some(x86::Gpr::R11.code()), VECTOR_X86_64),
            (_, Arch::Aarch64) => (Some(arm::Gpr::X13.number() as u8), VECTOR_AARCH64),
        };
        Roles { operands: operands.collect(), scratch, outsider: self.number(outsider), vector }
    }

    /// The number that a register has in the code that is broken.
    fn number(&self, reg: Reg) -> u8 {
        match (self.side, self.arch) {
            (MutatedSide::Proof, _) => reg.index() as u8,
            (_, Arch::X86_64) => registers::x86_64(reg).code(),
            (_, Arch::Aarch64) => registers::aarch64(reg).number() as u8,
        }
    }

    /// The emit for a payload as it is.
    pub(super) fn code(&self, payload: u64, features: Features) -> Option<Vec<u8>> {
        let request = EmitRequest { arch: self.arch, features, payload, pass: Pass::Write, address: 0 };
        self.kop.emit(self.form, &request).ok().map(|emission| emission.bytes)
    }

    /// The proof for a payload as it is.
    pub(super) fn proof(&self, payload: u64) -> Option<Vec<ebpf::Insn>> {
        self.kop.instantiate(self.form, payload).ok()
    }
}

/// The operation with the change.
pub(super) struct Broken<'a> {
    place: Place<'a>,
    change: &'a Change,
}

impl<'a> Broken<'a> {
    pub(super) fn new(place: Place<'a>, change: &'a Change) -> Self {
        Self { place, change }
    }

    fn inner(&self) -> &'a dyn Kop {
        self.place.kop
    }

    fn is_broken(&self, form: &Form, side: MutatedSide) -> bool {
        self.place.side == side && form.name == self.place.form.name
    }

    fn changed_emit(&self, payload: u64, bytes: &Vec<u8>) -> Option<Vec<u8>> {
        let roles = self.place.roles(payload);
        match self.place.arch {
            Arch::X86_64 => changed::<x86_64::Insn>(bytes, self.change, &roles),
            Arch::Aarch64 => changed::<aarch64::Insn>(bytes, self.change, &roles),
        }
    }

    fn changed_proof(&self, payload: u64, proof: &Vec<ebpf::Insn>) -> Option<Vec<ebpf::Insn>> {
        changed::<bpf::Insn>(proof, self.change, &self.place.roles(payload))
    }

    /// Whether the change does anything for a payload on a CPU with one of these sets of features.
    pub(super) fn differs(&self, payload: u64, features: &[Features]) -> bool {
        match self.place.side {
            MutatedSide::Proof => {
                self.place.proof(payload).is_some_and(|proof| self.changed_proof(payload, &proof).is_some())
            }
            MutatedSide::Emit => features.iter().any(|&features| {
                let code = self.place.code(payload, features);
                code.is_some_and(|code| self.changed_emit(payload, &code).is_some())
            }),
        }
    }
}

impl Kop for Broken<'_> {
    fn name(&self) -> &str {
        self.inner().name()
    }

    fn summary(&self) -> &str {
        self.inner().summary()
    }

    fn unseen_purpose(&self) -> Option<&str> {
        self.inner().unseen_purpose()
    }

    fn source(&self) -> &str {
        self.inner().source()
    }

    fn forms(&self) -> &[Form] {
        self.inner().forms()
    }

    fn admits(&self, site: &Site) -> Result<(), Reject> {
        self.inner().admits(site)
    }

    fn admitted(&self, form: &Form, payloads: &[u64]) -> Vec<bool> {
        self.inner().admitted(form, payloads)
    }

    fn model(&self, site: &Site, state: &mut State) -> Option<Result<(), Fault>> {
        self.inner().model(site, state)
    }

    fn proof(&self, site: &Site) -> Result<Vec<ebpf::Insn>, Reject> {
        let payload = site.form.layout.pack(&site.operands);
        self.instantiate(site.form, payload)
    }

    fn x86_64(&self, site: &Site, asm: &mut x86::Assembler) -> Result<(), Reject> {
        self.inner().x86_64(site, asm)
    }

    fn aarch64(&self, site: &Site, asm: &mut arm::Assembler) -> Result<(), Reject> {
        self.inner().aarch64(site, asm)
    }

    fn contract(&self, site: &Site) -> Contract {
        self.inner().contract(site)
    }

    fn archs(&self, form: &Form) -> &[Arch] {
        self.inner().archs(form)
    }

    fn callback_faults(&self, form: &Form, payload: u64) -> Vec<CallbackFault> {
        self.inner().callback_faults(form, payload)
    }

    fn expect(&self, payloads: &[u64], features: &[Features]) {
        self.inner().expect(payloads, features);
    }

    fn noted_payloads(&self, form: &Form) -> Vec<u64> {
        self.inner().noted_payloads(form)
    }

    fn arguments(&self) -> &[String] {
        self.inner().arguments()
    }

    fn declared_contract(&self) -> &[String] {
        self.inner().declared_contract()
    }

    fn remarks(&self, form: &Form) -> Vec<String> {
        self.inner().remarks(form)
    }

    fn features(&self, arch: Arch) -> Features {
        self.inner().features(arch)
    }

    /// A change may make code longer; that is not what is wrong with it.
    fn limits(&self, form: &Form) -> Limits {
        let limits = self.inner().limits(form);
        Limits {
            max_insn_cnt: limits.max_insn_cnt.saturating_add(SLACK),
            max_emit_bytes: limits.max_emit_bytes.saturating_add(SLACK),
        }
    }

    fn interesting_values(&self, form: &Form) -> &[u64] {
        self.inner().interesting_values(form)
    }

    fn known_answers(&self) -> Vec<KnownAnswer> {
        self.inner().known_answers()
    }

    fn known_stores(&self) -> Vec<KnownStore> {
        self.inner().known_stores()
    }

    fn instantiate(&self, form: &Form, payload: u64) -> Result<Vec<ebpf::Insn>, Reject> {
        let proof = self.inner().instantiate(form, payload)?;
        let changed =
            if self.is_broken(form, MutatedSide::Proof) { self.changed_proof(payload, &proof) } else { None };
        Ok(changed.unwrap_or(proof))
    }

    fn own_proof(&self, arch: Arch, form: &Form, payload: u64) -> Option<Result<Vec<ebpf::Insn>, Reject>> {
        let own = self.inner().own_proof(arch, form, payload)?;
        Some(own.map(|proof| {
            let is_broken = self.is_broken(form, MutatedSide::Proof);
            let changed = if is_broken { self.changed_proof(payload, &proof) } else { None };
            changed.unwrap_or(proof)
        }))
    }

    fn emit(&self, form: &Form, request: &EmitRequest) -> Result<Emission, Reject> {
        if !self.is_broken(form, MutatedSide::Emit) || request.arch != self.place.arch {
            return self.inner().emit(form, request);
        }
        let emission = self.inner().emit(form, &EmitRequest { pass: Pass::Write, ..*request })?;
        let mut bytes = self.changed_emit(request.payload, &emission.bytes).unwrap_or(emission.bytes);
        let size = bytes.len();
        if request.pass == Pass::Size {
            bytes.clear();
        }
        Ok(Emission { size, bytes })
    }
}
