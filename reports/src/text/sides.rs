// SPDX-License-Identifier: GPL-2.0-or-later
//! What each engine made of a case, side by side: the registers and memory that matter, faults and the frame.

use std::collections::BTreeMap;

use super::line::{Block, Line, Paint, width, wrap};
use crate::record::{Divergence, Kind, RegisterPair, Side};

/// Where the names of places begin; before them stands a mark.
const PLACE: usize = 4;

/// The columns between two columns.
const GAP: usize = 2;

/// The widest that a column is made for its contents.
const WIDEST: usize = 40;

/// The narrowest that a column is made.
const NARROWEST: usize = 10;

/// How many bytes of memory stand on a line.
const BYTES_PER_LINE: usize = 8;

/// How many lines of memory are shown; the first difference's is shown in any case.
const MEMORY_LINES: usize = 24;

/// One line of the table.
struct Entry {
    place: String,
    before: String,
    cells: Vec<Cell>,
    first_difference: bool,
}

/// What one side holds in one place.
#[derive(Clone)]
struct Cell {
    texts: Vec<String>,
    /// Whether it differs from the reference.
    differs: bool,
}

impl Cell {
    fn new(text: impl Into<String>, differs: bool) -> Self {
        Self { texts: vec![text.into()], differs }
    }

    fn width(&self) -> usize {
        self.texts.iter().map(|text| width(text)).max().unwrap_or(0)
    }
}

/// Whether the table shows the register `name` for its change or difference.
pub(super) fn shows_register(divergence: &Divergence, name: &str) -> bool {
    let sides: Vec<_> = divergence.sides.iter().collect();
    register_pairs(&sides, name).is_some_and(|pairs| is_interesting(&pairs))
}

/// The sides as a table, the reference left, the diverging engine beside it, then the others as long as they fit, and
/// those that do not in a table of their own below.
///
/// `>` marks the first difference and `*` what else differs from the reference.
pub(super) fn sides(divergence: &Divergence, block: &mut Block) {
    let sides = in_order(divergence);
    if sides.is_empty() {
        return;
    }
    let entries = entries(divergence, &sides);
    let heading = |(i, side): (usize, &&Side)| match i {
        0 => format!("{} (reference)", side.engine),
        _ => side.engine.clone(),
    };
    let headings: Vec<_> = sides.iter().enumerate().map(heading).collect();
    let places = entries.iter().map(|entry| width(&entry.place)).max().unwrap_or(0);
    let befores = entries.iter().map(|entry| width(&entry.before)).max().unwrap_or(0).max("before".len());
    let table = Table {
        entries,
        headings,
        before: PLACE + places + GAP,
        cells: PLACE + places + GAP + befores + GAP,
    };
    let mut from = 0;
    while from < sides.len() {
        let widths = table.fit(from, block.style().columns());
        table.print(from, &widths, block);
        from += widths.len();
    }
}

/// The sides, the diverging engine moved next to the reference.
fn in_order(divergence: &Divergence) -> Vec<&Side> {
    let mut sides: Vec<_> = divergence.sides.iter().collect();
    if let Some(i) = sides.iter().skip(1).position(|side| side.engine == divergence.engine) {
        sides[1..=i + 1].rotate_right(1);
    }
    sides
}

struct Table {
    entries: Vec<Entry>,
    headings: Vec<String>,
    /// The column at which values before begin.
    before: usize,
    /// The column at which the first side's values begin.
    cells: usize,
}

impl Table {
    /// The widths of as many sides as fit, beginning with side `from`: at least one, and the first two together.
    fn fit(&self, from: usize, columns: usize) -> Vec<usize> {
        let room = columns.saturating_sub(self.cells);
        let least = if from == 0 { self.headings.len().min(2) } else { 1 };
        let share = ((room + GAP) / least).saturating_sub(GAP).max(NARROWEST);
        let natural = |i: usize| {
            let cells = self.entries.iter().map(|entry| entry.cells[i].width()).max().unwrap_or(0);
            cells.max(width(&self.headings[i])).min(WIDEST)
        };
        let mut widths: Vec<usize> = Vec::new();
        for i in from..self.headings.len() {
            let taken: usize = widths.iter().map(|width| width + GAP).sum();
            if widths.len() >= least && taken + natural(i) > room {
                break;
            }
            widths.push(natural(i));
        }
        let taken = widths.iter().map(|width| width + GAP).sum::<usize>() - GAP;
        if taken > room {
            widths.iter_mut().for_each(|width| *width = (*width).min(share));
        }
        widths
    }

    fn print(&self, from: usize, widths: &[usize], block: &mut Block) {
        let starts: Vec<usize> = widths
            .iter()
            .scan(self.cells, |next, width| {
                let start = *next;
                *next += width + GAP;
                Some(start)
            })
            .collect();
        let mut line = Line::default();
        line.to(self.before).put(Paint::Dim, "before");
        for (start, heading) in starts.iter().zip(&self.headings[from..]) {
            line.to(*start).put(Paint::Bold, heading);
        }
        block.line(line);
        for entry in &self.entries {
            self.print_entry(entry, &entry.cells[from..from + widths.len()], &starts, widths, block);
        }
    }

    fn print_entry(
        &self,
        entry: &Entry,
        cells: &[Cell],
        starts: &[usize],
        widths: &[usize],
        block: &mut Block,
    ) {
        let wrapped = |(cell, width): (&Cell, &usize)| {
            cell.texts.iter().flat_map(|text| wrap(text, *width)).collect::<Vec<String>>()
        };
        let texts: Vec<_> = cells.iter().zip(widths).map(wrapped).collect();
        let height = texts.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mark = match entry.first_difference {
            true => ">",
            false if entry.cells.iter().any(|cell| cell.differs) => "*",
            false => "",
        };
        for i in 0..height {
            let mut line = Line::at(PLACE - 2);
            if i == 0 {
                let paint = if entry.first_difference { Paint::Red } else { Paint::Yellow };
                line.put(paint, mark).to(PLACE).put(Paint::Plain, &entry.place);
                line.to(self.before).put(Paint::Dim, &entry.before);
            }
            for ((cell, texts), start) in cells.iter().zip(&texts).zip(starts) {
                let paint = match cell.differs {
                    true if entry.first_difference => Paint::Red,
                    true => Paint::Yellow,
                    false => Paint::Plain,
                };
                line.to(*start).put(paint, texts.get(i).map_or("", String::as_str));
            }
            block.line(line);
        }
    }
}

fn entries(divergence: &Divergence, sides: &[&Side]) -> Vec<Entry> {
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
    use super::super::Style;
    use super::*;
    use crate::record::Difference;
    use crate::samples::{byte, lines, register_divergence, side};

    fn table(divergence: &Divergence, width: usize) -> String {
        let mut block = Block::new(Style { width, ..Style::default() });
        sides(divergence, &mut block);
        block.finish()
    }

    fn differing_at(place: &str, kind: Kind, sides: Vec<Side>) -> Divergence {
        let (expected, actual) = (String::new(), String::new());
        let first_difference = Some(Difference { r#where: place.to_owned(), expected, actual });
        Divergence { kind, first_difference, sides, ..register_divergence() }
    }

    #[test]
    fn registers_that_neither_change_nor_differ_are_left_out() {
        let registers =
            [("r0", "0x1", "0x1"), ("r1", "0x2", "0x3"), ("r2", "0x4", "0x4"), ("r9", "0x5", "0x5")];
        let mut other = registers;
        other[2].2 = "0x8";
        let divergence = differing_at(
            "r2",
            Kind::Register,
            vec![side("rbpf", &registers), side("unicorn-x86_64", &other)],
        );
        let expected = [
            "        before  rbpf (reference)  unicorn-x86_64",
            "    r1  0x2     0x3               0x3",
            "  > r2  0x4     0x4               0x8",
        ];
        assert_eq!(table(&divergence, 110), lines(&expected));
        let shown: Vec<_> =
            ["r0", "r1", "r2", "r9"].into_iter().filter(|name| shows_register(&divergence, name)).collect();
        assert_eq!(shown, ["r1", "r2"]);
    }

    #[test]
    fn engines_that_do_not_fit_stand_below() {
        let wide = [("r3", "0xffffffffffffffff", "0x8000000000000001")];
        let names = ["rbpf", "model", "unicorn-x86_64", "host", "semantics-x86_64"];
        let divergence =
            differing_at("r3", Kind::Register, names.into_iter().map(|name| side(name, &wide)).collect());
        let expected = [
            "        before              rbpf (reference)    unicorn-x86_64",
            "  > r3  0xffffffffffffffff  0x8000000000000001  0x8000000000000001",
            "        before              model               host",
            "  > r3  0xffffffffffffffff  0x8000000000000001  0x8000000000000001",
            "        before              semantics-x86_64",
            "  > r3  0xffffffffffffffff  0x8000000000000001",
        ];
        assert_eq!(table(&divergence, 80), lines(&expected));
        assert_eq!(table(&divergence, 130).lines().count(), 2);
    }

    #[test]
    fn neighbouring_bytes_stand_together_in_the_order_of_addresses() {
        let mut reference = side("rbpf", &[]);
        reference.memory = vec![
            byte("window+0x10", "00", "01"),
            byte("window+0xf", "0x00", "0xff"),
            byte("stack-0x8", "aa", "bb"),
            byte("window", "00", "07"),
        ];
        let mut other = side("unicorn-x86_64", &[]);
        other.memory =
            vec![byte("window+0xf", "00", "ff"), byte("window+0x11", "22", "33"), byte("window", "00", "07")];
        let divergence = differing_at("window+0x10", Kind::Memory, vec![reference, other]);
        let expected = [
            "                before    rbpf (reference)  unicorn-x86_64",
            "  * stack-0x8   aa        bb                aa",
            "    window      00        07                07",
            "  > window+0xf  00 00 22  ff 01 22          ff 00 33",
        ];
        assert_eq!(table(&divergence, 110), lines(&expected));
    }

    #[test]
    fn a_long_run_of_bytes_is_broken_and_shortened_but_for_the_first_difference() {
        let memory =
            |value: &str| (0..8 * 30).map(|i| byte(&format!("window+{i:#x}"), "00", value)).collect();
        let (mut reference, mut other) = (side("rbpf", &[]), side("unicorn-x86_64", &[]));
        reference.memory = memory("01");
        other.memory = memory("01");
        other.memory[8 * 28 + 3].2 = "02".to_owned();
        let text = table(&differing_at("window+0xe3", Kind::Memory, vec![reference, other]), 110);
        let expected = [
            "    window+0xb8  00 00 00 00 00 00 00 00  01 01 01 01 01 01 01 01  01 01 01 01 01 01 01 01",
            "  > window+0xe0  00 00 00 00 00 00 00 00  01 01 01 01 01 01 01 01  01 01 01 02 01 01 01 01",
            "    +5 lines",
        ];
        assert!(text.ends_with(&lines(&expected)), "{text}");
    }

    #[test]
    fn memory_in_another_notation_is_shown_as_written() {
        let (mut reference, other) = (side("rbpf", &[]), side("unicorn-x86_64", &[]));
        reference.memory = vec![byte("map 3", "0x11223344", "0x55667788")];
        let divergence = differing_at("map 3", Kind::Memory, vec![reference, other]);
        let expected = [
            "           before      rbpf (reference)  unicorn-x86_64",
            "  > map 3  0x11223344  0x55667788        -",
        ];
        assert_eq!(table(&divergence, 110), lines(&expected));
    }

    #[test]
    fn a_broken_frame_is_told_in_its_column() {
        let mut other = side("unicorn-x86_64", &[]);
        other.frame =
            vec!["rbx is 0x5, was 0x77".to_owned(), "the stack pointer is 8 bytes lower".to_owned()];
        let divergence = differing_at("rbx", Kind::Frame, vec![side("rbpf", &[]), other]);
        let expected = [
            "           before  rbpf (reference)  unicorn-x86_64",
            "  > frame          kept              rbx is 0x5, was 0x77",
            "                                     the stack pointer is 8 bytes lower",
        ];
        assert_eq!(table(&divergence, 110), lines(&expected));
    }

    #[test]
    fn faults_of_one_kind_at_two_addresses_do_not_differ() {
        let (mut reference, mut other) = (side("rbpf", &[]), side("unicorn-x86_64", &[]));
        reference.fault = Some("bad read".to_owned());
        other.fault = Some("bad read at window+0x1000".to_owned());
        let divergence = differing_at("r0", Kind::Register, vec![reference, other]);
        let expected = [
            "           before  rbpf (reference)  unicorn-x86_64",
            "    fault          bad read          bad read at window+0x1000",
        ];
        assert_eq!(table(&divergence, 110), lines(&expected));
    }

    #[test]
    fn a_side_that_began_elsewhere_says_so() {
        let sides =
            vec![side("rbpf", &[("r1", "0x1", "0x2")]), side("unicorn-x86_64", &[("r1", "0x7", "0x2")])];
        let text = table(&differing_at("", Kind::Register, sides), 110);
        assert!(text.ends_with("    r1  0x1     0x2               0x7 -> 0x2\n"), "{text}");
    }

    #[test]
    fn addresses_survive_parsing() {
        for text in ["window", "stack", "window+0x10", "stack-0x8", "0x0", "0xffffffffffffffff"] {
            assert_eq!(parse_address(text).map(|address| show_address(&address)).as_deref(), Some(text));
        }
        for text in ["", "r3", "window+16", "0x", "windows", "fault"] {
            assert_eq!(parse_address(text), None, "{text}");
        }
    }
}
