// SPDX-License-Identifier: GPL-2.0-or-later
//! What each engine made of a case, place by place: the registers and memory that matter, faults and the frame.

use std::collections::BTreeMap;

use crate::record::{Divergence, Kind, RegisterPair, Side};

/// How many bytes of memory stand on a line.
const BYTES_PER_LINE: usize = 8;

/// How many lines of memory are shown; the first difference's is shown in any case.
const MEMORY_LINES: usize = 24;

/// One line of the table.
pub(crate) struct Entry {
    /// `r3`, `window+0x10`, `fault` or `frame`.
    pub(crate) place: String,
    /// What was there before; empty where that makes no sense.
    pub(crate) before: String,
    /// What each side left there.
    pub(crate) cells: Vec<Cell>,
    /// Whether it is the divergence's first difference.
    pub(crate) first_difference: bool,
}

/// What one side holds in one place.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) texts: Vec<String>,
    /// Whether it differs from the reference.
    pub(crate) differs: bool,
}

impl Cell {
    fn new(text: impl Into<String>, differs: bool) -> Self {
        Self { texts: vec![text.into()], differs }
    }
}

/// Whether the table shows the register `name` for its change or difference.
pub(crate) fn shows_register(divergence: &Divergence, name: &str) -> bool {
    let sides: Vec<_> = divergence.sides.iter().collect();
    register_pairs(&sides, name).is_some_and(|pairs| is_interesting(&pairs))
}

/// Whether `engine` left something else than the reference at the first difference, or is the one that the divergence was seen
/// on. Elsewhere engines may differ and be right: a model leaves temporaries alone.
pub(crate) fn differs(divergence: &Divergence, engine: &str) -> bool {
    let sides = in_order(divergence);
    let side = sides.iter().position(|side| side.engine == engine);
    let entries = entries(divergence, &sides);
    let first = entries.iter().find(|entry| entry.first_difference);
    let is_other = |side: usize| first.is_some_and(|entry| entry.cells[side].differs);
    divergence.engine == engine || side.is_some_and(is_other)
}

/// The sides, the diverging engine moved next to the reference.
pub(crate) fn in_order(divergence: &Divergence) -> Vec<&Side> {
    let mut sides: Vec<_> = divergence.sides.iter().collect();
    if let Some(i) = sides.iter().skip(1).position(|side| side.engine == divergence.engine) {
        sides[1..=i + 1].rotate_right(1);
    }
    sides
}

/// The places in which something changed or differs; the cells are in the order of `sides`, of which the first is the reference.
pub(crate) fn entries(divergence: &Divergence, sides: &[&Side]) -> Vec<Entry> {
    let place = divergence.first_difference.as_ref().map_or("", |difference| difference.r#where.as_str());
    let mut entries = registers(sides, place);
    entries.extend(memory(sides, place));
    entries.extend(fault(sides, place));
    let elsewhere = divergence.kind == Kind::Frame && !entries.iter().any(|entry| entry.first_difference);
    entries.extend(frame(sides, elsewhere));
    entries
}

/// The registers that changed on a side or differ between sides, in the order of the sides' lists.
fn registers(sides: &[&Side], first_difference: &str) -> Vec<Entry> {
    let mut names: Vec<&str> = Vec::new();
    for pair in sides.iter().flat_map(|side| &side.registers) {
        if !names.contains(&pair.name.as_str()) {
            names.push(&pair.name);
        }
    }
    let entry = |name: &str| {
        let pairs = register_pairs(sides, name).filter(|pairs| is_interesting(pairs))?;
        let before = pairs.iter().flatten().next().map_or("", |pair| pair.before.as_str());
        let reference = pairs[0];
        let cell = |pair: &Option<&RegisterPair>| match pair {
            None => Cell::new("-", false),
            Some(pair) => {
                let text = match pair.before == before {
                    true => pair.after.clone(),
                    false => format!("{} -> {}", pair.before, pair.after),
                };
                Cell::new(text, reference.is_some_and(|reference| reference.after != pair.after))
            }
        };
        Some(Entry {
            place: name.to_owned(),
            before: before.to_owned(),
            cells: pairs.iter().map(cell).collect(),
            first_difference: name == first_difference,
        })
    };
    names.into_iter().filter_map(entry).collect()
}

/// What each side has for a register; `None` where none has it.
fn register_pairs<'a>(sides: &[&'a Side], name: &str) -> Option<Vec<Option<&'a RegisterPair>>> {
    let find = |side: &&'a Side| side.registers.iter().find(|pair| pair.name == name);
    let pairs: Vec<_> = sides.iter().map(find).collect();
    pairs.iter().any(Option::is_some).then_some(pairs)
}

fn is_interesting(pairs: &[Option<&RegisterPair>]) -> bool {
    let mut known = pairs.iter().flatten();
    known.clone().any(|pair| pair.before != pair.after)
        || known.next().is_some_and(|first| known.any(|pair| pair.after != first.after))
}

/// An address: the name of what it is relative to, which may be empty, and the distance.
type Address = (String, i128);

/// The inverse of [`show_address`].
fn parse_address(text: &str) -> Option<Address> {
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok().map(i128::from);
    if let Some(digits) = text.strip_prefix("0x") {
        return Some((String::new(), hex(digits)?));
    }
    if let Some((base, digits)) = text.split_once("+0x") {
        return Some((base.to_owned(), hex(digits)?));
    }
    if let Some((base, digits)) = text.split_once("-0x") {
        return Some((base.to_owned(), -hex(digits)?));
    }
    matches!(text, "window" | "stack").then(|| (text.to_owned(), 0))
}

/// An address as `window+0x10`, `stack-0x8` or `0x1000`.
fn show_address((base, distance): &Address) -> String {
    match (base.as_str(), distance) {
        ("", _) => format!("{distance:#x}"),
        (_, 0) => base.clone(),
        (_, 1..) => format!("{base}+{distance:#x}"),
        _ => format!("{base}-{:#x}", distance.unsigned_abs()),
    }
}

fn parse_byte(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// A byte that changed on a side: its value before, and after on the sides that changed it.
struct Byte {
    before: u8,
    after: Vec<Option<u8>>,
}

impl Byte {
    fn after(&self, side: usize) -> u8 {
        self.after[side].unwrap_or(self.before)
    }
}

/// The memory that changed: neighbouring bytes together, in the order of addresses; what is no byte at an address comes
/// last as it is written.
fn memory(sides: &[&Side], first_difference: &str) -> Vec<Entry> {
    let mut bytes: BTreeMap<Address, Byte> = BTreeMap::new();
    let mut others: Vec<(&str, &str, Vec<Option<&str>>)> = Vec::new();
    for (i, side) in sides.iter().enumerate() {
        for (address, before, after) in &side.memory {
            if let (Some(address), Some(before), Some(after)) =
                (parse_address(address), parse_byte(before), parse_byte(after))
            {
                let byte =
                    bytes.entry(address).or_insert_with(|| Byte { before, after: vec![None; sides.len()] });
                byte.after[i] = Some(after);
                continue;
            }
            match others.iter_mut().find(|(known, ..)| known == address) {
                Some((.., afters)) => afters[i] = Some(after),
                None => {
                    let mut afters = vec![None; sides.len()];
                    afters[i] = Some(after.as_str());
                    others.push((address, before, afters));
                }
            }
        }
    }
    let mut entries: Vec<_> = runs(bytes).iter().map(|run| run_entry(run, first_difference)).collect();
    entries.extend(others.into_iter().map(|(address, before, afters)| {
        let reference = afters[0];
        let cells = afters.iter().map(|after| Cell::new(after.unwrap_or("-"), *after != reference));
        Entry {
            place: address.to_owned(),
            before: before.to_owned(),
            cells: cells.collect(),
            first_difference: address == first_difference,
        }
    }));
    shortened(entries)
}

/// Bytes next to each other, at most [`BYTES_PER_LINE`] together.
fn runs(bytes: BTreeMap<Address, Byte>) -> Vec<Vec<(Address, Byte)>> {
    let mut runs: Vec<Vec<(Address, Byte)>> = Vec::new();
    for (address, byte) in bytes {
        let follows = |run: &Vec<(Address, Byte)>| {
            let (base, distance) = &run[0].0;
            run.len() < BYTES_PER_LINE && *base == address.0 && distance + run.len() as i128 == address.1
        };
        match runs.last_mut() {
            Some(run) if follows(run) => run.push((address, byte)),
            _ => runs.push(vec![(address, byte)]),
        }
    }
    runs
}

fn run_entry(run: &[(Address, Byte)], first_difference: &str) -> Entry {
    let hex = |value: &dyn Fn(&Byte) -> u8| {
        let bytes = run.iter().map(|(_, byte)| format!("{:02x}", value(byte)));
        bytes.collect::<Vec<_>>().join(" ")
    };
    let sides = run[0].1.after.len();
    let reference = hex(&|byte| byte.after(0));
    let cell = |side: usize| {
        let text = hex(&|byte| byte.after(side));
        let differs = text != reference;
        Cell::new(text, differs)
    };
    let place = parse_address(first_difference);
    Entry {
        place: show_address(&run[0].0),
        before: hex(&|byte| byte.before),
        cells: (0..sides).map(cell).collect(),
        first_difference: run.iter().any(|(address, _)| Some(address) == place.as_ref()),
    }
}

/// The first lines of memory and the first difference's, and how many there are besides.
fn shortened(entries: Vec<Entry>) -> Vec<Entry> {
    let (all, sides) = (entries.len(), entries.first().map_or(0, |entry| entry.cells.len()));
    let shown = |(i, entry): (usize, Entry)| (i < MEMORY_LINES || entry.first_difference).then_some(entry);
    let mut entries: Vec<_> = entries.into_iter().enumerate().filter_map(shown).collect();
    if entries.len() < all {
        entries.push(Entry {
            place: format!("+{} lines", all - entries.len()),
            before: String::new(),
            cells: vec![Cell::new("", false); sides],
            first_difference: false,
        });
    }
    entries
}

/// The faults, when a side has one; two that differ in their address alone count as equal.
fn fault(sides: &[&Side], first_difference: &str) -> Option<Entry> {
    let text = |side: &Side| side.fault.clone().unwrap_or_else(|| "none".to_owned());
    let kind = |side: &Side| text(side).split(" at ").next().map(str::to_owned);
    sides.iter().any(|side| side.fault.is_some()).then(|| Entry {
        place: "fault".to_owned(),
        before: String::new(),
        cells: sides.iter().map(|side| Cell::new(text(side), kind(side) != kind(sides[0]))).collect(),
        first_difference: first_difference == "fault",
    })
}

/// The broken rules of the frame, when a side breaks one.
fn frame(sides: &[&Side], first_difference: bool) -> Option<Entry> {
    let cell = |side: &&Side| match side.frame.as_slice() {
        [] => Cell::new("kept", false),
        breaches => Cell { texts: breaches.to_vec(), differs: true },
    };
    sides.iter().any(|side| !side.frame.is_empty()).then(|| Entry {
        place: "frame".to_owned(),
        before: String::new(),
        cells: sides.iter().map(cell).collect(),
        first_difference,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_parsing() {
        for text in ["window", "stack", "window+0x10", "stack-0x8", "0x0", "0xffffffffffffffff"] {
            assert_eq!(parse_address(text).map(|address| show_address(&address)).as_deref(), Some(text));
        }
        for text in ["", "r3", "window+16", "0x", "windows", "fault"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }

    #[test]
    fn every_engine_that_leaves_something_else_differs() {
        let found = crate::samples::register_divergence();
        let engines = ["rbpf", "model", "unicorn-x86_64", "host", "spec"];
        let differing: Vec<_> = engines.into_iter().filter(|engine| differs(&found, engine)).collect();
        assert_eq!(differing, ["unicorn-x86_64", "host"]);
    }
}
