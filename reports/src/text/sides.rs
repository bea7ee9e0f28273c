// SPDX-License-Identifier: GPL-2.0-or-later
//! What each engine made of a case, side by side: the registers and memory that matter, faults and the frame.

use super::line::{Block, Line, Paint, width, wrap};
use crate::record::{Divergence, Side};
use crate::states::{Cell, Entry, entries, in_order};

/// Where the names of places begin; before them stands a mark.
const PLACE: usize = 4;

/// The columns between two columns.
const GAP: usize = 2;

/// The widest that a column is made for its contents.
const WIDEST: usize = 40;

/// The narrowest that a column is made.
const NARROWEST: usize = 10;

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
            let cells = self.entries.iter().map(|entry| cell_width(&entry.cells[i])).max().unwrap_or(0);
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

fn cell_width(cell: &Cell) -> usize {
    cell.texts.iter().map(|text| width(text)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::Style;
    use super::*;
    use crate::record::{Difference, Kind};
    use crate::samples::{byte, lines, register_divergence, side};
    use crate::states::shows_register;

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
}
