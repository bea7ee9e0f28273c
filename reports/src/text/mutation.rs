// SPDX-License-Identifier: GPL-2.0-or-later
//! What became of planted faults.

use super::Style;
use super::line::{Block, Line, Paint};
use crate::mutation::{Mutant, Mutation};
use crate::words::{milliseconds, number, percent};

/// How many of the mutants that took longest are named.
const SLOWEST: usize = 5;

/// The score; the rows with mutants that survived, those by name, the median time to find one and the slowest.
pub(super) fn summary(mutation: &Mutation, style: Style) -> String {
    let mut block = Block::new(style);
    let sum = |of: fn(&crate::mutation::MutationRow) -> u64| mutation.rows.iter().map(of).sum::<u64>();
    let relevant = sum(|row| row.mutants - row.equivalent);
    let mut line = Line::default();
    let paint = if mutation.holds() { Paint::Green } else { Paint::Red };
    let score = mutation.score().map_or_else(|| "no score".to_owned(), percent);
    line.put(paint, &format!("{} of {} mutants killed", number(sum(|row| row.killed)), number(relevant)));
    line.put(Paint::Plain, &format!(" ({score}), {} equivalent", number(sum(|row| row.equivalent))));
    block.line(line);
    if let Some(median) = mutation.median_detection_ms() {
        block.field("median", Paint::Plain, &format!("{} to the divergence", milliseconds(median)));
    }
    for (label, paint, lines) in
        [("dropped", Paint::Red, &mutation.dropped), ("remark", Paint::Plain, &mutation.remarks)]
    {
        lines.iter().for_each(|line| block.field(label, paint, line));
    }
    if !mutation.survivors.is_empty() {
        block.label("survived");
        for mutant in &mutation.survivors {
            mutant_lines(mutant, mutant.undecided.as_deref(), &mut block);
        }
    }
    if !mutation.slowest.is_empty() {
        block.label("slowest");
        for mutant in mutation.slowest.iter().take(SLOWEST) {
            let time = mutant.detection_ms.map(milliseconds);
            let by = mutant.killed_by.as_ref().map(|by| format!("by {by}"));
            let how: Vec<String> = time.into_iter().chain(by).collect();
            mutant_lines(mutant, Some(&how.join(" ")), &mut block);
        }
    }
    block.finish()
}

fn mutant_lines(mutant: &Mutant, note: Option<&str>, block: &mut Block) {
    let Mutant { name, form, arch, side, operator, change, payload, .. } = mutant;
    block.paragraph(4, &format!("{name} {form} {arch}, {}: {operator}, payload {payload}", side.name()));
    block.paragraph(6, change);
    if let Some(note) = note.filter(|note| !note.is_empty()) {
        block.paragraph(6, note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{lines, mutation};

    #[test]
    fn a_summary_names_the_score_survivors_and_the_slowest() {
        let expected = [
            "11 of 12 mutants killed (91.6%), 2 equivalent",
            "  median     2.0 ms to the divergence",
            "  survived",
            "    rotate imm64 x86_64, emit: immediate, payload 0x8d13",
            "      1: rol rdx, 13 -> rol rdx, 77",
            "      the solver's time was over",
            "  slowest",
            "    rotate imm64 x86_64, proof: drop, payload 0xd513",
            "      4: r3 |= r5 -> nothing",
            "      1.2 s by register on unicorn-x86_64",
        ];
        assert_eq!(summary(&mutation(), Style::default()), lines(&expected));
    }

    #[test]
    fn a_summary_tells_what_dropped_and_what_was_left_out() {
        let mutation = Mutation {
            dropped: vec!["rotate imm64 x86_64 emit: 4 of 8 mutants killed, 5 were".to_owned()],
            remarks: vec!["6 mutants left out: the time was over".to_owned()],
            ..Mutation::default()
        };
        let expected = [
            "0 of 0 mutants killed (no score), 0 equivalent",
            "  dropped    rotate imm64 x86_64 emit: 4 of 8 mutants killed, 5 were",
            "  remark     6 mutants left out: the time was over",
        ];
        assert_eq!(summary(&mutation, Style::default()), lines(&expected));
    }
}
