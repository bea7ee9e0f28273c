// SPDX-License-Identifier: GPL-2.0-or-later
//! What is tested: one payload with its proof sequence and its native codes.

use kop_emulators::NativeCode;
use kop_emulators::inspect::Writes;
use kop_ops::ebpf::{Insn, Reg, RegSet};
use kop_ops::payload::PAYLOAD_BITS;
use kop_ops::{Arch, EmitRequest, Features, Field, Form, Kop, Operands, Pass, Role, Site};
use kop_reports::Difference;

use crate::generate::Constant;
use crate::pointers::Pointer;
pub use crate::prepare::{ADDRESSES, Prepared, hex, prepare};

/// What is asked of a preparation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The architectures.
    pub archs: Vec<Arch>,
    /// Whether emits may use SIMD registers.
    pub simd: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { archs: Arch::ALL.to_vec(), simd: true }
    }
}

impl Scope {
    /// The feature sets that an operation's emits for `arch` are asked for, the fullest first.
    pub fn feature_sets(&self, kop: &dyn Kop, arch: Arch) -> Vec<Features> {
        let features = kop.features(arch);
        if self.simd { features.subsets() } else { features.without_simd().subsets() }
    }

    /// The architectures asked for, of those for which `form` has an emit.
    pub fn archs_of(&self, kop: &dyn Kop, form: &Form) -> Vec<Arch> {
        let archs = kop.archs(form);
        self.archs.iter().copied().filter(|arch| archs.contains(arch)).collect()
    }

    /// The feature sets of every architecture.
    pub fn all_feature_sets(&self, kop: &dyn Kop) -> Vec<Features> {
        self.archs.iter().flat_map(|&arch| self.feature_sets(kop, arch)).collect()
    }
}

/// One payload, ready to run.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The operation.
    pub kop: &'a dyn Kop,
    /// The form.
    pub form: &'a Form,
    /// The payload.
    pub payload: u64,
    /// Its operands.
    pub operands: Operands,
    /// The proof sequence.
    pub proof: Vec<Insn>,
    /// Registers that the contract declares dead.
    pub dead: RegSet,
    /// The memory that the proof reaches from registers at entry.
    pub memory: Vec<Pointer>,
    /// The numbers that the proof computes with.
    pub constants: Vec<Constant>,
    /// The native codes, distinct ones only.
    pub variants: Vec<Variant>,
    /// Architectures and features for which there is no native code, so that the proof is compiled.
    pub absent: Vec<(Arch, Features)>,
}

/// The native code for some CPU features.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The fullest set of features for which the operation emits it.
    pub features: Features,
    /// The code.
    pub code: NativeCode,
    /// Whether it touches memory or SIMD registers, so that running it alone shows more than running it in a row.
    pub observable: bool,
    /// Whether it branches backwards, so that it may never end.
    pub loops: bool,
    /// The features that its instructions need.
    pub needs: Features,
    /// The registers that its instructions write.
    pub writes: Writes,
}

impl<'a> Subject<'a> {
    /// The site, for the features given.
    pub fn site(&self, features: Features) -> Site<'a> {
        Site { form: self.form, operands: self.operands, features }
    }

    /// The registers that the operands or the proof name; at least one besides r10.
    pub fn named(&self) -> RegSet {
        let mut named = self.form.layout.registers(&self.operands);
        for insn in &self.proof {
            named = named.union(insn.reads()).union(insn.writes());
        }
        if named.minus(RegSet::from(Reg::R10)).is_empty() {
            named.insert(Reg::R0);
        }
        named
    }

    /// Whether the proof stores to memory.
    pub fn stores(&self) -> bool {
        self.proof.iter().any(|insn| matches!(insn, Insn::Store { .. } | Insn::Atomic { .. }))
    }

    /// The registers that the proof writes.
    pub fn proof_writes(&self) -> RegSet {
        self.proof.iter().fold(RegSet::EMPTY, |set, insn| set.union(insn.writes()))
    }

    /// The operands that `reg` is, as `dst` or `a=b`, or a word for a register that no operand names.
    pub fn role_name(&self, reg: Reg) -> String {
        let names: Vec<&str> = self.operand_fields(reg).map(|field| &*field.name).collect();
        if names.is_empty() { "unnamed register".to_owned() } else { names.join("=") }
    }

    /// Whether an operand in the role of a destination names `reg`.
    pub fn is_destination(&self, reg: Reg) -> bool {
        self.operand_fields(reg).any(|field| field.role() == Some(Role::Destination))
    }

    /// Whether the operation was loaded from files, so that its layout and roles are learned.
    pub fn is_foreign(&self) -> bool {
        !self.kop.arguments().is_empty()
    }

    /// What to give on the command line to declare that `reg` is dead after the site: `--contract dead=r3`, or the payload
    /// bits of the operand that names it; `None` for operations whose source says it.
    pub fn declaration(&self, reg: Reg) -> Option<String> {
        if !self.kop.arguments().iter().any(|word| word == "--module") {
            return None;
        }
        Some(match self.operand_fields(reg).next() {
            Some(field) => {
                format!("--contract dead=payload[{}:{}]", field.low, field.low + field.width - 1)
            }
            None => format!("--contract dead={reg}"),
        })
    }

    fn operand_fields(&self, reg: Reg) -> impl Iterator<Item = &'a Field> {
        let values = self.operands;
        self.form.layout.fields().iter().enumerate().filter_map(move |(i, field)| {
            (field.is_register() && values.values()[i] == reg.index() as i64).then_some(field)
        })
    }
}

/// Bits of a valid payload that both forms ignore: flipping them changes nothing.
pub fn ignored_bits(kop: &dyn Kop, form: &Form, payload: u64, scope: &Scope) -> u64 {
    let answers = |payload| {
        let emits: Vec<_> = scope
            .archs_of(kop, form)
            .into_iter()
            .flat_map(|arch| scope.feature_sets(kop, arch).into_iter().map(move |features| (arch, features)))
            .map(|(arch, features)| {
                let request =
                    EmitRequest { arch, features, payload, pass: Pass::Write, address: ADDRESSES[0] };
                kop.emit(form, &request).map(|emission| emission.bytes).ok()
            })
            .collect();
        (kop.instantiate(form, payload).ok(), emits)
    };
    let original = answers(payload);
    if original.0.is_none() {
        return 0;
    }
    let bits = (0..PAYLOAD_BITS).map(|bit| 1 << bit);
    let others: Vec<u64> = bits.clone().map(|bit| payload ^ bit).collect();
    kop.expect(&others, &scope.all_feature_sets(kop));
    bits.filter(|bit| answers(payload ^ bit) == original).sum()
}

/// A difference between two texts.
pub fn difference(
    place: impl Into<String>,
    expected: impl Into<String>,
    actual: impl Into<String>,
) -> Difference {
    Difference { r#where: place.into(), expected: expected.into(), actual: actual.into() }
}
