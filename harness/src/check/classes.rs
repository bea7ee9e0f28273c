// SPDX-License-Identifier: GPL-2.0-or-later
//! The classes that payloads belong to: aliasing patterns, registers, boundaries.

use std::collections::{BTreeMap, BTreeSet};

use kop_ops::choices::Seeded;
use kop_ops::{Form, Kop, Operands};

use super::round::PLANNING;
use crate::generate::{alias_pattern, many_operands};

/// Counts the classes of a payload.
pub(super) fn note_operands(form: &Form, operands: &Operands, classes: &mut BTreeMap<String, u64>) {
    for class in operand_classes(form, operands) {
        *classes.entry(class).or_default() += 1;
    }
}

/// The classes that a payload belongs to.
pub(super) fn operand_classes(form: &Form, operands: &Operands) -> Vec<String> {
    let mut classes = vec![format!("alias {}", alias_pattern(form, operands))];
    for (field, &value) in form.layout.fields().iter().zip(operands.values()) {
        let (min, max) = field.range();
        if field.is_register() {
            classes.push(format!("{}=r{value}", field.name));
        } else if value == min || value == max {
            classes.push(format!("{}={value}", field.name));
        } else if crate::generate::is_boundary(field, value) {
            classes.push(format!("{} at a power of two", field.name));
        }
    }
    classes
}

/// The classes that the form's payloads can belong to, from many random ones.
pub(crate) fn possible_classes(kop: &dyn Kop, form: &Form) -> BTreeSet<String> {
    let mut choices = Seeded::derived(0, &[PLANNING]);
    many_operands(kop, form, 4000, &mut choices)
        .into_iter()
        .flatten()
        .flat_map(|operands| operand_classes(form, &operands))
        .collect()
}
