// SPDX-License-Identifier: GPL-2.0-or-later
//! What is learned of payloads, against decoders whose layout is known.

mod catalog;
mod decoders;
mod properties;
mod shapes;
mod synthetic;

use kop_modules::{Learned, LearnedForm};
use kop_ops::{Field, FieldKind};

/// The form of this name.
fn form<'a>(learned: &'a Learned, name: &str) -> &'a LearnedForm {
    let found = learned.forms.iter().find(|form| form.form.name == name);
    found.unwrap_or_else(|| panic!("no form {name}:\n{learned}"))
}

/// A field as a text: `dst 0+4 Register(Destination)`.
fn shown(field: &Field) -> String {
    let kind = match field.kind {
        FieldKind::Register(role) => format!("{role:?}"),
        FieldKind::Unsigned { min, max } => format!("{min}..{max}"),
        FieldKind::Signed { min, max } => format!("signed {min}..{max}"),
    };
    format!("{} {}+{} {kind}", field.name, field.low, field.width)
}

/// The fields of the form of this name.
fn fields(learned: &Learned, name: &str) -> Vec<String> {
    form(learned, name).form.layout.fields().iter().map(shown).collect()
}
