// SPDX-License-Identifier: GPL-2.0-or-later
//! The engines of a run, and what the run came to.

use super::Style;
use super::line::{Block, FIELD, INDENT, Line, Paint, width, wrap, wrap_items};
use super::row::kinds;
use crate::record::{Engine, Record, Row, Timings};
use crate::standing::Standing;
use crate::words::{duration, number, plural};

/// The engines, one per line: name, `available` or `absent`, and the reason. No colour, 110 columns.
pub fn engines_table(engines: &[Engine]) -> String {
    const STATUS: usize = "available".len();
    let style = Style::default();
    let mut block = Block::new(style);
    let status = engines.iter().map(|engine| width(&engine.name)).max().unwrap_or(0) + 2;
    let reason = status + STATUS + 2;
    for engine in engines {
        let mut line = Line::default();
        line.put(Paint::Plain, &engine.name).to(status);
        line.put(Paint::Plain, if engine.available { "available" } else { "absent" });
        for text in wrap(engine.reason.as_deref().unwrap_or(""), style.columns().saturating_sub(reason)) {
            line.to(reason).put(Paint::Plain, &text);
            block.line(std::mem::take(&mut line));
        }
        if line.width() > 0 {
            block.line(line);
        }
    }
    block.finish()
}

/// What the run came to: how many rows have which verdict, the engines and why some are absent, states, time, seed; then
/// by name the rows that diverge, that are untested, that rest on a declared contract, whose purpose no comparison shows, and
/// that have warnings, equal reasons once.
///
/// The divergences themselves are [`divergence`](super::divergence())'s.
pub fn summary(record: &Record, style: Style) -> String {
    let mut block = Block::new(style);
    block.line(verdict_line(record));
    let available: Vec<_> =
        record.engines.iter().filter(|engine| engine.available).map(|e| &e.name).collect();
    match available.as_slice() {
        [] => block.field("engines", Paint::Red, "none"),
        names => block.field_lines("engines", Paint::Plain, wrap_items(names, style.columns() - FIELD)),
    }
    for engine in record.engines.iter().filter(|engine| !engine.available) {
        let reason = engine.reason.as_deref().unwrap_or("no reason was recorded");
        block.field("absent", Paint::Yellow, &format!("{}: {reason}", engine.name));
    }
    let threads = plural(record.jobs as u64, "thread");
    block.field(
        "states",
        Paint::Plain,
        &format!("{} in {}, {threads}", number(record.states()), duration(record.elapsed_s)),
    );
    if let Some(timings) = &record.timings {
        block.field("time", Paint::Plain, &split(timings));
    }
    block.field("seed", Paint::Plain, &record.seed.to_string());
    rows_by_text(&mut block, "divergent", &record.ops, |row| match row.standing() {
        Standing::Divergent => vec![kinds(row)],
        _ => Vec::new(),
    });
    rows_by_text(&mut block, "known", &record.ops, known);
    rows_by_text(&mut block, "untested", &record.ops, |row| match row.standing() {
        Standing::Untested => {
            vec![row.untested.clone().unwrap_or_else(|| "no reason was recorded".to_owned())]
        }
        _ => Vec::new(),
    });
    rows_by_text(&mut block, "contract", &record.ops, |row| row.contract.clone());
    rows_by_text(&mut block, "not shown", &record.ops, |row| row.unseen_purpose.iter().cloned().collect());
    rows_by_text(&mut block, "warnings", &record.ops, |row| row.warnings.clone());
    block.finish()
}

/// Where the time went, as `compile 0.3 s, learn 0.1 s, check 2.0 s`.
fn split(timings: &Timings) -> String {
    [("compile", timings.compile_s), ("learn", timings.learn_s), ("check", timings.check_s)]
        .into_iter()
        .filter_map(|(what, seconds)| Some(format!("{what} {}", duration(seconds?))))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The known divergences of a row, each with its reason.
fn known(row: &Row) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for known in row.divergences.iter().filter_map(|divergence| divergence.known.as_ref()) {
        let text = format!("until {}: {}", known.expires, known.reason);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// How many rows stand how; known ones are told where there are any.
fn verdict_line(record: &Record) -> Line {
    let mut line = Line::default();
    for (index, standing) in Standing::ALL.into_iter().enumerate() {
        let count = record.count(standing);
        if count == 0 && standing == Standing::Known {
            continue;
        }
        let paint = match standing {
            _ if count == 0 => Paint::Plain,
            Standing::Equivalent => Paint::Green,
            Standing::Divergent => Paint::Red,
            Standing::Known | Standing::Untested => Paint::Yellow,
        };
        let counted = if index == 0 { plural(count, "row") } else { number(count) };
        line.put(Paint::Plain, if index == 0 { "" } else { ", " });
        line.put(paint, &format!("{counted} {}", standing.name()));
    }
    line
}

/// The rows of which `texts` says something, under each text once, texts in the order of the rows.
pub(super) fn rows_by_text(
    block: &mut Block,
    label: &str,
    rows: &[Row],
    texts: impl Fn(&Row) -> Vec<String>,
) {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        let name = format!("{} {} {}", row.name, row.form, row.arch);
        for text in texts(row) {
            match groups.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(name.clone()),
                None => groups.push((text, vec![name.clone()])),
            }
        }
    }
    if groups.is_empty() {
        return;
    }
    block.label(label);
    for (text, names) in &groups {
        block.paragraph(2 * INDENT, text);
        for line in wrap_items(names, block.style().columns() - 3 * INDENT) {
            block.paragraph(3 * INDENT, &line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{
        divergent, engine, lines, record, register_divergence, row, untested, without_escapes,
    };

    fn mixed() -> Record {
        let mut warned = row("rotate", "imm32", "x86_64");
        warned.warnings = vec!["payload bits 12..19 are ignored".to_owned()];
        let absent = "unicorn-aarch64 is absent";
        record(vec![
            divergent(vec![register_divergence()]),
            warned,
            row("rotate", "reg64", "x86_64"),
            untested("rotate", "imm64", absent),
            untested("rotate", "imm32", absent),
            untested("clmul", "low", "no engine here has PMULL"),
        ])
    }

    #[test]
    fn engines_are_listed_with_what_is_missing() {
        let engines = [
            engine("rbpf", None),
            engine("unicorn-aarch64", Some("built without Unicorn; build with --features unicorn")),
            engine("host", Some(&"reason ".repeat(14))),
        ];
        let expected = [
            "rbpf             available",
            "unicorn-aarch64  absent     built without Unicorn; build with --features unicorn",
            &format!("host             absent     {}", ["reason"; 11].join(" ")),
            &format!("                            {}", ["reason"; 3].join(" ")),
        ];
        assert_eq!(engines_table(&engines), lines(&expected));
        assert_eq!(engines_table(&[]), "");
    }

    #[test]
    fn a_summary_names_rows_under_equal_reasons_once() {
        let expected = [
            "2 rows equivalent, 1 divergent, 3 untested",
            "  engines    rbpf, unicorn-x86_64",
            "  absent     unicorn-aarch64: built without Unicorn; build with --features unicorn",
            "  states     60,000 in 12.3 s, 2 threads",
            "  seed       42",
            "  divergent",
            "    1 register",
            "      rotate imm64 x86_64",
            "  untested",
            "    unicorn-aarch64 is absent",
            "      rotate imm64 aarch64, rotate imm32 aarch64",
            "    no engine here has PMULL",
            "      clmul low aarch64",
            "  warnings",
            "    payload bits 12..19 are ignored",
            "      rotate imm32 x86_64",
        ];
        assert_eq!(summary(&mixed(), Style::default()), lines(&expected));
    }

    #[test]
    fn a_clean_run_has_a_short_summary() {
        let mut clean = record(vec![row("rotate", "imm64", "x86_64")]);
        clean.engines.pop();
        (clean.elapsed_s, clean.jobs) = (3725.9, 1);
        let expected = [
            "1 row equivalent, 0 divergent, 0 untested",
            "  engines    rbpf, unicorn-x86_64",
            "  states     20,000 in 62 min 5 s, 1 thread",
            "  seed       42",
        ];
        assert_eq!(summary(&clean, Style::default()), lines(&expected));
    }

    #[test]
    fn a_run_of_loaded_operations_says_where_the_time_went_and_what_was_declared() {
        let declared =
            |arch| Row { contract: vec!["dead=payload[8:11]".to_owned()], ..row("bpf_mul", "payload", arch) };
        let mut loaded = record(vec![declared("x86_64"), declared("aarch64")]);
        loaded.engines.pop();
        loaded.timings = Some(Timings { compile_s: Some(0.251), learn_s: Some(61.0), check_s: None });
        let expected = [
            "2 rows equivalent, 0 divergent, 0 untested",
            "  engines    rbpf, unicorn-x86_64",
            "  states     40,000 in 12.3 s, 2 threads",
            "  time       compile 0.3 s, learn 1 min 1 s",
            "  seed       42",
            "  contract",
            "    dead=payload[8:11]",
            "      bpf_mul payload x86_64, bpf_mul payload aarch64",
        ];
        assert_eq!(summary(&loaded, Style::default()), lines(&expected));
    }

    #[test]
    fn what_equivalence_cannot_show_is_told() {
        let row =
            |arch| Row { unseen_purpose: Some("lines are read ahead".to_owned()), ..row("p", "keep", arch) };
        let run = record(vec![row("x86_64"), row("aarch64")]);
        let expected = ["  not shown", "    lines are read ahead", "      p keep x86_64, p keep aarch64"];
        assert!(summary(&run, Style::default()).ends_with(&lines(&expected)));
    }

    #[test]
    fn color_paints_the_counts_that_are_not_zero() {
        let style = Style { color: true, ..Style::default() };
        let painted = summary(&mixed(), style);
        let first =
            "\x1b[32m2 rows equivalent\x1b[0m, \x1b[1;31m1 divergent\x1b[0m, \x1b[33m3 untested\x1b[0m\n";
        assert!(painted.starts_with(first), "{painted:?}");
        assert_eq!(without_escapes(&painted), summary(&mixed(), Style::default()));
        let clean = summary(&record(Vec::new()), style);
        assert!(clean.starts_with("0 rows equivalent, 0 divergent, 0 untested\n"), "{clean:?}");
    }

    #[test]
    fn many_untested_rows_are_broken_between_names() {
        let rows = (0..20).map(|i| untested("count_zeros", &format!("form{i}"), "no engine")).collect();
        let text = summary(&record(rows), Style::default());
        for line in text.lines() {
            assert!(line.len() <= 110 && line == line.trim_end(), "{line}");
        }
        // Names of 25 and 26 columns: three with their commas fit into 104 columns, four do not.
        assert_eq!(text.lines().filter(|line| line.starts_with("      count_zeros")).count(), 7);
    }
}
