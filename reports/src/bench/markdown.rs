// SPDX-License-Identifier: GPL-2.0-or-later
//! A benchmark as Markdown: a table for each group, means first.

use std::fmt::Write as _;

use super::attribution::{LEFT_OUT, operations};
use super::trusted::{BELIEVED, Trust};
use super::{Bench, Group, Measure, digits};
use crate::markdown::inline;
use crate::words::duration;

pub(super) fn markdown(bench: &Bench) -> String {
    let sign = if bench.failures.is_empty() { "\u{2705}" } else { "\u{274c}" };
    let mut text = format!("## {sign} kop bench: {}\n\n", inline(&bench.headline()));
    let _ = writeln!(
        text,
        "{}, Linux {}. {} rounds, {} rotating inputs, {}. Above 1 is faster than the baseline.\n",
        inline(&bench.processor),
        inline(&bench.kernel),
        bench.rounds,
        bench.inputs,
        duration(bench.elapsed_s)
    );
    for failure in &bench.failures {
        let (program, backend) = (inline(&failure.program), inline(&failure.backend));
        let _ = writeln!(text, "- \u{274c} {program} on {backend}: {}", inline(&failure.message));
    }
    for group in Group::ALL.into_iter().filter(|group| !bench.of(*group).is_empty()) {
        table(bench, group, &mut text);
        for backend in bench.rewritten(group) {
            brought(bench, group, backend, &mut text);
        }
    }
    trusted(bench, &mut text);
    absent(bench, &mut text);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn table(bench: &Bench, group: Group, text: &mut String) {
    let shown = bench.shown(group);
    let _ = writeln!(text, "\n### {}\n", inline(group.title()));
    text.push_str("| program | insns ");
    for index in &shown {
        let name = inline(&bench.backends[*index].name);
        let _ = match group {
            Group::Traffic => write!(text, "| {name} "),
            _ => write!(text, "| {name} | rotating "),
        };
    }
    text.push_str("|\n|---|--:");
    let columns = if group == Group::Traffic { shown.len() } else { 2 * shown.len() };
    text.push_str(&"|--:".repeat(columns));
    text.push_str("|\n| **geometric mean** | ");
    let measures: &[Measure] =
        if group == Group::Traffic { &[Measure::Fixed] } else { &[Measure::Fixed, Measure::Rotating] };
    let mut cell = |value: Option<String>| {
        let _ = write!(text, "| {} ", value.unwrap_or_default());
    };
    for index in &shown {
        for measure in measures {
            cell(bench.mean(group, *index, *measure).map(|mean| format!("**{:.3}**", mean.value)));
        }
    }
    text.push_str("|\n");
    for program in bench.of(group) {
        let mark = if program.short { " (short)" } else { "" };
        let _ = write!(text, "| {}{mark} | {} ", inline(&program.name), program.insns);
        for index in &shown {
            for measure in measures {
                let value = bench.value(program, *index, *measure).map(digits).unwrap_or_default();
                let _ = write!(text, "| {value} ");
            }
        }
        text.push_str("|\n");
    }
}

/// What operations bring: the means, then program by program.
fn brought(bench: &Bench, group: Group, backend: usize, text: &mut String) {
    let name = inline(&bench.backends[backend].name);
    let _ = writeln!(text, "\n<details><summary>Operations of {name}: {LEFT_OUT}</summary>\n");
    text.push_str(
        "| program | operation | sites | replaced | same input | rotating |\n|---|---|--:|--:|--:|--:|\n",
    );
    let mut row = |program: &str, operation: &str, [sites, replaced]: [u64; 2], gains: [Option<f64>; 2]| {
        let [fixed, rotating] = gains.map(|gain| gain.map_or(String::new(), |gain| format!("{gain:.3}")));
        let operation = inline(operation);
        let _ = writeln!(text, "| {program} | {operation} | {sites} | {replaced} | {fixed} | {rotating} |");
    };
    for gain in bench.gains(group, backend) {
        let programs = format!("**{}**", crate::words::plural(gain.programs as u64, "program"));
        row(&programs, gain.operation, [gain.sites, gain.replaced], [gain.fixed, gain.rotating]);
    }
    for program in bench.of(group) {
        for one in operations(program, backend) {
            let medians = [one.fixed, one.rotating].map(|spread| spread.map(|spread| spread.median));
            row(&inline(&program.name).to_string(), &one.operation, [one.sites, one.replaced], medians);
        }
    }
    text.push_str("\n</details>\n");
}

/// What the choosing backends took, and what has to be believed of each.
fn trusted(bench: &Bench, text: &mut String) {
    for (index, backend) in bench.backends.iter().enumerate() {
        let taken = bench.taken(index);
        if !taken.is_empty() {
            let counts: Vec<String> =
                taken.iter().map(|(name, count)| format!("{} {count}", inline(name))).collect();
            let _ = writeln!(text, "\n{} took, by programs: {}", inline(&backend.name), counts.join(", "));
        }
    }
    let trust = bench.trust();
    if trust.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n<details><summary>Trusted: {BELIEVED}</summary>\n");
    text.push_str("| backend | made by | programs | bytes | lines | shown by |\n|---|---|--:|--:|--:|---|\n");
    for Trust { backend, trusted, bytes, programs } in trust {
        let lines = trusted.lines.map(|lines| lines.to_string()).unwrap_or_default();
        let (backend, name, shown) = (inline(backend), inline(&trusted.name), inline(&trusted.shown));
        let _ = writeln!(text, "| {backend} | {name} | {programs} | {bytes} | {lines} | {shown} |");
    }
    text.push_str("\n</details>\n");
}

fn absent(bench: &Bench, text: &mut String) {
    let backends = bench.backends.iter().filter_map(|backend| Some((backend, backend.absent.as_ref()?)));
    let mut lines = String::new();
    for (backend, reason) in backends {
        let _ = writeln!(lines, "- {}: {}", inline(&backend.name), inline(reason));
    }
    for (backend, reason, count) in bench.reasons() {
        let _ = writeln!(lines, "- {}, {count} programs: {}", inline(backend), inline(reason));
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n<details><summary>What is missing</summary>\n\n{lines}\n</details>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Attribution;
    use super::super::tests::{bench, spread};

    #[test]
    fn every_row_has_as_many_cells_as_its_head() {
        let mut bench = bench();
        bench.programs[0].cells[1].operations = vec![Attribution {
            operation: "<rotate>".to_owned(),
            sites: 3,
            replaced: 9,
            fixed: Some(spread(1.25)),
            rotating: None,
        }];
        let text = bench.markdown();
        assert!(text.contains("| **1 program** | &lt;rotate&gt; | 3 | 9 | 1.250 |  |"), "{text}");
        assert!(text.starts_with("## \u{2705} kop bench: micro (3 programs)\n"), "{text}");
        let mut columns = 0;
        for line in text.lines() {
            match line.starts_with('|') {
                true if columns == 0 => columns = line.matches('|').count(),
                true => assert_eq!(line.matches('|').count(), columns, "{line}"),
                false => columns = 0,
            }
        }
        assert!(text.contains("it has no &lt;page&gt;"), "{text}");
    }
}
