// SPDX-License-Identifier: GPL-2.0-or-later
//! The `operands` table: names and kinds in the order of the payload, which become a layout.

use kop_ops::ebpf::Reg;
use kop_ops::payload::{MAX_FIELDS, PAYLOAD_BITS};
use kop_ops::{FieldKind, Layout, Role};

use super::document::{Table, TextError, Value};

/// What the file calls the kinds of operands.
const KINDS: &str =
    "source, any, destination, in-place, temporary, offset, or { min = .., max = .. } for an immediate";

/// What the proof must do with a register operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Write it before it reads it.
    Written,
    /// Read it and write it.
    Updated,
    /// Nothing that is checked.
    Free,
}

/// The operands of a form.
#[derive(Clone, Debug)]
pub(super) struct Operands {
    pub(super) layout: Layout,
    /// What is asked of each, in the order of the layout.
    pub(super) uses: Vec<Use>,
    /// The byte of the file that names each.
    pub(super) places: Vec<usize>,
}

/// An operand before its bits are fixed.
struct Operand {
    name: String,
    kind: FieldKind,
    usage: Use,
    width: u32,
    low: u32,
    at: usize,
}

/// Reads the table.
pub(super) fn read(table: Table) -> Result<Operands, TextError> {
    let mut operands: Vec<Operand> = Vec::new();
    for (name, value) in table.rest() {
        let next = operands.last().map_or(0, |last| last.low + last.width);
        let operand = read_operand(name, &value, next)?;
        if let Some(other) = operands.iter().find(|other| overlap(other, &operand)) {
            let what = format!(
                "operand `{name}` has the bits {}, `{}` has {}: give it others by `bits`",
                bits(&operand),
                other.name,
                bits(other)
            );
            return Err(value.error(what));
        }
        if operand.low + operand.width > PAYLOAD_BITS {
            let what = format!(
                "operand `{name}` ends at bit {}: a payload has {PAYLOAD_BITS}",
                operand.low + operand.width
            );
            return Err(value.error(what));
        }
        operands.push(operand);
        if operands.len() > MAX_FIELDS {
            return Err(
                value.error(format!("operand `{name}` is one too many: a form has at most {MAX_FIELDS}"))
            );
        }
    }
    operands.sort_by_key(|operand| operand.low);
    let layout = operands.iter().fold(Layout::new(), |layout, operand| {
        layout.field_at(operand.name.clone(), operand.kind, operand.low, operand.width)
    });
    Ok(Operands {
        layout,
        uses: operands.iter().map(|operand| operand.usage).collect(),
        places: operands.iter().map(|operand| operand.at).collect(),
    })
}

fn overlap(a: &Operand, b: &Operand) -> bool {
    a.low < b.low + b.width && b.low < a.low + a.width
}

fn bits(operand: &Operand) -> String {
    format!("{}:{}", operand.low + operand.width - 1, operand.low)
}

fn read_operand(name: &str, value: &Value, next: u32) -> Result<Operand, TextError> {
    check_name(name, value)?;
    if value.is_string() {
        let (kind, usage, width) = named_kind(value)?;
        return Ok(Operand { name: name.to_owned(), kind, usage, width, low: next, at: value.at });
    }
    let mut table = value.table()?;
    let bits = table.take("bits").map(|value| read_bits(&value)).transpose()?;
    let named = table.take("kind").filter(|kind| kind.string().is_ok_and(|text| text.text != "immediate"));
    let (kind, usage, width) = match named {
        Some(kind) => named_kind(&kind)?,
        None => immediate(&mut table, value)?,
    };
    table.finish()?;
    let (low, given) = bits.unwrap_or((next, width));
    let fits = if matches!(kind, FieldKind::Register(_)) { given == width } else { given >= width };
    if !fits {
        let what = format!("operand `{name}` has {given} bits and takes {width}");
        return Err(value.error(what));
    }
    Ok(Operand { name: name.to_owned(), kind, usage, width: given, low, at: value.at })
}

fn check_name(name: &str, value: &Value) -> Result<(), TextError> {
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_word {
        return Err(
            value.error(format!("`{name}` is no name: lower-case letters, digits and `_`, a letter first"))
        );
    }
    let is_register = name.parse::<Reg>().is_ok() || name.replacen('w', "r", 1).parse::<Reg>().is_ok();
    if is_register || name == "code" {
        return Err(value.error(format!("`{name}` means something else in expressions: take another name")));
    }
    Ok(())
}

fn named_kind(value: &Value) -> Result<(FieldKind, Use, u32), TextError> {
    let register = |role, usage| Ok((FieldKind::Register(role), usage, 4));
    match value.string()?.text.as_str() {
        "source" => register(Role::Source, Use::Free),
        "any" => register(Role::Any, Use::Free),
        "destination" => register(Role::Destination, Use::Written),
        "in-place" => register(Role::Destination, Use::Updated),
        "temporary" => register(Role::Temporary, Use::Free),
        "offset" => Ok((FieldKind::Signed { min: i16::MIN.into(), max: i16::MAX.into() }, Use::Free, 16)),
        other => Err(value.error(format!("`{other}` is no kind of operand ({KINDS})"))),
    }
}

/// An immediate; it is signed when its range starts below zero.
fn immediate(table: &mut Table, value: &Value) -> Result<(FieldKind, Use, u32), TextError> {
    let why = "an immediate has { min = .., max = .. }";
    let max_value = table.require("max", why)?;
    let min = match table.take("min") {
        Some(min) => min.integer(i32::MIN.into(), u32::MAX.into())?,
        None => 0,
    };
    let max = max_value.integer(i32::MIN.into(), u32::MAX.into())?;
    if max < min {
        return Err(max_value.error(format!("the range {min}..={max} is empty")));
    }
    if min >= 0 {
        let (min, max) = (min as u32, max as u32);
        return Ok((FieldKind::Unsigned { min, max }, Use::Free, u32::BITS - max.max(1).leading_zeros()));
    }
    let Ok(max) = i32::try_from(max) else {
        return Err(value
            .error(format!("the range {min}..={max} needs more than the 32 bits that an operand can have")));
    };
    let min = min as i32;
    let width = |number: i32| 33 - (if number < 0 { !number } else { number }).leading_zeros();
    Ok((FieldKind::Signed { min, max }, Use::Free, width(min).max(width(max))))
}

/// `"19:4"`, as listings print it: the highest bit first.
fn read_bits(value: &Value) -> Result<(u32, u32), TextError> {
    let text = value.string()?.text;
    let bits = text
        .split_once(':')
        .and_then(|(high, low)| Some((high.trim().parse::<u32>().ok()?, low.trim().parse::<u32>().ok()?)));
    match bits {
        Some((high, low)) if low <= high && high < PAYLOAD_BITS && high - low < 32 => Ok((low, high - low + 1)),
        _ => Err(value.error(format!(
            "expected bits such as \"19:4\", the higher one first, below {PAYLOAD_BITS} and at most 32 of them"
        ))),
    }
}
