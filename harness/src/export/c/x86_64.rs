// SPDX-License-Identifier: GPL-2.0-or-later
//! x86-64 instructions as calls that write bytes.

use super::block::comment;
use super::expression::{Scope, Used};
use super::lines::{Line, line};
use crate::export::fit::{RexRule, Run, Source, Template, ones};
use crate::export::tree::Step;
use crate::export::value::Value;

/// Something that is written with one call.
enum Piece {
    /// A byte.
    Byte(String),
    /// A number of so many bytes.
    Number(u32, String),
    /// A REX prefix that may be left out.
    Rex(String, Option<usize>),
}

/// Instructions that follow each other.
pub fn steps(scope: &Scope, used: &Used, steps: &[&Step]) -> Vec<Line> {
    let one = |step: &&Step| {
        let mut lines = vec![comment(&step.comment)];
        lines.extend(calls(scope, pieces(scope, used, &step.template)));
        lines
    };
    steps.iter().flat_map(one).collect()
}

fn calls(scope: &Scope, pieces: Vec<Piece>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut bytes: Vec<String> = Vec::new();
    let flush = |bytes: &mut Vec<String>, lines: &mut Vec<Line>| {
        if !bytes.is_empty() {
            lines.push(line(format!("PUT(code, {});", std::mem::take(bytes).join(", "))));
        }
    };
    for piece in pieces {
        match piece {
            Piece::Byte(text) => {
                bytes.push(text);
                continue;
            }
            Piece::Number(size, text) => {
                flush(&mut bytes, &mut lines);
                lines.push(line(format!("put_number(code, {size}, {text});")));
            }
            Piece::Rex(rex, field) => {
                flush(&mut bytes, &mut lines);
                lines.push(line(match field {
                    None => format!("put_rex(code, {rex});"),
                    Some(field) => {
                        format!("put_byte_rex(code, {rex}, {});", super::names::operand(&scope.fields[field]))
                    }
                }));
            }
        }
    }
    flush(&mut bytes, &mut lines);
    lines
}

fn pieces(scope: &Scope, used: &Used, template: &Template) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < template.len {
        let whole = |run: &&Run| run.low == 8 * at && run.width > 8 && run.width.is_multiple_of(8);
        if let Some(run) = template.runs.iter().find(whole) {
            pieces.push(Piece::Number(run.width / 8, scope.number(run, &used.tables)));
            at += run.width / 8;
            continue;
        }
        let is_rex = template.rex.is_some_and(|rex| rex.0 == at);
        let text = byte(scope, used, template, at, is_rex);
        pieces.push(match template.rex.filter(|_| is_rex) {
            Some((_, RexRule::IfNeeded)) if text == "REX" => {
                at += 1;
                continue;
            }
            // A constant that says something is there in any case.
            Some((_, RexRule::IfNeeded)) if (template.constant >> (8 * at)) as u8 != 0x40 => {
                Piece::Byte(text)
            }
            Some((_, RexRule::IfNeeded)) => Piece::Rex(text, None),
            Some((_, RexRule::IfNeededOrByte(field))) => Piece::Rex(text, Some(field)),
            _ => Piece::Byte(text),
        });
        at += 1;
    }
    pieces
}

/// The byte at `at` as an expression.
fn byte(scope: &Scope, used: &Used, template: &Template, at: u32, is_rex: bool) -> String {
    let mut constant = (template.constant >> (8 * at)) as u8;
    let mut terms = Vec::new();
    let mut inverted = false;
    for run in &template.runs {
        let (low, high) = (run.low.max(8 * at), (run.low + run.width).min(8 * at + 8));
        if low >= high {
            continue;
        }
        let place = low - 8 * at;
        if let Source::Value { invert: true, .. } = run.source {
            inverted = true;
            constant |= (ones(high - low) as u8) << place;
        }
        terms.push(term(scope, used, run, low - run.low, high - low, place));
    }
    let constant = match (is_rex, constant) {
        (true, 0x40) => "REX".to_owned(),
        (true, 0x48) => "REX_W".to_owned(),
        (_, 0) if !terms.is_empty() => String::new(),
        _ => format!("{constant:#04x}"),
    };
    let between = if inverted { " ^ " } else { " | " };
    let parts: Vec<String> =
        Some(constant).filter(|text| !text.is_empty()).into_iter().chain(terms).collect();
    parts.join(between)
}

/// `width` bits of a run from its bit `skip` on, at the bit `place` of a byte.
fn term(scope: &Scope, used: &Used, run: &Run, skip: u32, width: u32, place: u32) -> String {
    if let Source::Value { value: Value::Register(field), from, .. } = run.source {
        let name = super::names::operand(&scope.fields[field]);
        let helper = match (from + skip, width, place) {
            (0, 3, 0) => Some("RM"),
            (0, 3, 3) => Some("REG"),
            (3, 1, 2) => Some("REX_R"),
            (3, 1, 1) => Some("REX_X"),
            (3, 1, 0) => Some("REX_B"),
            (3, 1, 7) => Some("VEX_R"),
            (3, 1, 6) => Some("VEX_X"),
            (3, 1, 5) => Some("VEX_B"),
            (0, 4, 3) => Some("VEX_V"),
            _ => None,
        };
        if let Some(helper) = helper {
            return format!("{helper}({name})");
        }
    }
    let bits = if skip == 0 && width == run.width {
        scope.bits(run, &used.tables)
    } else {
        format!("BITS(({}) >> {skip}, {width})", scope.number(run, &used.tables))
    };
    match place {
        0 => bits,
        _ if bits.contains(' ') && !bits.ends_with(')') => format!("({bits}) << {place}"),
        _ => format!("{bits} << {place}"),
    }
}
