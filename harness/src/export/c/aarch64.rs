// SPDX-License-Identifier: GPL-2.0-or-later
//! AArch64 instructions as calls that write words.

use super::block::comment;
use super::expression::{Scope, Used};
use super::lines::{Line, line};
use crate::export::fit::{Run, Source, Template};
use crate::export::tree::Step;
use crate::export::value::Value;

/// Instructions that follow each other.
pub fn steps(scope: &Scope, used: &Used, steps: &[&Step]) -> Vec<Line> {
    let one = |step: &&Step| {
        [comment(&step.comment), line(format!("put(code, {});", word(scope, used, &step.template)))]
    };
    steps.iter().flat_map(one).collect()
}

fn word(scope: &Scope, used: &Used, template: &Template) -> String {
    let mut word = format!("{:#010x}", template.constant as u32);
    // The highest field first, as the manual draws them.
    for run in template.runs.iter().rev() {
        word += &format!(" | {}", term(scope, used, run));
    }
    word
}

fn term(scope: &Scope, used: &Used, run: &Run) -> String {
    if let Source::Value { value: Value::Register(field), from: 0, .. } = run.source
        && let Some(helper) = helper(run)
    {
        return format!("{helper}({})", super::names::operand(&scope.fields[field]));
    }
    let bits = scope.bits(run, &used.tables);
    match run.low {
        0 => bits,
        low if bits.starts_with("BITS") => format!("{bits} << {low}"),
        low if bits.contains(' ') => format!("(u32)({bits}) << {low}"),
        low => format!("(u32){bits} << {low}"),
    }
}

/// The manual's name for a register field.
fn helper(run: &Run) -> Option<&'static str> {
    match (run.low, run.width) {
        (0, 5) => Some("RD"),
        (5, 5) => Some("RN"),
        (10, 5) => Some("RA"),
        (16, 5) => Some("RM"),
        _ => None,
    }
}
