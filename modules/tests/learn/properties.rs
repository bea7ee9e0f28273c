// SPDX-License-Identifier: GPL-2.0-or-later
//! What holds for the forms of every shape.

use kop_modules::{Learned, LearnedForm};
use kop_ops::choices::{Choices, Seeded};
use kop_ops::{Field, Operands, Role};

use super::decoders::Decoded;
use super::shapes::{LEARNED, SHAPES, learned};

/// The same callbacks always give the same.
#[test]
fn learning_is_deterministic() {
    for ((name, decoder, _), a) in SHAPES.iter().zip(&*LEARNED).take(4) {
        let b = learned(*decoder);
        assert_eq!((a.to_string(), &a.remarks, a.asked), (b.to_string(), &b.remarks, b.asked), "{name}");
    }
}

/// Valid payloads that the test finds by itself, from those the forms describe: every pair of values of two register
/// fields, and every value of a nibble. A form's example is not enough, as a rule may forbid it to change.
#[test]
fn every_valid_payload_belongs_to_one_form() {
    for ((name, decoder, _), learned) in SHAPES.iter().zip(&*LEARNED) {
        let valid = |payload: &u64| matches!(decoder(*payload), Decoded::Valid(..) | Decoded::Raw(..));
        let mut tried = 0;
        for base in valid_payloads(learned, valid) {
            for payload in around(learned, base).into_iter().filter(valid) {
                let belongs =
                    |form: &&LearnedForm| form.covers(payload) || writes_r10(learned, form, payload);
                let forms = learned.forms.iter().filter(belongs).count();
                assert_eq!(forms, 1, "{name}: {payload:#x} belongs to {forms} forms:\n{learned}");
                tried += 1;
            }
        }
        assert!(tried > 100, "{name}: {tried}");
    }
}

/// Some valid payloads of each form.
fn valid_payloads(learned: &Learned, valid: impl Fn(&u64) -> bool) -> Vec<u64> {
    let mut choices = Seeded::new(7);
    let mut all = Vec::new();
    for layout in learned.forms.iter().map(|form| &form.form.layout) {
        let mut random = || {
            let value = |field: &Field| field.range().0 + choices.below(field.count()) as i64;
            layout.pack(&Operands::new(&layout.fields().iter().map(value).collect::<Vec<_>>()))
        };
        all.extend((0..4000).map(|_| random()).filter(&valid).take(16));
    }
    all
}

/// `base` with every pair of register fields set to every pair of registers, and with every nibble set to every value.
fn around(learned: &Learned, base: u64) -> Vec<u64> {
    let set = |payload: u64, low: u32, value: u64| payload & !(0xf << low) | value << low;
    let mut around: Vec<u64> =
        (0..52).step_by(4).flat_map(|low| (0..16).map(move |value| set(base, low, value))).collect();
    for form in learned.forms.iter().filter(|form| form.covers(base)) {
        let registers: Vec<u32> = form
            .form
            .layout
            .fields()
            .iter()
            .filter(|field| field.is_register())
            .map(|field| field.low)
            .collect();
        for (at, &a) in registers.iter().enumerate() {
            for &b in &registers[at + 1..] {
                around.extend((0..256).map(|pair| set(set(base, a, pair & 0xf), b, pair >> 4)));
            }
        }
    }
    around
}

/// Whether the payload is left out of the form because the verifier refuses it anyway.
fn writes_r10(learned: &Learned, form: &LearnedForm, payload: u64) -> bool {
    learned.remarks.iter().any(|remark| remark.contains("r10 is accepted"))
        && form.form.layout.fields().iter().any(|field| {
            let fixed = payload & !(0xf << field.low);
            field.role() == Some(Role::Destination) && payload >> field.low & 0xf == 10 && form.covers(fixed)
        })
}
