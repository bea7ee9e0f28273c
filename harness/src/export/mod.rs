// SPDX-License-Identifier: GPL-2.0-or-later
//! An operation of the catalog as the C sources of a kernel module: a generator that asks the operation what it emits and
//! writes C that emits the same.
//!
//! Nothing is known of an operation but its answers. For the proof sequence and each emit a decision tree over operands and
//! CPU features is grown from examples (`tree`). Its leaves are instructions whose bits are constant, copied from registers or
//! sums of immediates, or looked up in a table (`fit`). It is then held against every payload, or very many of them, and
//! grown again with those that it gets wrong (`learn`). What comes out is printed as C (`c`).

mod c;
mod comment;
mod fit;
mod learn;
mod predicate;
mod program;
mod target;
mod text;
mod tree;
mod value;

use std::collections::BTreeSet;

use kop_ops::{Arch, EmitRequest, Features, Form, Kop, Limits, Operands, Pass, Reject, Site};

use learn::Learner;
use program::Statement;
use target::Target;

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, without a directory.
    pub name: String,
    /// Its contents.
    pub text: String,
}

/// A part of an operation that is not in the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The form.
    pub form: String,
    /// The architecture.
    pub arch: Arch,
    /// Why.
    pub reason: String,
}

/// An operation as the sources of a kernel module.
#[derive(Clone, Debug)]
pub struct Export {
    /// The files.
    pub files: Vec<File>,
    /// The registered name of each form that is in the module, with the form's own.
    pub operations: Vec<(String, String)>,
    /// What has to be said to check the module: which registers are dead after a site.
    pub contracts: Vec<String>,
    /// What is not in the module.
    pub left_out: Vec<LeftOut>,
}

/// Why there is no module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// No form has native code that a kernel module may have.
    #[error("{operation} has nothing to export: {reason}")]
    Nothing {
        /// The operation.
        operation: String,
        /// Why.
        reason: String,
    },
    /// The generator does not find out what the form depends on.
    #[error(
        "form {form}: no rule found that gives its {what} for every payload; such an operation is exported by hand"
    )]
    Unsettled {
        /// The form.
        form: String,
        /// What has no rule.
        what: &'static str,
    },
}

/// A form with everything that is printed of it.
#[derive(Debug)]
struct ExportedForm<'a> {
    form: &'a Form,
    /// What its C names start with.
    prefix: String,
    /// The registered name.
    operation: String,
    limits: Limits,
    rules: Vec<Statement>,
    proof: Vec<Statement>,
    emits: [Emit; 2],
    /// Its site contract, as `dead=..` over payload bits.
    contracts: Vec<String>,
}

/// An emit.
#[derive(Debug)]
struct Emit {
    /// None where no CPU has one.
    statements: Option<Vec<Statement>>,
    /// The features without which there is none.
    required: Features,
}

impl ExportedForm<'_> {
    fn emit(&self, arch: Arch) -> Option<&Vec<Statement>> {
        self.emits[arch as usize].statements.as_ref()
    }

    fn required(&self, arch: Arch) -> Features {
        self.emits[arch as usize].required
    }
}

/// Writes an operation as C.
///
/// # Errors
/// [`ExportError`] when there is nothing that may be exported, or when no rule was found for a form.
pub fn export(kop: &dyn Kop) -> Result<Export, ExportError> {
    let mut forms = Vec::new();
    let mut left_out = Vec::new();
    for form in kop.forms() {
        let natives = Arch::ALL.map(|arch| native(kop, form, arch));
        for (arch, native) in Arch::ALL.into_iter().zip(&natives) {
            let reason = native.left_out.clone();
            left_out.extend(reason.map(|reason| LeftOut { form: form.name.to_string(), arch, reason }));
        }
        if natives.iter().any(|native| native.exists) {
            forms.push(exported_form(kop, form, &natives)?);
        }
    }
    if forms.is_empty() {
        let reason = left_out.first().map(|left| left.reason.clone()).unwrap_or_default();
        return Err(ExportError::Nothing { operation: kop.name().to_owned(), reason });
    }
    let contracts = forms
        .iter()
        .flat_map(|form| form.contracts.iter().map(|contract| format!("{}:{contract}", form.operation)))
        .collect();
    let operations = forms.iter().map(|form| (form.operation.clone(), form.form.name.to_string())).collect();
    Ok(Export { files: c::module::files(kop, &forms), operations, contracts, left_out })
}

/// What there is of an emit for kernel code.
struct Native {
    exists: bool,
    required: Features,
    left_out: Option<String>,
}

/// Asks the emit with every set of features, for the first payload there is.
fn native(kop: &dyn Kop, form: &Form, arch: Arch) -> Native {
    let Some(payload) = some_payload(kop, form) else {
        return Native {
            exists: false,
            required: Features::NONE,
            left_out: Some("it has no valid payload".to_owned()),
        };
    };
    let emits = |features: Features| {
        let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
        !matches!(kop.emit(form, &request), Err(Reject::NoEmit { .. }))
    };
    let all = kop.features(arch);
    let allowed = all.without_simd();
    let sets: Vec<(Features, bool)> = allowed.subsets().into_iter().map(|set| (set, emits(set))).collect();
    let exists = sets.iter().any(|set| set.1);
    let simd = all.minus(allowed);
    let reason = if !simd.is_empty() && emits(all) {
        let rest = if exists { "; the general-register form is exported" } else { "" };
        Some(format!(
            "the native form with {simd} uses SIMD registers, which kernel code has only when it saves them{rest}"
        ))
    } else {
        (!exists).then(|| "there is no native form".to_owned())
    };
    Native { exists, required: c::module::required(&sets), left_out: reason }
}

fn some_payload(kop: &dyn Kop, form: &Form) -> Option<u64> {
    let mut choices = kop_ops::choices::Seeded::new(1);
    let operands = crate::generate::random_operands(kop, form, &mut choices)?;
    Some(form.layout.pack(&operands))
}

fn exported_form<'a>(
    kop: &dyn Kop,
    form: &'a Form,
    natives: &[Native; 2],
) -> Result<ExportedForm<'a>, ExportError> {
    let learner = Learner::new(kop, form);
    if lengths(kop, form, learner.operands()) > MOST_LENGTHS {
        let what = "sequences of very many lengths";
        return Err(ExportError::Unsettled { form: form.name.to_string(), what });
    }
    let emit = |arch: Arch| {
        let native = &natives[arch as usize];
        let statements = native.exists.then(|| learner.target(Target::Native(arch))).transpose()?;
        Ok(Emit { statements, required: native.required })
    };
    let prefix = format!("{}_{}", c::names::identifier(kop.name()), c::names::identifier(&form.name));
    Ok(ExportedForm {
        form,
        operation: format!("bpf_{prefix}"),
        prefix,
        limits: kop.limits(form),
        rules: learner.rules()?,
        proof: learner.target(Target::Proof)?,
        emits: [emit(Arch::X86_64)?, emit(Arch::Aarch64)?],
        contracts: contracts(kop, form, learner.operands()),
    })
}

/// A tree has a leaf for each length of a proof sequence, with all of its instructions: beyond so many, a loop is what C should have.
const MOST_LENGTHS: usize = 8;

/// How many lengths the proof sequence of a form has.
fn lengths(kop: &dyn Kop, form: &Form, operands: &[Operands]) -> usize {
    let length = |operands: &Operands| Some(kop.instantiate(form, form.layout.pack(operands)).ok()?.len());
    operands.iter().filter_map(length).collect::<BTreeSet<_>>().len()
}

/// The registers that are dead after every site: as payload bits where an operand names them, by name otherwise.
fn contracts(kop: &dyn Kop, form: &Form, operands: &[Operands]) -> Vec<String> {
    let dead = |operands: &Operands| {
        kop.contract(&Site { form, operands: *operands, features: Features::NONE }).dead
    };
    let fields = form.layout.fields().iter().enumerate().filter(|(index, field)| {
        let is_dead = |operands: &Operands| {
            let reg = kop_ops::ebpf::Reg::new(operands.values()[*index] as u8);
            reg.is_some_and(|reg| dead(operands).has(reg))
        };
        field.is_register() && operands.iter().all(is_dead)
    });
    let mut contracts: Vec<String> = fields
        .map(|(_, field)| format!("dead=payload[{}:{}]", field.low, field.low + field.width - 1))
        .collect();
    let always =
        kop_ops::ebpf::Reg::ALL.into_iter().filter(|reg| operands.iter().all(|one| dead(one).has(*reg)));
    contracts.extend(always.map(|reg| format!("dead={reg}")));
    contracts
}
