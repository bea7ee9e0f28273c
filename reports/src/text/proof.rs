// SPDX-License-Identifier: GPL-2.0-or-later
//! What the prover says: a row on one line, and what a run came to.

use super::Style;
use super::line::{Block, Line, Paint, clip, width};
use super::summary::rows_by_text;
use crate::record::{Proof, ProofVerdict, Record, Row};
use crate::words::{duration, number, plural};

const OPERATION: usize = 13;
const FORM: usize = 27;
const ARCH: usize = 39;
const PAYLOADS_END: usize = 72;
const FORMULAS_END: usize = 82;
const SOLVED_END: usize = 90;
const SECONDS_END: usize = 100;

/// The headings of the columns that [`proof_line`] fills, without a newline.
pub fn proof_header(style: Style) -> String {
    let mut line = Line::at(OPERATION);
    line.put(Paint::Dim, "operation").to(FORM).put(Paint::Dim, "form").to(ARCH).put(Paint::Dim, "arch");
    line.put_right(Paint::Dim, "payloads", PAYLOADS_END).put_right(Paint::Dim, "formulas", FORMULAS_END);
    line.put_right(Paint::Dim, "solved", SOLVED_END).put_right(Paint::Dim, "time", SECONDS_END);
    line.finish(style)
}

/// A row as one line without a newline: the verdict, operation, form, architecture, payloads proved of those that there are,
/// different formulas and those that needed more than normalising, and the time; or why there is no verdict.
pub fn proof_line(row: &Row, style: Style) -> String {
    let mut line = Line::default();
    let Some(proof) = &row.proof else {
        line.put(Paint::Yellow, "--").to(OPERATION).put(Paint::Plain, &row.name);
        return line.finish(style);
    };
    line.put(paint(proof.verdict), proof.verdict.name()).to(OPERATION).put(Paint::Plain, &row.name);
    line.to(FORM).put(Paint::Plain, &row.form).to(ARCH).put(Paint::Plain, &row.arch);
    let payloads = match proof.payloads_total {
        0 => number(proof.payloads),
        total => format!("{}/{}", number(proof.payloads), at_a_glance(total)),
    };
    line.put_right(Paint::Plain, &payloads, PAYLOADS_END);
    line.put_right(Paint::Plain, &number(proof.formulas), FORMULAS_END);
    line.put_right(Paint::Plain, &number(proof.solved), SOLVED_END);
    line.put_right(Paint::Plain, &duration(proof.seconds), SECONDS_END);
    if let Some(reason) = &proof.reason {
        let rest = style.columns().saturating_sub(line.width() + 2);
        if rest >= width(reason) {
            line.put(Paint::Yellow, &format!("  {}", clip(reason, rest)));
        }
    }
    line.finish(style)
}

/// A number that may be too long for a column; beyond a billion its size is all that matters.
fn at_a_glance(value: u64) -> String {
    const LONG: u64 = 1_000_000_000;
    if value < LONG { number(value) } else { format!("{:.1e}", value as f64) }
}

const fn paint(verdict: ProofVerdict) -> Paint {
    match verdict {
        ProofVerdict::Proved => Paint::Green,
        ProofVerdict::Partial | ProofVerdict::Unsupported | ProofVerdict::Timeout => Paint::Yellow,
        ProofVerdict::Refuted => Paint::Red,
    }
}

/// What a run of the prover came to: how many rows have which verdict, payloads, formulas and time; then by name the rows without a
/// verdict and why, those that rest on algebra beyond the solver's proofs, those that rest on a declared contract, and those whose purpose no proof shows.
pub fn proof_summary(record: &Record, style: Style) -> String {
    let mut block = Block::new(style);
    let proofs = || record.ops.iter().filter_map(|row| row.proof.as_ref());
    block.line(verdicts(record));
    let sum = |of: fn(&Proof) -> u64| number(proofs().map(of).fold(0, u64::saturating_add));
    let threads = plural(record.jobs as u64, "thread");
    block.field(
        "payloads",
        Paint::Plain,
        &format!("{} in {}, {threads}", sum(|proof| proof.payloads), duration(record.elapsed_s)),
    );
    block.field(
        "formulas",
        Paint::Plain,
        &format!("{}, {} by more than normalising", sum(|proof| proof.formulas), sum(|proof| proof.solved)),
    );
    if proofs().any(|proof| proof.recalled > 0) {
        let codes = sum(|proof| proof.recalled);
        block.field("cache", Paint::Plain, &format!("{codes} codes were proved by earlier runs"));
    }
    let of =
        |row: &Row, texts: &dyn Fn(&Proof) -> Vec<String>| row.proof.as_ref().map_or_else(Vec::new, texts);
    for (label, verdict) in [("unsupported", ProofVerdict::Unsupported), ("timeout", ProofVerdict::Timeout)] {
        rows_by_text(&mut block, label, &record.ops, |row| {
            of(row, &|proof| proof.reason.iter().filter(|_| proof.verdict == verdict).cloned().collect())
        });
    }
    rows_by_text(&mut block, "algebra", &record.ops, |row| of(row, &|proof| proof.algebra.clone()));
    rows_by_text(&mut block, "contract", &record.ops, |row| row.contract.clone());
    rows_by_text(&mut block, "not shown", &record.ops, |row| row.unseen_purpose.iter().cloned().collect());
    block.finish()
}

fn verdicts(record: &Record) -> Line {
    const VERDICTS: [ProofVerdict; 5] = [
        ProofVerdict::Proved,
        ProofVerdict::Partial,
        ProofVerdict::Refuted,
        ProofVerdict::Unsupported,
        ProofVerdict::Timeout,
    ];
    let mut line = Line::default();
    for (index, verdict) in VERDICTS.into_iter().enumerate() {
        let count = record.ops.iter().filter(|row| row.proof.as_ref().is_some_and(|p| p.verdict == verdict));
        let count = count.count() as u64;
        // Proved and refuted are always told, the others where there are any.
        if count == 0 && !matches!(verdict, ProofVerdict::Proved | ProofVerdict::Refuted) {
            continue;
        }
        let text = match index {
            0 => format!("{} {}", plural(count, "row"), verdict.name()),
            _ => format!(", {} {}", number(count), verdict.name()),
        };
        line.put(if count == 0 { Paint::Plain } else { paint(verdict) }, &text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{record, row};

    fn proof(verdict: ProofVerdict) -> Proof {
        Proof {
            verdict,
            payloads: 7040,
            payloads_total: 7040,
            formulas: 12,
            solved: 3,
            recalled: 0,
            algebra: Vec::new(),
            reason: None,
            seconds: 0.25,
        }
    }

    #[test]
    fn a_row_says_how_much_was_proved_by_how_many_formulas() {
        let proved = Row { proof: Some(proof(ProofVerdict::Proved)), ..row("rotate", "imm64", "x86_64") };
        assert_eq!(
            proof_line(&proved, Style::default()),
            "proved       rotate        imm64       x86_64                7,040/7,040        12       3     0.2 s"
        );
    }

    #[test]
    fn columns_stay_where_they_are_whatever_the_number_of_payloads() {
        let totals = [7040, 999_999_999, 1_000_000_000, 25_000_000_000_000, u64::MAX];
        let lines = totals.map(|payloads_total| {
            let proof = Proof { payloads: 2500, payloads_total, ..proof(ProofVerdict::Partial) };
            proof_line(&Row { proof: Some(proof), ..row("copy", "n", "x86_64") }, Style::default())
        });
        assert_eq!(lines.clone().map(|line| line.len()), [SECONDS_END; 5]);
        for (line, payloads) in
            lines.iter().zip([" 2,500/7,040 ", "/999,999,999 ", "/1.0e9 ", "/2.5e13 ", "/1.8e19 "])
        {
            assert!(line.contains(payloads), "{line}");
        }
    }

    #[test]
    fn a_summary_names_what_is_not_proved_and_what_proofs_rest_on() {
        let algebra = Proof { algebra: vec!["sums of bits".to_owned()], ..proof(ProofVerdict::Proved) };
        let reason = Some("no semantics for `fadd st0` (d8 c0) at +0x0".to_owned());
        let unsupported = Proof { payloads: 0, reason, ..proof(ProofVerdict::Unsupported) };
        let record = record(vec![
            Row { proof: Some(algebra), ..row("popcount", "pop64", "x86_64") },
            Row { proof: Some(unsupported), ..row("odd", "form", "x86_64") },
        ]);
        let text = proof_summary(&record, Style::default());
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(lines[0], "1 row proved, 0 refuted, 1 unsupported");
        for line in [
            "formulas   24, 6 by more than normalising",
            "no semantics for `fadd st0` (d8 c0) at +0x0",
            "odd form x86_64",
            "sums of bits",
            "popcount pop64 x86_64",
        ] {
            assert!(lines.contains(&line), "{line} is not in\n{text}");
        }
    }
}
