// SPDX-License-Identifier: GPL-2.0-or-later
//! A benchmark as one HTML page: bars for means and for each program, then the tables with spreads.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::attribution::{LEFT_OUT, operations};
use super::trusted::BELIEVED;
use super::{Bench, BenchProgram, Group, Measure, Spread, baselines, digits, time};
use crate::html::plot::{px, short, ticks};
use crate::html::{STYLE, scroll_box};
use crate::words::{duration, number};

/// What the page may do: its own styles.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; script-src 'none'";

const WIDTH: f64 = 1060.0;
const LEFT: f64 = 200.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 12.0;
const GAP: f64 = 10.0;
const TOP: f64 = 24.0;

pub(super) fn html(bench: &Bench) -> String {
    let groups = || Group::ALL.into_iter().filter(|group| !bench.of(*group).is_empty());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="generator" content=(bench.schema);
                link rel="icon" href="data:,";
                title { "kop bench: " (bench.headline()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                (header(bench))
                main #main.wide tabindex="-1" {
                    @for (number, group) in groups().enumerate() { (section(bench, group, number)) }
                    (trusted(bench))
                    (missing(bench))
                }
                footer { div.wide { p {
                    "Rendered from a record of the schema " code { (bench.schema) } " by kop " (env!("CARGO_PKG_VERSION")) "."
                } } }
            }
        }
    };
    page.into_string()
}

fn header(bench: &Bench) -> Markup {
    let class = if bench.failures.is_empty() { "good" } else { "bad" };
    html! {
        header { div.wide {
            p.brand { "kop bench \u{b7} " (duration(bench.elapsed_s)) " \u{b7} " (bench.processor) " \u{b7} Linux " (bench.kernel) }
            h1 class=(class) { span { (bench.headline()) } }
            p.lead {
                "Medians of " (bench.rounds) " rounds in which the ways to run a program take turns, on one input and on "
                (bench.inputs) " that rotate. Bars show how many times as fast as the baseline; longer is faster."
            }
            @for failure in &bench.failures {
                p.bad { (failure.program) " on " (failure.backend) ": " (failure.message) }
            }
        } }
    }
}

fn section(bench: &Bench, group: Group, number: usize) -> Markup {
    let anchor = format!("group-{number}");
    let measures: &[(Measure, &str)] = match group {
        Group::Traffic => &[(Measure::Fixed, "over traffic")],
        _ => &[(Measure::Fixed, "on the same input"), (Measure::Rotating, "on rotating inputs")],
    };
    html! {
        section aria-labelledby=(anchor) {
            h2 id=(anchor) { (group.title()) }
            @for (measure, inputs) in measures {
                h3 { "Geometric means, " (inputs) ", " (baselines(group, *measure)[0]) " = 1" }
                (scroll_box("Geometric means", means(bench, group, *measure)))
            }
            h3 { "Each program" }
            @for (measure, inputs) in measures {
                p.hint { "Speed " (inputs) "." }
                (scroll_box("Speed of each program", programs(bench, group, *measure)))
            }
            h3 { "Times, sizes and compile times" }
            (scroll_box("Times, sizes and compile times", table(bench, group)))
            @for backend in bench.rewritten(group) {
                h3 { "Operations of " (bench.backends[backend].name) }
                p.hint { (LEFT_OUT) "." }
                (scroll_box("What operations bring", gains(bench, group, backend)))
                (scroll_box("Operations of each program", brought(bench, group, backend)))
            }
        }
    }
}

/// A bar: what it is of, its length, and what is written behind it.
struct Bar {
    label: String,
    value: Option<f64>,
    spread: Option<Spread>,
    /// Which of the colours it has.
    colour: usize,
    /// Whether there is a gap above it.
    starts: bool,
}

fn means(bench: &Bench, group: Group, measure: Measure) -> Markup {
    let bars: Vec<Bar> = bench
        .shown(group)
        .into_iter()
        .map(|index| Bar {
            label: bench.backends[index].name.clone(),
            value: bench.mean(group, index, measure).map(|mean| mean.value),
            spread: None,
            colour: index,
            starts: true,
        })
        .collect();
    chart(&bars, &format!("Geometric means of {}", group.title()))
}

fn programs(bench: &Bench, group: Group, measure: Measure) -> Markup {
    let shown = bench.shown(group);
    let mut bars = Vec::new();
    for program in bench.of(group) {
        let mut first = true;
        for index in &shown {
            let cell = &program.cells[*index];
            let timing = if measure == Measure::Rotating { cell.rotating } else { cell.fixed };
            let Some(speed) = timing.and_then(|timing| timing.speed) else { continue };
            let name = &bench.backends[*index].name;
            let label = if first { format!("{} \u{b7} {name}", program.name) } else { name.clone() };
            bars.push(Bar {
                label,
                value: Some(speed.median),
                spread: Some(speed),
                colour: *index,
                starts: first,
            });
            first = false;
        }
    }
    chart(&bars, &format!("Speed of {}", group.title()))
}

fn chart(bars: &[Bar], label: &str) -> Markup {
    let most = bars.iter().filter_map(|bar| bar.value).fold(1.0, f64::max);
    let columns = ticks(most, 8);
    let end = columns.last().copied().unwrap_or(1.0);
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / end;
    let mut y = TOP;
    let mut places = Vec::new();
    for bar in bars {
        y += if bar.starts { GAP } else { 2.0 };
        places.push(y);
        y += BAR;
    }
    let height = y + GAP;
    html! {
        div.frame { svg.picture role="img" aria-label=(label) width=(px(WIDTH)) height=(px(height))
            viewBox={ "0 0 " (px(WIDTH)) " " (px(height)) } {
            @for column in &columns {
                line.grid x1=(px(x(*column))) x2=(px(x(*column))) y1=(px(TOP)) y2=(px(height)) {}
                text.soft x=(px(x(*column))) y="14" text-anchor="middle" { (short(*column)) }
            }
            @for (bar, y) in bars.iter().zip(&places) {
                text.soft x=(px(LEFT - 8.0)) y=(px(y + 10.0)) text-anchor="end" { (bar.label) }
                @if let Some(value) = bar.value {
                    rect class={ "bar bar-" (bar.colour % 6) } x=(px(x(0.0))) y=(px(*y)) width=(px(x(value) - x(0.0))) height=(px(BAR)) {}
                    @if let Some(spread) = bar.spread {
                        line.axis x1=(px(x(spread.low.min(end)))) x2=(px(x(spread.high.min(end)))) y1=(px(y + BAR / 2.0)) y2=(px(y + BAR / 2.0)) {}
                    }
                    text.soft x=(px(x(value.max(bar.spread.map_or(0.0, |spread| spread.high.min(end)))) + 6.0)) y=(px(y + 10.0)) { (digits(value)) }
                }
            }
            line.mark x1=(px(x(1.0))) x2=(px(x(1.0))) y1=(px(TOP)) y2=(px(height)) {}
        } }
    }
}

fn table(bench: &Bench, group: Group) -> Markup {
    let shown = bench.shown(group);
    html! {
        table {
            caption { "Times, sizes and compile times of " (group.title()) }
            thead { tr {
                th scope="col" { "program" }
                th.num scope="col" { "instructions" }
                th scope="col" { "backend" }
                th.num scope="col" { "time" }
                th.num scope="col" { "middle half" }
                th.num scope="col" { "rotating" }
                th.num scope="col" { "code, bytes" }
                th.num scope="col" { "compile time" }
            } }
            tbody {
                @for program in bench.of(group) {
                    @for index in &shown { (row(bench, program, *index)) }
                }
            }
        }
    }
}

fn row(bench: &Bench, program: &BenchProgram, index: usize) -> Markup {
    let cell = &program.cells[index];
    let span = |spread: Spread| format!("{}..{}", digits(spread.low), digits(spread.high));
    html! {
        tr {
            th scope="row" { (program.name) @if program.short { " (short)" } }
            td.num { (number(program.insns)) }
            td { (bench.backends[index].name) @if let Some(compiler) = &cell.compiler { " (" (compiler) ")" } }
            @match (&cell.absent, cell.fixed) {
                (_, Some(fixed)) => {
                    td.num { (time(fixed.ns.median)) }
                    td.num { (span(fixed.ns)) }
                    td.num { @if let Some(rotating) = cell.rotating { (time(rotating.ns.median)) } }
                    td.num { @if let Some(bytes) = cell.code_bytes { (number(bytes)) } }
                    td.num { @if let Some(compile) = cell.compile_ns { (time(compile.median)) } }
                }
                (Some(reason), None) => { td colspan="5" { (reason) } }
                (None, None) => { td colspan="5" {} }
            }
        }
    }
}

/// What operations bring in the mean: bars of their gains on the same input, or over traffic.
fn gains(bench: &Bench, group: Group, backend: usize) -> Markup {
    let bars: Vec<Bar> = bench
        .gains(group, backend)
        .into_iter()
        .enumerate()
        .map(|(number, gain)| Bar {
            label: format!("{} \u{b7} {}", gain.operation, crate::words::plural(gain.sites, "site")),
            value: gain.fixed,
            spread: None,
            colour: number,
            starts: true,
        })
        .collect();
    chart(&bars, &format!("What operations bring to {}", group.title()))
}

fn brought(bench: &Bench, group: Group, backend: usize) -> Markup {
    let gain = |spread: Option<Spread>| spread.map(|spread| format!("{:.3}", spread.median));
    html! {
        table {
            caption { "Operations of " (group.title()) }
            thead { tr {
                th scope="col" { "program" }
                th scope="col" { "operation" }
                th.num scope="col" { "sites" }
                th.num scope="col" { "instructions replaced" }
                th.num scope="col" { "gain, same input" }
                th.num scope="col" { "middle half" }
                th.num scope="col" { "gain, rotating" }
            } }
            tbody {
                @for program in bench.of(group) {
                    @for one in operations(program, backend) {
                        tr {
                            th scope="row" { (program.name) }
                            td { (one.operation) }
                            td.num { (number(one.sites)) }
                            td.num { (number(one.replaced)) }
                            td.num { @if let Some(gain) = gain(one.fixed) { (gain) } }
                            td.num { @if let Some(spread) = one.fixed {
                                (format!("{:.3}..{:.3}", spread.low, spread.high))
                            } }
                            td.num { @if let Some(gain) = gain(one.rotating) { (gain) } }
                        }
                    }
                }
            }
        }
    }
}

/// What has to be believed of each way to run programs.
fn trusted(bench: &Bench) -> Markup {
    let trust = bench.trust();
    html! {
        @if !trust.is_empty() {
            section aria-labelledby="trusted" {
                h2 id="trusted" { "Trusted" }
                p.hint { "Here is " (BELIEVED) "." }
                (scroll_box("What has to be believed", html! {
                    table {
                        caption { "What has to be believed of each backend" }
                        thead { tr {
                            th scope="col" { "backend" }
                            th scope="col" { "made by" }
                            th.num scope="col" { "programs" }
                            th.num scope="col" { "native code, bytes" }
                            th.num scope="col" { "source, lines" }
                            th scope="col" { "shown by" }
                        } }
                        tbody {
                            @for one in &trust {
                                tr {
                                    th scope="row" { (one.backend) }
                                    td { (one.trusted.name) }
                                    td.num { (number(one.programs as u64)) }
                                    td.num { (number(one.bytes)) }
                                    td.num { @if let Some(lines) = one.trusted.lines { (number(lines)) } }
                                    td { (one.trusted.shown) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn missing(bench: &Bench) -> Markup {
    html! {
        section aria-labelledby="missing" {
            h2 id="missing" { "Ways to run programs" }
            ul {
                @for backend in &bench.backends {
                    li {
                        strong { (backend.name) } ": " (backend.about)
                        @if let Some(reason) = &backend.absent { " \u{b7} absent: " (reason) }
                    }
                }
                @for (backend, reason, count) in bench.reasons() {
                    li { (backend) ", " (count) " programs: " (reason) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Attribution;
    use super::super::tests::{bench, spread};

    #[test]
    fn a_page_has_bars_and_fetches_nothing() {
        let mut bench = bench();
        bench.programs[0].cells[1].operations = vec![Attribution {
            operation: "<script>rotate".to_owned(),
            sites: 3,
            replaced: 9,
            fixed: Some(spread(1.25)),
            rotating: None,
        }];
        bench.programs[0].name = "</td><script>".to_owned();
        let page = bench.html();
        // Two backends, two inputs: means of two groups, and three programs; an operation of one.
        assert_eq!(page.matches("<rect class=\"bar").count(), 2 * 2 * 2 + 2 * 2 * 3 + 1);
        assert!(!page.contains("<script"), "texts are escaped");
        for mark in ["http:", "https:", "url(", "@import", "<img", "<iframe"] {
            assert!(!page.contains(mark), "{mark}");
        }
    }
}
