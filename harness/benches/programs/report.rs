// SPDX-License-Identifier: GPL-2.0-or-later
//! Tables of what was measured, and the same as JSON.

use std::path::Path;

use serde::Serialize;

use crate::measure::{Row, Run, Sizes, Spread, Times};
use crate::ways::Setup;

/// What compiling 1,000 instructions may take, in microseconds.
const WANTED_COMPILE: f64 = 20.0;

/// The head of the first table.
pub fn compile_heading() {
    println!("\ncompile time in microseconds per 1,000 instructions; code in bytes, and others' by ours\n");
    println!(
        "{:16} {:>6} {:>18} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "program", "insns", "compile", "from bytes", "rbpf", "code", "guarded", "kernel", "rbpf"
    );
}

/// A line of it.
pub fn compile_row(row: &Row) {
    // A nanosecond an instruction is a microsecond for 1,000.
    let scaled = |times: &Times| {
        let times = times.as_ref().ok()?;
        Some(Spread::of(&times.iter().map(|time| time / row.insns as f64).collect::<Vec<_>>()))
    };
    let median = |times| text(scaled(times).map(|spread| format!("{:.1}", spread.median)));
    let by_own = |size| text(ratio_of_sizes(size, &row.size.own).map(|ratio| format!("{ratio:.2}")));
    println!(
        "{:16} {:6} {:>18} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8}",
        row.name,
        row.insns,
        text(scaled(&row.compile.own).map(|spread| show(spread, 1))),
        median(&row.compile.own_from_bytes),
        median(&row.compile.rbpf),
        text(row.size.own.as_ref().ok().map(usize::to_string)),
        by_own(&row.size.guarded),
        by_own(&row.size.kernel),
        by_own(&row.size.rbpf),
    );
}

/// Its last lines: what holds for all programs.
pub fn compile_summary(rows: &[Row]) {
    let insns: usize = rows.iter().map(|row| row.insns).sum();
    let per_thousand = |of: fn(&Row) -> &Times, pick: fn(&[f64]) -> f64| {
        rows.iter().filter_map(|row| Some(pick(of(row).as_ref().ok()?))).sum::<f64>() / insns as f64
    };
    let median = |times: &[f64]| Spread::of(times).median;
    let quickest = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
    let sizes = |of: fn(&Row) -> &Result<usize, String>| -> String {
        mean(&rows.iter().filter_map(|row| ratio_of_sizes(of(row), &row.size.own)).collect::<Vec<_>>())
    };
    let times: Vec<f64> = rows
        .iter()
        .filter_map(|row| ratio(&row.compile.rbpf, &row.compile.own))
        .map(|spread| spread.median)
        .collect();
    println!(
        "\nall {insns} instructions: {:.1} us per 1,000, in the quickest rounds {:.1} us (below {WANTED_COMPILE} is wanted); \
         from bytes {:.1} us, in the quickest {:.1} us",
        per_thousand(|row| &row.compile.own, median),
        per_thousand(|row| &row.compile.own, quickest),
        per_thousand(|row| &row.compile.own_from_bytes, median),
        per_thousand(|row| &row.compile.own_from_bytes, quickest)
    );
    println!(
        "geometric means by ours: rbpf's compile time {}; code: guarded {}, the kernel's {}, rbpf's {}",
        mean(&times),
        sizes(|row| &row.size.guarded),
        sizes(|row| &row.size.kernel),
        sizes(|row| &row.size.rbpf)
    );
    print_reasons(rows.iter().flat_map(|row| {
        let Sizes { own, guarded, kernel, rbpf } = &row.size;
        [own, guarded, kernel, rbpf].into_iter().filter_map(|size| size.as_ref().err())
    }));
}

fn ratio_of_sizes(size: &Result<usize, String>, by: &Result<usize, String>) -> Option<f64> {
    Some(*size.as_ref().ok()? as f64 / *by.as_ref().ok()? as f64)
}

/// The head of the second table.
pub fn run_heading() {
    println!(
        "\nrun time of our code in nanoseconds, less an empty call; others' by ours, above 1 is slower than ours\n"
    );
    println!(
        "{:16} {:>22} {:>18} {:>18} {:>18} {:>18}",
        "program", "ours", "kernel", "kernel's image", "rbpf", "ours, guarded"
    );
}

/// A line of it.
pub fn run_row(name: &str, run: &Run) {
    let own = run.own.as_ref().ok().map(|times| show(Spread::of(times), 0));
    let other = |times: &Times| text(ratio(times, &run.own).map(|spread| show(spread, 2)));
    println!(
        "{name:16} {:>22} {:>18} {:>18} {:>18} {:>18}",
        text(own),
        other(&run.kernel),
        other(&run.image),
        other(&run.rbpf),
        other(&run.guarded),
    );
}

/// Its last lines.
pub fn run_summary(rows: &[Row]) {
    let runs: Vec<&Run> = rows.iter().filter_map(|row| row.run.as_ref()).collect();
    let all = |of: fn(&Run) -> &Times| -> Vec<f64> {
        runs.iter().filter_map(|run| ratio(of(run), &run.own)).map(|spread| spread.median).collect()
    };
    println!();
    println!(
        "geometric means of {} programs: kernel {} (1 is wanted), kernel's image {}, rbpf {}, ours guarded {}",
        runs.len(),
        mean(&all(|run| &run.kernel)),
        mean(&all(|run| &run.image)),
        mean(&all(|run| &run.rbpf)),
        mean(&all(|run| &run.guarded))
    );
    print_reasons(runs.iter().flat_map(|run| {
        [&run.own, &run.guarded, &run.image, &run.kernel, &run.rbpf]
            .into_iter()
            .filter_map(|times| times.as_ref().err())
    }));
}

/// The spread of a way's times by another's, round by round.
fn ratio(times: &Times, by: &Times) -> Option<Spread> {
    let (times, by) = (times.as_ref().ok()?, by.as_ref().ok()?);
    Some(Spread::of(&times.iter().zip(by).map(|(a, b)| a / b).collect::<Vec<_>>()))
}

/// Says why columns are empty, each reason once.
fn print_reasons<'a>(reasons: impl Iterator<Item = &'a String>) {
    let mut all: Vec<&String> = reasons.collect();
    all.sort();
    let total = all.len();
    all.dedup();
    if total > 0 {
        println!("what is missing (-):");
    }
    for reason in all {
        println!("  {reason}");
    }
}

fn mean(ratios: &[f64]) -> String {
    if ratios.is_empty() {
        return "-".to_owned();
    }
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    format!("{:.2}", (logarithms / ratios.len() as f64).exp())
}

fn text(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

/// The median with the quartiles.
fn show(spread: Spread, digits: usize) -> String {
    let Spread { median, low, high } = spread;
    format!("{median:.digits$} ({low:.digits$}..{high:.digits$})")
}

/// Writes everything that was measured.
///
/// # Errors
/// What writing the file meets.
pub fn write_json(path: &Path, setup: &Setup, rows: &[Row]) -> std::io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        processor: &'a str,
        kernel: &'a str,
        /// Times are in nanoseconds, sizes in bytes; a column that is missing is an `Err` with the reason.
        programs: &'a [Row],
    }
    let document = Document { processor: &setup.processor, kernel: &setup.release, programs: rows };
    let mut text = serde_json::to_string_pretty(&document).map_err(std::io::Error::other)?;
    text.push('\n');
    std::fs::write(path, text)
}
