// SPDX-License-Identifier: GPL-2.0-or-later
//! A form's operands in C: their struct, and the function that takes a payload apart and refuses what is none.

use kop_ops::{Field, FieldKind, Form, Role};

use super::block::block;
use super::expression::{Scope, c_type};
use super::lines::{Line, deeper, line};
use super::names::operand;
use crate::export::program::Statement;
use crate::export::target::Target;

/// The struct called `name`, and its decoder.
pub fn decoder(name: &str, form: &Form, rules: &[Statement]) -> Vec<Line> {
    let fields = form.layout.fields();
    let mut lines = vec![line(format!("struct {name} {{"))];
    lines.extend(deeper(
        fields.iter().map(|field| line(format!("{} {};", c_type(field), operand(field)))).collect(),
    ));
    lines.extend([line("};"), line("")]);
    lines.push(line(format!("static int {name}_decode(u64 payload, struct {name} *op)")));
    lines.push(line("{"));
    let mut body: Vec<Line> =
        fields.iter().map(|field| line(format!("op->{} = {};", operand(field), extracted(field)))).collect();
    body.push(line(format!("if (payload & ~{:#x}ULL)", form.layout.used_bits())));
    body.push(Line { depth: 1, text: "return -EINVAL;".to_owned() });
    for conditions in [ranges(fields), temporaries(fields)].into_iter().filter(|all| !all.is_empty()) {
        body.push(line(format!("if ({})", conditions.join(" || "))));
        body.push(Line { depth: 1, text: "return -EINVAL;".to_owned() });
    }
    body.extend(rules_of(form, rules));
    body.push(line("return 0;"));
    lines.extend(deeper(body));
    lines.push(line("}"));
    lines
}

/// The operand's value in the payload.
fn extracted(field: &Field) -> String {
    let shifted = if field.low == 0 { "payload".to_owned() } else { format!("payload >> {}", field.low) };
    let in_parentheses = if field.low == 0 { shifted.clone() } else { format!("({shifted})") };
    match (field.kind, field.width) {
        (FieldKind::Signed { .. }, 8) => format!("(s8){in_parentheses}"),
        (FieldKind::Signed { .. }, 16) => format!("(s16){in_parentheses}"),
        (FieldKind::Signed { .. }, 32) => format!("(s32){in_parentheses}"),
        (FieldKind::Signed { .. }, width) => format!("sign_extend32({shifted}, {})", width - 1),
        (_, width) => format!("{shifted} & {:#x}", (1u64 << width) - 1),
    }
}

/// Conditions under which a value is out of its range.
fn ranges(fields: &[Field]) -> Vec<String> {
    let mut conditions = Vec::new();
    for field in fields {
        let name = operand(field);
        let (min, max) = field.range();
        let (least, most) = match field.kind {
            FieldKind::Signed { .. } => (-(1i64 << (field.width - 1)), (1i64 << (field.width - 1)) - 1),
            _ => (0, (1i64 << field.width) - 1),
        };
        if min > least {
            conditions.push(format!("op->{name} < {min}"));
        }
        if max < most {
            let max = if field.is_register() { format!("BPF_REG_{max}") } else { max.to_string() };
            conditions.push(format!("op->{name} > {max}"));
        }
    }
    conditions
}

/// Conditions under which a temporary is another operand.
fn temporaries(fields: &[Field]) -> Vec<String> {
    let registers: Vec<&Field> = fields.iter().filter(|field| field.is_register()).collect();
    let is_temporary = |field: &Field| field.role() == Some(Role::Temporary);
    let mut conditions = Vec::new();
    for (n, first) in registers.iter().enumerate() {
        for second in &registers[n + 1..] {
            if is_temporary(first) || is_temporary(second) {
                let (temporary, other) = if is_temporary(first) { (first, second) } else { (second, first) };
                conditions.push(format!("op->{} == op->{}", operand(temporary), operand(other)));
            }
        }
    }
    conditions
}

fn rules_of(form: &Form, rules: &[Statement]) -> Vec<Line> {
    let scope = Scope { target: Target::Proof, fields: form.layout.fields(), through: "op->" };
    block(&scope, rules, &|_| Vec::new())
}
