// SPDX-License-Identifier: GPL-2.0-or-later
//! Each form of the catalog as the one operation of a module: its layout must be learned as it is declared.

use std::path::PathBuf;

use kop_modules::{Answer, Asked, Callbacks, Descriptor, Emitted, Reply, learn};
use kop_ops::ebpf::encode_program;
use kop_ops::{Arch, Catalog, EmitRequest, Features, FieldKind, Form, Kop, Pass, Role};

use super::{form, shown};

/// A form of an operation as callbacks.
struct AsModule<'a> {
    kop: &'a dyn Kop,
    form: &'a Form,
    descriptor: Descriptor,
}

impl<'a> AsModule<'a> {
    fn new(kop: &'a dyn Kop, form: &'a Form) -> Self {
        let descriptor = Descriptor {
            name: kop.name().to_owned(),
            source: PathBuf::from(kop.source()),
            max_insn_cnt: kop.limits(form).max_insn_cnt,
            max_emit_bytes: kop.limits(form).max_emit_bytes,
            archs: Arch::ALL.to_vec(),
        };
        Self { kop, form, descriptor }
    }

    fn emit(&self, arch: Arch, features: Features, payload: u64) -> Reply<Emitted> {
        let request = EmitRequest { arch, features, payload, pass: Pass::Write, address: 0 };
        match self.kop.emit(self.form, &request) {
            Ok(code) => Reply::Accepted(Emitted { size: code.size, bytes: code.bytes, ..Emitted::default() }),
            Err(_) => Reply::Rejected(-22),
        }
    }
}

impl Callbacks for AsModule<'_> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn ask(&self, asked: Asked, features: Features, payloads: &[u64]) -> Vec<Answer> {
        let answer = |&payload: &u64| {
            let proof = match self.kop.instantiate(self.form, payload) {
                Ok(proof) => Reply::Accepted(encode_program(&proof)),
                Err(_) => Reply::Rejected(-22),
            };
            let emits = match asked {
                Asked::Acceptance => [None, None],
                _ => Arch::ALL.map(|arch| Some(self.emit(arch, features, payload))),
            };
            let looked_at = Arch::ALL.map(|arch| self.kop.features(arch));
            Answer { proof, emits, faults: Vec::new(), looked_at: looked_at[0].union(looked_at[1]) }
        };
        payloads.iter().map(answer).collect()
    }
}

/// Fields are equal in place, kind and range. Names are not learned, and of roles this much: a temporary and a destination
/// are both written; native code that never depends on a temporary makes it [`Role::Scratch`].
#[test]
fn the_layouts_of_the_catalog_are_learned_as_they_are_declared() {
    // Nothing in a proof tells where an operand ends that only native code has.
    let catalog = Catalog::einsn();
    let shown = catalog.forms().filter(|(kop, _)| kop.unseen_purpose().is_none());
    let differing = shown.filter(|(kop, declared)| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| same(*kop, declared))).is_err()
    });
    let differing: Vec<String> =
        differing.map(|(kop, declared)| format!("{} {}", kop.name(), declared.name)).collect();
    assert_eq!(differing, JOINED);
}

/// Forms with fields that choose what the proof does: side by side they are learned as one field, and where its length depends on one,
/// as several forms.
const JOINED: [&str; 4] =
    ["compare_chain both64", "compare_chain both32", "bit_deposit stride", "bit_extract stride"];

/// Learns a layout, and panics where it is another.
fn same(kop: &dyn Kop, declared: &Form) {
    let module = AsModule::new(kop, declared);
    let learned = learn(&[&module], &[]).expect("there are valid payloads");
    let what = format!("{} {}:\n{learned}", kop.name(), declared.name);
    assert_eq!(learned.forms.len(), 1, "{what}");
    assert_eq!((learned.ignored, &learned.failed, &learned.disputed), (0, &vec![], &vec![]), "{what}");
    let fields = form(&learned, "payload").form.layout.fields();
    assert_eq!(fields.len(), declared.layout.fields().len(), "{what}");
    for (field, declared) in fields.iter().zip(declared.layout.fields()) {
        assert_eq!((field.low, field.width), (declared.low, declared.width), "{} in {what}", declared.name);
        match (field.kind, declared.kind) {
            (FieldKind::Register(role), FieldKind::Register(declared_role)) => {
                let written = |role| matches!(role, Role::Destination | Role::Temporary | Role::Scratch);
                assert_eq!(written(role), written(declared_role), "{} in {what}", declared.name);
                assert_eq!(role.highest(), declared_role.highest(), "{} in {what}", declared.name);
            }
            (kind, declared_kind) => assert_eq!(kind, declared_kind, "{} in {what}", shown(declared)),
        }
    }
}

/// What [`the_layouts_of_the_catalog_are_learned_as_they_are_declared`] compares is there to be missed.
#[test]
fn a_temporary_that_native_code_never_sees_is_scratch() {
    let catalog = Catalog::einsn();
    let kop = catalog.get("rotate").expect("it is in the catalog");
    let module = AsModule::new(kop, &kop.forms()[0]);
    let learned = learn(&[&module], &[]).expect("there are valid payloads");
    let roles: Vec<_> =
        form(&learned, "payload").form.layout.fields().iter().map(|field| field.role()).collect();
    assert_eq!(roles, [Some(Role::Destination), Some(Role::Source), Some(Role::Scratch), None], "{learned}");
}
