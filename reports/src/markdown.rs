// SPDX-License-Identifier: GPL-2.0-or-later
//! A record as Markdown, for the summary of a job on GitHub: the verdict, a table of rows, divergences folded.
//!
//! Texts from records are escaped, so that an operation's name can neither break a table nor become HTML.

use std::fmt::Write as _;

use crate::mutation::Mutation;
use crate::record::{Divergence, Record, Row};
use crate::standing::Standing;
use crate::text::{Style, divergence};
use crate::words::{duration, headline, milliseconds, number, percent, plural};

/// GitHub refuses a summary of more than 1 MiB; divergences beyond this many bytes are counted, not shown.
const LONGEST: usize = 900_000;

/// The record as Markdown.
pub fn markdown(record: &Record) -> String {
    let mut text = String::new();
    let sign = if record.holds() { "\u{2705}" } else { "\u{274c}" };
    let _ = writeln!(text, "## {sign} kop: {}\n\n{}\n", headline(record), facts(record));
    if !record.ops.is_empty() {
        text.push_str(&table(record));
        text.push('\n');
    }
    if let Some(mutation) = &record.mutation {
        text.push_str(&mutants(mutation));
    }
    text.push_str(&remarks(record));
    divergences(record, &mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn facts(record: &Record) -> String {
    let engines = record.engines.iter().filter(|engine| engine.available).map(|engine| inline(&engine.name));
    let engines: Vec<String> = engines.collect();
    let time = format!("{} on {}", duration(record.elapsed_s), plural(record.jobs as u64, "thread"));
    let mut text = match record.states() {
        0 => format!("{time}, seed {}.", record.seed),
        states => format!("{} in {time}, seed {}.", plural(states, "state"), record.seed),
    };
    if !engines.is_empty() {
        let _ = write!(text, " Engines: {}.", engines.join(", "));
    }
    text
}

fn table(record: &Record) -> String {
    let mut text = String::from(
        "| verdict | operation | form | architecture | payloads | states | engines | proof |\n\
         |---|---|---|---|--:|--:|---|---|\n",
    );
    for row in &record.ops {
        let (name, form, arch) = (inline(&row.name), inline(&row.form), inline(&row.arch));
        let proof = row.proof.as_ref().map_or("", |proof| proof.verdict.name());
        let verdict = verdict(row.standing());
        let _ = write!(text, "| {verdict} | {name} | {form} | {arch} ");
        let _ = match &row.untested {
            Some(reason) if row.standing() == Standing::Untested => {
                writeln!(text, "| | | {} | {proof} |", inline(reason))
            }
            _ if row.is_proof_alone() => writeln!(text, "| | | | {proof} |"),
            _ => {
                let (payloads, states) = (number(row.payloads), number(row.states));
                let engines: Vec<String> = row.engines.iter().map(|engine| inline(engine)).collect();
                writeln!(text, "| {payloads} | {states} | {} | {proof} |", engines.join(", "))
            }
        };
    }
    text
}

/// A word with a sign, so that failures are seen in a long table.
const fn verdict(standing: Standing) -> &'static str {
    match standing {
        Standing::Equivalent => "equivalent",
        Standing::Divergent => "\u{274c} **divergent**",
        Standing::Known => "\u{26a0}\u{fe0f} known",
        Standing::Untested => "\u{2796} untested",
    }
}

fn mutants(mutation: &Mutation) -> String {
    let mut text = String::from("### Mutants\n\n");
    let score = mutation.score().map_or_else(|| "no score".to_owned(), percent);
    let survivors = plural(mutation.survivors.len() as u64, "survivor");
    let median = mutation.median_detection_ms().map(milliseconds);
    let median = median.map_or_else(String::new, |median| format!(", median time to detection {median}"));
    let _ = writeln!(text, "Score {score}, {survivors}{median}.\n");
    for drop in &mutation.dropped {
        let _ = writeln!(text, "- \u{274c} mutation score dropped: {}", inline(drop));
    }
    for mutant in &mutation.survivors {
        let (name, form, arch) = (inline(&mutant.name), inline(&mutant.form), inline(&mutant.arch));
        let _ = writeln!(
            text,
            "- \u{274c} survived: {name} {form} {arch}, {} {}: {} (payload {})",
            mutant.side.name(),
            inline(&mutant.operator),
            inline(&mutant.change),
            inline(&mutant.payload)
        );
    }
    for remark in &mutation.remarks {
        let _ = writeln!(text, "- {}", inline(remark));
    }
    if !(mutation.holds() && mutation.remarks.is_empty()) {
        text.push('\n');
    }
    text
}

/// What is known, purposes that equivalence does not show, and warnings, each with the rows it is about, folded.
fn remarks(record: &Record) -> String {
    let mut lines = String::new();
    for row in &record.ops {
        for known in row.divergences.iter().filter_map(|divergence| divergence.known.as_ref()) {
            let (title, reason) = (inline(&row.title()), inline(&known.reason));
            let _ = writeln!(lines, "- {title}: known until {}: {reason}", inline(&known.expires));
        }
        if let Some(purpose) = &row.unseen_purpose {
            let _ = writeln!(
                lines,
                "- {}: equivalence does not show that {}",
                inline(&row.title()),
                inline(purpose)
            );
        }
        for warning in &row.warnings {
            let _ = writeln!(lines, "- {}: {}", inline(&row.title()), inline(warning));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!("<details><summary>Remarks</summary>\n\n{lines}\n</details>\n\n")
}

fn divergences(record: &Record, text: &mut String) {
    let mut left_out = 0;
    for (row, found) in record.divergences() {
        let block = folded(row, found);
        if text.len() + block.len() > LONGEST {
            left_out += 1;
            continue;
        }
        text.push_str(&block);
    }
    if left_out > 0 {
        let _ = writeln!(text, "{} more, which are too long for a summary.", plural(left_out, "divergence"));
    }
}

fn folded(row: &Row, found: &Divergence) -> String {
    let known = if found.known.is_some() { " (known)" } else { "" };
    let title = format!("{}: {} divergence{known}", row.title(), found.kind);
    let block = divergence(found, row, Style::default());
    let fence = fence(&block);
    format!("<details><summary>{}</summary>\n\n{fence}text\n{block}{fence}\n\n</details>\n\n", inline(&title))
}

/// Backticks, more than `text` has in a row anywhere.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Text on one line in which nothing is markup, in a table or in HTML.
pub(crate) fn inline(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            // As entities they are right in HTML, in tables and in text alike.
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '$' | '@' | '!' => {
                let _ = write!(plain, "&#{};", u32::from(c));
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::{Date, KnownList};
    use crate::samples::{KNOWN, divergent, mutation, proved, record, register_divergence, row, untested};

    #[test]
    fn a_summary_reads_from_verdict_to_divergences() {
        let rows = vec![
            divergent(vec![register_divergence()]),
            untested("clmul", "low", "no engine here has PMULL"),
            proved("select", "test64", "aarch64"),
        ];
        let text = markdown(&record(rows));
        let expected = "\
## \u{274c} kop: 1 of 3 rows divergent

20,000 states in 12.3 s on 2 threads, seed 42. Engines: rbpf, unicorn-x86&#95;64.

| verdict | operation | form | architecture | payloads | states | engines | proof |
|---|---|---|---|--:|--:|---|---|
| \u{274c} **divergent** | rotate | imm64 | x86&#95;64 | 1,408 | 20,000 | rbpf, model, unicorn-x86&#95;64, host |  |
| \u{2796} untested | clmul | low | aarch64 | | | no engine here has PMULL |  |
| equivalent | select | test64 | aarch64 | | | | proved |

<details><summary>rotate imm64 x86&#95;64: register divergence</summary>

```text
register divergence: rotate imm64 x86_64, unicorn-x86_64 against rbpf
";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("```\n\n</details>\n"), "{text}");
    }

    #[test]
    fn what_is_known_is_no_failure_and_says_why() {
        let mut record = record(vec![divergent(vec![register_divergence()])]);
        let today = Date::try_from("2026-12-01".to_owned()).expect("a day");
        assert!(KnownList::parse(KNOWN).expect("a list").apply(&mut record, today).complaints.is_empty());
        let text = markdown(&record);
        assert!(text.starts_with("## \u{2705} kop: no new divergence; 1 row known\n"), "{text}");
        assert!(text.contains("- rotate imm64 x86&#95;64: known until 2027-01-31: fixed soon\n"), "{text}");
    }

    #[test]
    fn survivors_are_a_failure() {
        let text = markdown(&Record { mutation: Some(mutation()), ..record(vec![row("a", "b", "aarch64")]) });
        assert!(text.starts_with("## \u{274c} kop: 1 mutant survived\n"), "{text}");
        assert!(text.contains("Score 91.6%, 1 survivor, median time to detection 2.0 ms."), "{text}");
    }

    #[test]
    fn names_are_no_markup() {
        let text = markdown(&record(vec![row("a|b\n<img src=x>`*_", "f", "none")]));
        let line = text.lines().find(|line| line.contains("img")).expect("the row");
        assert_eq!(line.matches('|').count(), 9, "{line}");
        assert!(line.contains("a&#124;b &lt;img src=x&gt;&#96;&#42;&#95;"), "{line}");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!((fence("a ```` b"), fence(""), fence("`")), ("`````".into(), "```".into(), "```".into()));
    }

    #[test]
    fn a_summary_keeps_below_its_limit() {
        let mut found = register_divergence();
        found.minimised = Some("r1 = 0x1\n".repeat(4000));
        let text = markdown(&record(vec![divergent(vec![found; 60])]));
        assert!(text.len() < 1 << 20, "{}", text.len());
        assert!(text.trim_end().ends_with("more, which are too long for a summary."));
    }
}
