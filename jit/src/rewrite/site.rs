// SPDX-License-Identifier: GPL-2.0-or-later
//! A site that the rewriter makes.

use kop_ops::ebpf::{Insn, Reg, RegSet, shape};
use kop_ops::payload::{Operands, Role};
use kop_ops::{Arch, Catalog, Features, Form, Kop, Site, aarch64, x86_64};

use super::value::Value;

/// An operation with its operands, in place of instructions.
#[derive(Clone, Debug)]
pub(super) struct NewSite<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// Its form.
    pub form: &'a Form,
    /// The operands.
    pub operands: Operands,
    /// The payload that holds them.
    pub payload: u64,
    /// The instructions in front of it that put numbers and copies into registers for it.
    pub before: Vec<Insn>,
    /// The proof sequence.
    pub proof: Vec<Insn>,
    /// The registers that hold garbage afterwards, those of `before` among them.
    pub dead: RegSet,
    /// The index in the program of the instruction whose place it takes.
    pub at: usize,
    /// What its results hold, where those are values of straight code.
    pub values: Vec<(Reg, Value)>,
}

/// The operation and the form of these names.
pub(super) fn find<'a>(catalog: &Catalog<'a>, kop: &str, form: &str) -> Option<(&'a dyn Kop, &'a Form)> {
    let kop = catalog.get(kop).ok()?;
    Some((kop, kop.forms().iter().find(|known| known.name == form)?))
}

impl<'a> NewSite<'a> {
    /// The site with these operands; `None` when the operation refuses them, or when the kernel would refuse its proof sequence.
    pub fn new(
        (kop, form): (&'a dyn Kop, &'a Form),
        operands: Operands,
        at: usize,
        values: Vec<(Reg, Value)>,
    ) -> Option<Self> {
        let payload = form.layout.encode(&operands).ok()?;
        let site = Site::decode(form, payload, Features::NONE).ok()?;
        let proof = kop.instantiate(form, payload).ok()?;
        shape::check(&proof, kop.limits(form).max_insn_cnt.into()).ok()?;
        let dead = kop.contract(&site).dead;
        Some(Self { kop, form, operands, payload, before: Vec::new(), proof, dead, at, values })
    }

    /// The site behind instructions that put numbers and copies into registers, which it does not write.
    pub fn behind(mut self, before: Vec<Insn>) -> Self {
        self.dead = before.iter().fold(self.dead, |dead, insn| dead.union(insn.writes()));
        self.before = before;
        self
    }

    /// What it stands for, the instructions in front of it included.
    pub fn insns(&self) -> Vec<Insn> {
        self.before.iter().chain(&self.proof).copied().collect()
    }

    /// How many instructions it is on an architecture, the instructions in front of it included; where there is no native code, its proof
    /// sequence is compiled.
    pub fn native(&self, arch: Arch) -> usize {
        let count = |site: Site| match arch {
            Arch::X86_64 => {
                let mut code = x86_64::Assembler::new();
                self.kop.x86_64(&site, &mut code).ok().map(|()| code.insns().count())
            }
            Arch::Aarch64 => {
                let mut code = aarch64::Assembler::new();
                self.kop.aarch64(&site, &mut code).ok().map(|()| code.insns().count())
            }
        };
        let site = Site::decode(self.form, self.payload, Features::NONE).ok();
        self.before.len() + site.and_then(count).unwrap_or(self.proof.len())
    }

    /// Whether it accesses memory.
    pub fn accesses(&self) -> bool {
        self.proof.iter().any(|insn| insn.access().is_some())
    }

    /// The registers that it takes.
    pub fn reads(&self) -> RegSet {
        let taken = self.registers(|role| matches!(role, Role::Source | Role::Any));
        let (made, copied) =
            self.before.iter().fold((RegSet::EMPTY, RegSet::EMPTY), |(made, copied), insn| {
                (made.union(insn.writes()), copied.union(insn.reads().minus(made)))
            });
        taken.minus(made).union(copied)
    }

    /// The registers that it writes or leaves with garbage.
    pub fn writes(&self) -> RegSet {
        self.registers(|role| role == Role::Destination).union(self.dead)
    }

    /// The registers that receive what it computes.
    pub fn results(&self) -> RegSet {
        self.registers(|role| role == Role::Destination)
    }

    fn registers(&self, wanted: impl Fn(Role) -> bool) -> RegSet {
        let fields = self.form.layout.fields().iter().zip(self.operands.values());
        fields
            .filter(|(field, _)| field.role().is_some_and(&wanted))
            .filter_map(|(_, &value)| Reg::new(value as u8))
            .collect()
    }
}
