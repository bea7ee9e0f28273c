// SPDX-License-Identifier: GPL-2.0-or-later
//! A row on one line, and its classes in columns.

use super::Style;
use super::line::{Block, FIELD, INDENT, Line, Paint, clip, width, wrap_items};
use crate::record::{Kind, Row};
use crate::standing::Standing;
use crate::words::{number, plural};

const OPERATION: usize = 6;
const FORM: usize = 19;
const ARCH: usize = 30;
const AFTER_ARCH: usize = 38;
const PAYLOADS_END: usize = 54;
const STATES_END: usize = 65;
const ENGINES: usize = 67;

/// The least columns between two columns of classes.
const CLASS_GAP: usize = 4;

/// The headings of the columns that [`row_line`] fills, without a newline.
pub fn row_header(style: Style) -> String {
    let mut line = Line::at(OPERATION);
    line.put(Paint::Dim, "operation").to(FORM).put(Paint::Dim, "form").to(ARCH).put(Paint::Dim, "arch");
    line.put_right(Paint::Dim, "payloads", PAYLOADS_END).put_right(Paint::Dim, "states", STATES_END);
    line.to(ENGINES).put(Paint::Dim, "engines");
    line.finish(style)
}

/// A row as one line without a newline: `ok`, `FAIL`, `known` or `--`, operation, form, architecture, then payloads run of
/// those that there are, states, engines, kinds of divergences and warnings, or why the row is untested.
///
/// Where the width does not suffice, the first warning's text gives way, then the engines' names to their number. A name
/// that is longer than its column moves the rest of its line.
pub fn row_line(row: &Row, style: Style) -> String {
    let mut line = Line::default();
    let (paint, mark) = match row.standing() {
        Standing::Equivalent => (Paint::Green, "ok"),
        Standing::Divergent => (Paint::Red, "FAIL"),
        Standing::Known => (Paint::Yellow, "known"),
        Standing::Untested => (Paint::Yellow, "--"),
    };
    line.put(paint, mark).to(OPERATION).put(Paint::Plain, &row.name);
    line.to(FORM).put(Paint::Plain, &row.form).to(ARCH).put(Paint::Plain, &row.arch);
    if row.standing() == Standing::Untested {
        let reason = row.untested.as_deref().unwrap_or("no reason was recorded");
        line.to(AFTER_ARCH);
        let rest = style.columns().saturating_sub(line.width());
        line.put(Paint::Yellow, &clip(&format!("untested: {reason}"), rest));
        return line.finish(style);
    }
    line.put_right(Paint::Plain, &payloads(row), PAYLOADS_END);
    line.put_right(Paint::Plain, &number(row.states), STATES_END).to(ENGINES);
    let rest = style.columns().saturating_sub(line.width());
    let (engines, notes) = engines_and_notes(row, rest);
    line.put(Paint::Plain, &engines)
        .put(if row.divergences.is_empty() { Paint::Yellow } else { Paint::Red }, &notes);
    line.finish(style)
}

fn payloads(row: &Row) -> String {
    match row.payloads_total {
        0 => number(row.payloads),
        total => format!("{}/{}", number(row.payloads), number(total)),
    }
}

/// The longest wording of engines and notes that fits into `columns`.
fn engines_and_notes(row: &Row, columns: usize) -> (String, String) {
    // Every payload that ran is known to be proved for all inputs.
    let proved = match &row.proof {
        Some(proof) if proof.payloads == 0 || proof.payloads < row.payloads => "",
        Some(proof) if proof.formulas == 0 => "  proved (cache)",
        Some(_) => "  proved",
        None => "",
    };
    let names = if row.engines.is_empty() { "no engine".to_owned() } else { row.engines.join(" ") } + proved;
    let count = plural(row.engines.len() as u64, "engine") + proved;
    let warnings = plural(row.warnings.len() as u64, "warning");
    let (long, short) = match row.warnings.as_slice() {
        [] => (String::new(), String::new()),
        [only] => (format!("  {warnings}: {only}"), format!("  {warnings}")),
        _ => (format!("  {warnings}"), format!("  {warnings}")),
    };
    let kinds = match kinds(row) {
        kinds if kinds.is_empty() => kinds,
        kinds => format!("  {kinds}"),
    };
    let wordings = [(&names, &long), (&names, &short), (&count, &long), (&count, &short)];
    for (engines, warnings) in wordings {
        if width(engines) + width(&kinds) + width(warnings) <= columns {
            return (engines.clone(), format!("{kinds}{warnings}"));
        }
    }
    let notes = clip(&format!("{kinds}{short}"), columns.saturating_sub(width(&count)));
    (count, notes)
}

/// How many divergences there are of each kind, as `2 register, 1 fault`.
pub(super) fn kinds(row: &Row) -> String {
    let of = |kind: Kind| row.divergences.iter().filter(|divergence| divergence.kind == kind).count();
    let counts = Kind::ALL.into_iter().map(|kind| (of(kind), kind)).filter(|(count, _)| *count > 0);
    counts.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

/// What `-v` tells about a row: how often each class of operands and values occurred, in columns, `never` for a class
/// that did not; before it the native code's variants by CPU features, the declared contract and what native code
/// clobbers. No colour, 110 columns.
pub fn verbose_classes(row: &Row) -> String {
    let mut block = Block::new(Style::default());
    block.paragraph(
        0,
        &format!(
            "{} {} {}: {}, {} observed; {} run, {} inspected",
            row.name,
            row.form,
            row.arch,
            plural(row.states, "state"),
            number(row.observed),
            plural(row.payloads, "payload"),
            number(row.payloads_inspected)
        ),
    );
    for variant in &row.variants {
        let outcome = match &variant.untested {
            Some(reason) => format!("untested: {reason}"),
            None => plural(variant.states, "state"),
        };
        block.field("features", Paint::Plain, &format!("{}: {outcome}", variant.features));
    }
    let unseen: Vec<String> = row.unseen_purpose.iter().cloned().collect();
    for (label, texts) in [("contract", &row.contract), ("not shown", &unseen), ("clobbers", &row.clobbers)] {
        if !texts.is_empty() {
            block.field_lines(label, Paint::Plain, wrap_items(texts, block.style().columns() - FIELD));
        }
    }
    if !row.classes.is_empty() {
        block.label("classes");
        classes(row, &mut block);
    }
    block.finish()
}

/// The classes in as many columns as fit, to be read downwards.
fn classes(row: &Row, block: &mut Block) {
    let count = |n: u64| if n == 0 { "never".to_owned() } else { number(n) };
    let names = row.classes.keys().map(|name| width(name)).max().unwrap_or(0);
    let counts = row.classes.values().map(|n| width(&count(*n))).max().unwrap_or(0);
    let (from, cell) = (2 * INDENT, names + 2 + counts);
    let columns = ((block.style().columns() - from + CLASS_GAP) / (cell + CLASS_GAP)).max(1);
    let lines = row.classes.len().div_ceil(columns);
    let entries: Vec<_> = row.classes.iter().collect();
    for i in 0..lines {
        let mut line = Line::default();
        for (column, (name, n)) in entries.iter().skip(i).step_by(lines).enumerate() {
            let start = from + column * (cell + CLASS_GAP);
            line.to(start).put(Paint::Plain, name).put_right(Paint::Plain, &count(**n), start + cell);
        }
        block.line(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Variant;
    use crate::samples::{
        divergent, fault_divergence, lines, register_divergence, row, untested, without_escapes,
    };

    const PLAIN: Style = Style { color: false, width: 110 };

    #[test]
    fn an_equivalent_row_is_aligned_below_its_header() {
        assert_eq!(
            lines(&[row_header(PLAIN), row_line(&row("rotate", "imm64", "x86_64"), PLAIN)]),
            lines(&[
                "      operation    form       arch            payloads     states  engines",
                "ok    rotate       imm64      x86_64      1,408/85,184     20,000  rbpf model unicorn-x86_64 host",
            ])
        );
    }

    #[test]
    fn the_longest_names_of_the_catalog_and_large_counts_keep_their_columns() {
        let large = Row {
            payloads_total: 7_929_856,
            states: 1_000_000,
            ..row("swapped_load", "trailing64", "aarch64")
        };
        assert_eq!(
            row_line(&large, PLAIN),
            "ok    swapped_load trailing64 aarch64  1,408/7,929,856  1,000,000  rbpf model unicorn-x86_64 host"
        );
    }

    #[test]
    fn an_untested_row_says_why() {
        let row = untested("clmul", "low", "unicorn-aarch64 is absent");
        assert_eq!(
            row_line(&row, PLAIN),
            "--    clmul        low        aarch64 untested: unicorn-aarch64 is absent"
        );
        let long = untested("clmul", "low", &"reason ".repeat(20));
        let line = row_line(&long, PLAIN);
        assert!(line.ends_with(" reason rea..."), "{line}");
        assert_eq!(line.len(), 110);
    }

    #[test]
    fn a_divergent_row_counts_its_kinds() {
        let row = divergent(vec![fault_divergence(), register_divergence(), register_divergence()]);
        assert_eq!(
            row_line(&row, PLAIN),
            "FAIL  rotate       imm64      x86_64      1,408/85,184     20,000  4 engines  2 register, 1 fault"
        );
        assert_eq!(
            row_line(&row, Style { width: 120, ..PLAIN }),
            "FAIL  rotate       imm64      x86_64      1,408/85,184     20,000  \
             rbpf model unicorn-x86_64 host  2 register, 1 fault"
        );
    }

    #[test]
    fn warnings_give_way_where_the_width_does_not_suffice() {
        let mut row = row("rotate", "imm64", "x86_64");
        row.warnings = vec!["payload bits 12..19 are ignored".to_owned()];
        let notes = |row: &Row, width| row_line(row, Style { width, ..PLAIN }).split_off(ENGINES);
        assert_eq!(
            notes(&row, 150),
            "rbpf model unicorn-x86_64 host  1 warning: payload bits 12..19 are ignored"
        );
        assert_eq!(notes(&row, 110), "rbpf model unicorn-x86_64 host  1 warning");
        assert_eq!(notes(&row, 90), "4 engines  1 warning");
        assert_eq!(notes(&row, 80), "4 engines...");
        row.warnings.push("another".to_owned());
        assert_eq!(notes(&row, 110), "rbpf model unicorn-x86_64 host  2 warnings");
    }

    #[test]
    fn payloads_that_are_not_enumerable_have_no_total() {
        let row = Row { payloads_total: 0, ..row("rotate", "imm64", "x86_64") };
        assert_eq!(
            row_line(&row, PLAIN),
            "ok    rotate       imm64      x86_64             1,408     20,000  rbpf model unicorn-x86_64 host"
        );
    }

    #[test]
    fn color_paints_the_mark() {
        let style = Style { color: true, ..PLAIN };
        let rows = [
            (row("rotate", "imm64", "x86_64"), "\x1b[32mok\x1b[0m    rotate "),
            (divergent(vec![register_divergence()]), "\x1b[1;31mFAIL\x1b[0m  rotate "),
            (untested("rotate", "imm64", "no engine"), "\x1b[33m--\x1b[0m    rotate "),
        ];
        for (row, start) in rows {
            let line = row_line(&row, style);
            assert!(line.starts_with(start), "{line:?}");
            assert_eq!(without_escapes(&line), row_line(&row, PLAIN));
        }
        assert_eq!(without_escapes(&row_header(style)), row_header(PLAIN));
    }

    #[test]
    fn classes_stand_in_columns_to_be_read_downwards() {
        let mut row = row("rotate", "imm64", "x86_64");
        let variant = |features: &str, states, untested: Option<&str>| Variant {
            features: features.to_owned(),
            states,
            untested: untested.map(str::to_owned),
        };
        row.variants = vec![variant("none", 20_000, None), variant("bmi2", 0, Some("no engine here has it"))];
        row.contract = vec!["dead=r3".to_owned()];
        row.clobbers = ["r11", "flags", "r12 (restored)"].map(str::to_owned).to_vec();
        for (i, name) in
            ["dst=src", "amount=0", "amount=max", "value ones", "value zero"].into_iter().enumerate()
        {
            row.classes.insert(format!("{name:.<24}"), 1000 * i as u64);
        }
        let expected = [
            "rotate imm64 x86_64: 20,000 states, 312 observed; 1,408 payloads run, 90,000 inspected",
            "  features   none: 20,000 states",
            "  features   bmi2: untested: no engine here has it",
            "  contract   dead=r3",
            "  clobbers   r11, flags, r12 (restored)",
            "  classes",
            "    amount=0................  1,000    dst=src.................  never    value zero..............  4,000",
            "    amount=max..............  2,000    value ones..............  3,000",
        ];
        assert_eq!(verbose_classes(&row), lines(&expected));
    }

    #[test]
    fn any_number_of_classes_is_shown_whole_and_fits() {
        for count in 0..40 {
            let mut row = row("rotate", "imm64", "x86_64");
            row.classes = (0..count).map(|i| (format!("class {i}"), i)).collect();
            let text = verbose_classes(&row);
            assert!(text.lines().all(|line| line.len() <= 110 && line == line.trim_end()), "{text}");
            for i in 1..count {
                assert_eq!(text.matches(&format!("class {i} ")).count(), 1, "{text}");
            }
            assert_eq!(text.matches("never").count(), usize::from(count > 0));
        }
    }
}
