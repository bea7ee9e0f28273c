// SPDX-License-Identifier: GPL-2.0-or-later
//! Whether the forms are all there is: fresh valid payloads must belong to exactly one of them.

use kop_ops::choices::{Choices, Seeded};
use kop_ops::{FieldKind, Layout, Operands, PayloadError};

use super::LearnedForm;
use super::probe::Probe;
use super::search::{Found, changed, replaced};

/// How many payloads are tried: changes of what was found, and random operands of each form.
const CHANGES: usize = 16_384;
const OPERANDS: usize = 1024;

/// What fresh valid payloads showed.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// How many were looked at.
    pub fresh: usize,
    /// Those that no form covers, and that no longer range would.
    pub uncovered: Vec<u64>,
    /// Those that more than one form covers.
    pub doubled: Vec<u64>,
    /// Whether the ranges of a field had to grow.
    pub widened: bool,
}

/// Tries fresh payloads against `forms`, whose ranges grow where that is all that is missing.
pub(super) fn cover(
    probe: &mut Probe,
    found: &Found,
    forms: &mut [LearnedForm],
    choices: &mut Seeded,
) -> Coverage {
    let mut candidates = changed(found, CHANGES, choices);
    for form in forms.iter() {
        candidates.extend((0..OPERANDS).map(|_| operands(&form.form.layout, choices)));
    }
    let mut fresh = probe.valid(&candidates);
    fresh.extend(found.payloads());
    let mut coverage = Coverage { fresh: fresh.len(), ..Coverage::default() };
    for payload in fresh {
        match forms.iter().filter(|form| form.covers(payload)).count() {
            1 => {}
            0 if forms.iter().any(|form| form.leaves_out(payload)) => {}
            0 if forms.iter_mut().any(|form| widen(form, payload)) => coverage.widened = true,
            0 => coverage.uncovered.push(payload),
            _ => coverage.doubled.push(payload),
        }
    }
    coverage
}

/// Random operands; one field of some has any value.
fn operands(layout: &Layout, choices: &mut impl Choices) -> u64 {
    let values: Vec<i64> =
        layout.fields().iter().map(|field| field.range().0 + choices.below(field.count()) as i64).collect();
    let payload = layout.pack(&Operands::new(&values));
    if layout.fields().is_empty() || choices.one_in(2) {
        return payload;
    }
    let field = choices.pick(layout.fields());
    replaced(payload, field.low, field.width, choices.bits())
}

/// Lets the field of `form` that refuses `payload` take its value too, if nothing else is in the way.
fn widen(form: &mut LearnedForm, payload: u64) -> bool {
    let payload = payload & !form.ignored;
    let layout = &form.form.layout;
    let mut wider = Layout::new();
    for field in layout.fields() {
        let raw = payload >> field.low & ((1 << field.width) - 1);
        let fixed = field.count() == 1;
        let kind = match field.kind {
            FieldKind::Unsigned { min, max } if !fixed => {
                FieldKind::Unsigned { min: min.min(raw as u32), max: max.max(raw as u32) }
            }
            FieldKind::Signed { min, max } => {
                let value = ((raw << (64 - field.width)) as i64 >> (64 - field.width)) as i32;
                FieldKind::Signed { min: min.min(value), max: max.max(value) }
            }
            kind => kind,
        };
        wider = wider.field_at(field.name.clone(), kind, field.low, field.width);
    }
    if wider.decode(payload).is_err() {
        return false;
    }
    form.form.layout = wider;
    true
}

impl LearnedForm {
    /// Whether the payload is one of the form, whatever the bits that nobody looks at.
    pub fn covers(&self, payload: u64) -> bool {
        self.form.layout.decode(payload & !self.ignored).is_ok()
    }

    /// Whether the payload is one of the form but for a written register that is r10.
    fn leaves_out(&self, payload: u64) -> bool {
        let mut rest = payload & !self.ignored;
        for field in self.form.layout.fields() {
            let written = field.role().is_some_and(|role| role.highest() == 9);
            if written && rest >> field.low & 0xf == 10 {
                rest = replaced(rest, field.low, field.width, 0);
            }
        }
        rest != payload & !self.ignored
            && !matches!(
                self.form.layout.decode(rest),
                Err(PayloadError::UnusedBits { .. } | PayloadError::Range { .. })
            )
    }
}
