// SPDX-License-Identifier: GPL-2.0-or-later
//! A benchmark as tables of plain text.

use std::fmt::Write as _;

use super::attribution::{LEFT_OUT, operations};
use super::trusted::{BELIEVED, Trust};
use super::{Bench, BenchProgram, Group, Measure, Spread, baselines, digits, time};
use crate::words::duration;

/// The columns of a program's name and of a value.
const NAME: usize = 18;
const VALUE: usize = 14;

pub(super) fn text(bench: &Bench) -> String {
    let mut text = format!(
        "{}: {}, Linux {}; {} rounds, {} rotating inputs, {}\n",
        bench.headline(),
        bench.processor,
        bench.kernel,
        bench.rounds,
        bench.inputs,
        duration(bench.elapsed_s)
    );
    for group in Group::ALL.into_iter().filter(|group| !bench.of(*group).is_empty()) {
        speeds(bench, group, Measure::Fixed, &mut text);
        if group != Group::Traffic {
            speeds(bench, group, Measure::Rotating, &mut text);
        }
        code(bench, group, &mut text);
        for backend in bench.rewritten(group) {
            brought(bench, group, backend, &mut text);
        }
    }
    taken(bench, &mut text);
    trusted(bench, &mut text);
    missing(bench, &mut text);
    for failure in &bench.failures {
        let _ = writeln!(text, "FAILED {} on {}: {}", failure.program, failure.backend, failure.message);
    }
    text
}

/// Run times: the baseline's in nanoseconds, the others' speed by it.
fn speeds(bench: &Bench, group: Group, measure: Measure, text: &mut String) {
    let shown = bench.shown(group);
    let inputs = match (group, measure) {
        (Group::Traffic, _) => "",
        (_, Measure::Rotating) => ", rotating inputs",
        _ => ", the same input",
    };
    let base = baselines(group, measure).iter().find(|name| {
        shown.iter().any(|index| {
            bench.backends[*index].name == **name
                && bench.of(group).iter().any(|program| timing(program, *index, measure).is_some())
        })
    });
    let Some(base) = base else { return };
    let _ = writeln!(
        text,
        "\n{}{inputs}: time of {base}, and how many times as fast others are\n",
        group.title()
    );
    let _ = write!(text, "{:NAME$} {:>6} {:>22}", "program", "insns", format!("{base}, ns"));
    let others: Vec<usize> = shown.into_iter().filter(|index| bench.backends[*index].name != *base).collect();
    for index in &others {
        let _ = write!(text, " {:>VALUE$}", bench.backends[*index].name);
    }
    text.push('\n');
    let base = bench.backends.iter().position(|backend| backend.name == *base).expect("it is one of them");
    for program in bench.of(group) {
        let own = timing(program, base, measure).map(|timing| with_spread(timing.ns));
        let mark = if program.short { "*" } else { "" };
        let _ = write!(
            text,
            "{:NAME$} {:6} {:>22}",
            format!("{}{mark}", program.name),
            program.insns,
            or_dash(own)
        );
        for index in &others {
            let speed = timing(program, *index, measure).and_then(|timing| timing.speed);
            let _ = write!(text, " {:>VALUE$}", or_dash(speed.map(|speed| digits(speed.median))));
        }
        text.push('\n');
    }
    let _ = write!(text, "{:NAME$} {:6} {:>22}", "geometric mean", "", "1");
    for index in &others {
        let mean = bench.mean(group, *index, measure).map(|mean| format!("{:.3}", mean.value));
        let _ = write!(text, " {:>VALUE$}", or_dash(mean));
    }
    text.push('\n');
    if bench.of(group).iter().any(|program| program.short) {
        text.push_str("* over so soon that the loop around it is a part of what is measured; in no mean\n");
    }
}

fn timing(program: &BenchProgram, index: usize, measure: Measure) -> Option<super::Timing> {
    let cell = program.cells.get(index)?;
    if measure == Measure::Rotating { cell.rotating } else { cell.fixed }
}

/// Sizes of code and compile times, in the mean over programs.
fn code(bench: &Bench, group: Group, text: &mut String) {
    let _ = writeln!(
        text,
        "\n{:NAME$} {:>22} {:>22} {:>22}",
        "code", "size by the baseline's", "compile time", "rewriting, with proofs"
    );
    for index in bench.shown(group) {
        let size = bench.mean(group, index, Measure::Size).map(|mean| digits(mean.value));
        let programs = bench.of(group);
        let mean = |of: &dyn Fn(&super::Cell) -> Option<f64>| {
            let times: Vec<f64> = programs.iter().filter_map(|program| of(&program.cells[index])).collect();
            or_dash((!times.is_empty()).then(|| time(times.iter().sum::<f64>() / times.len() as f64)))
        };
        let (compiled, rewritten) =
            (mean(&|cell| Some(cell.compile_ns?.median)), mean(&|cell| cell.rewrite_ns));
        let name = &bench.backends[index].name;
        let _ = writeln!(text, "{name:NAME$} {:>22} {compiled:>22} {rewritten:>22}", or_dash(size));
    }
}

/// What operations bring, program by program, and to all that have them.
fn brought(bench: &Bench, group: Group, backend: usize, text: &mut String) {
    let name = &bench.backends[backend].name;
    let _ = writeln!(text, "\noperations of {name}: {LEFT_OUT}\n");
    let _ = writeln!(
        text,
        "{:NAME$} {:14} {:>6} {:>9} {:>11} {:>11}",
        "program", "operation", "sites", "replaced", "same input", "rotating"
    );
    let mut row = |program: &str, operation: &str, [sites, replaced]: [u64; 2], gains: [Option<f64>; 2]| {
        let [fixed, rotating] = gains.map(|gain| or_dash(gain.map(|gain| format!("{gain:.3}"))));
        let _ = writeln!(
            text,
            "{program:NAME$} {operation:14} {sites:6} {replaced:9} {fixed:>11} {rotating:>11}"
        );
    };
    for program in bench.of(group) {
        for one in operations(program, backend) {
            let medians = [one.fixed, one.rotating].map(|spread| spread.map(|spread| spread.median));
            row(&program.name, &one.operation, [one.sites, one.replaced], medians);
        }
    }
    for gain in bench.gains(group, backend) {
        let programs = crate::words::plural(gain.programs as u64, "program");
        row(&programs, gain.operation, [gain.sites, gain.replaced], [gain.fixed, gain.rotating]);
    }
}

/// What backends chose that choose among others.
fn taken(bench: &Bench, text: &mut String) {
    for (index, backend) in bench.backends.iter().enumerate() {
        let taken = bench.taken(index);
        if !taken.is_empty() {
            let counts: Vec<String> = taken.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let _ = writeln!(text, "\n{} took, by programs: {}", backend.name, counts.join(", "));
        }
    }
}

fn trusted(bench: &Bench, text: &mut String) {
    let trust = bench.trust();
    if trust.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{BELIEVED}\n");
    let _ = writeln!(
        text,
        "{:NAME$} {:28} {:>8} {:>9} {:>9}  shown by",
        "backend", "made by", "programs", "bytes", "lines"
    );
    for Trust { backend, trusted, bytes, programs } in trust {
        let lines = or_dash(trusted.lines.map(|lines| lines.to_string()));
        let _ = writeln!(
            text,
            "{backend:NAME$} {:28} {programs:8} {bytes:9} {lines:>9}  {}",
            trusted.name, trusted.shown
        );
    }
}

fn missing(bench: &Bench, text: &mut String) {
    text.push_str("\nwhat is missing (-)\n");
    for backend in &bench.backends {
        if let Some(reason) = &backend.absent {
            let _ = writeln!(text, "  {}: {reason}", backend.name);
        }
    }
    for (backend, reason, count) in bench.reasons() {
        let _ = writeln!(text, "  {backend}, {}: {reason}", crate::words::plural(count as u64, "program"));
    }
}

fn with_spread(spread: Spread) -> String {
    let Spread { median, low, high } = spread;
    format!("{} ({}..{})", digits(median), digits(low), digits(high))
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, spread};
    use super::super::{Attribution, BenchFailure};

    #[test]
    fn groups_are_listed_apart_with_their_means() {
        let mut bench = bench();
        bench.programs[1].short = true;
        let failure = BenchFailure {
            program: "bits".to_owned(),
            backend: "jit".to_owned(),
            message: "returns 3, 4 is expected".to_owned(),
        };
        bench.failures.push(failure);
        let text = bench.text();
        assert!(text.starts_with("micro (3 programs): 1 failure: A CPU, Linux 6.18; 11 rounds"), "{text}");
        let means: Vec<&str> = text.lines().filter(|line| line.starts_with("geometric mean")).collect();
        // Each group on the same input and on rotating inputs.
        assert_eq!(means.len(), 4, "{text}");
        assert!(means[0].ends_with("2.000") && means[2].ends_with("5.000"), "{means:?}");
        assert!(text.contains("sieve*"), "{text}");
        assert!(text.contains("  native: it is not there yet\n"), "{text}");
        assert!(text.contains("  rbpf, 3 programs: it has no <page>\n"), "{text}");
        assert!(text.ends_with("FAILED bits on jit: returns 3, 4 is expected\n"), "{text}");
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn what_operations_bring_is_listed_by_program_and_in_the_mean() {
        let mut bench = bench();
        assert!(!bench.text().contains("operations of"));
        bench.programs[0].cells[1].operations = vec![Attribution {
            operation: "rotate".to_owned(),
            sites: 3,
            replaced: 9,
            fixed: Some(spread(1.25)),
            rotating: None,
        }];
        let text = bench.text();
        assert!(text.contains("operations of jit: time without an operation"), "{text}");
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.contains("rotate"))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["bits", "rotate", "3", "9", "1.250", "-"],
                vec!["1", "program", "rotate", "3", "9", "1.250", "-"]
            ]
        );
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    }
}
