// SPDX-License-Identifier: GPL-2.0-or-later
//! What became of planted faults: the score, the time to detection, what survived, what took longest.

use maud::{Markup, html};

use super::plot::{px, ticks};
use super::{Section, scroll_box};
use crate::mutation::{Mutant, Mutation, MutationRow};
use crate::record::Record;
use crate::words::{milliseconds, number, percent, plural};

/// The steps of the histogram within a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

pub(super) fn section(record: &Record) -> Option<Section> {
    let mutation = record.mutation.as_ref()?;
    let sum = |of: fn(&MutationRow) -> u64| mutation.rows.iter().map(of).sum::<u64>();
    let body = html! {
        p.hint {
            "Native code and proof sequences were broken on purpose, one change at a time. Of "
            (plural(sum(|row| row.mutants), "mutant")) ", " (number(sum(|row| row.killed))) " were killed by a check, "
            (number(sum(|row| row.equivalent))) " were shown to be equivalent, and " (number(sum(|row| row.survived)))
            " survived."
            @if let Some(score) = mutation.score() { " The score is " strong { (percent(score)) } "." }
        }
        @if !mutation.dropped.is_empty() || !mutation.remarks.is_empty() {
            ul {
                @for drop in &mutation.dropped { li { strong { "The score dropped: " } (drop) } }
                @for remark in &mutation.remarks { li { (remark) } }
            }
        }
        @if !mutation.survivors.is_empty() {
            h3 { "Survivors" }
            (scroll_box("Mutants that survived", mutants(&mutation.survivors, false)))
        }
        @if !mutation.detection_ms.is_empty() {
            h3 { "Time to detection" }
            (scroll_box("Time to detection", html! { div.frame { (histogram(mutation)) } }))
        }
        @if !mutation.slowest.is_empty() {
            h3 { "Slowest to be killed" }
            (scroll_box("Mutants that took longest", mutants(&mutation.slowest, true)))
        }
        @if !mutation.rows.is_empty() {
            h3 { "Score by row" }
            (legend())
            (scroll_box("Score by row", html! { div.frame { (bars(&mutation.rows)) } }))
        }
    };
    Some(Section { anchor: "mutants", heading: "Mutants", body })
}

fn mutants(mutants: &[Mutant], killed: bool) -> Markup {
    html! {
        table {
            caption { @if killed { "The mutants that took longest to kill" } @else { "The mutants that nothing killed" } }
            thead {
                tr {
                    th scope="col" { "Row" } th scope="col" { "Broken" } th scope="col" { "Change" }
                    th scope="col" { "Payload" }
                    @if killed { th scope="col" { "Killed by" } th.num scope="col" { "Time" } }
                    @else { th scope="col" { "The prover" } }
                }
            }
            tbody {
                @for mutant in mutants {
                    tr {
                        th scope="row" { (mutant.name) " " (mutant.form) " " (mutant.arch) }
                        td { (mutant.side.name()) ", " (mutant.operator) }
                        td { code { (mutant.change) } }
                        td { code { (mutant.payload) } }
                        @if killed {
                            td { (mutant.killed_by.as_deref().unwrap_or_default()) }
                            td.num { (mutant.detection_ms.map_or_else(String::new, milliseconds)) }
                        } @else {
                            td { (mutant.undecided.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

fn legend() -> Markup {
    let items = [("killed", "killed"), ("same", "equivalent"), ("survived", "survived")];
    html! {
        ul.legend aria-label="Colours" {
            @for (class, text) in items {
                li { svg.picture viewBox="0 0 17 17" aria-hidden="true" { rect.(class) width="17" height="17" rx="2" {} } (text) }
            }
        }
    }
}

fn bars(rows: &[MutationRow]) -> Markup {
    const BAR: f64 = 360.0;
    const LINE: f64 = 24.0;
    let label = |row: &MutationRow| format!("{} {} {}, {}", row.name, row.form, row.arch, row.side.name());
    let left = rows.iter().map(|row| label(row).chars().count()).max().unwrap_or(0) as f64 * 7.0 + 14.0;
    let most = rows.iter().map(|row| row.mutants).max().unwrap_or(1).max(1) as f64;
    let (width, height) = (left + BAR + 250.0, rows.len() as f64 * LINE + 4.0);
    let text = format!("Mutants of {}, by what became of them", plural(rows.len() as u64, "row"));
    html! {
        svg.picture role="img" aria-label=(text) width=(px(width)) height=(px(height))
            viewBox={ "0 0 " (px(width)) " " (px(height)) } {
            @for (i, row) in rows.iter().enumerate() {
                @let y = i as f64 * LINE + 3.0;
                @let ends = [row.killed, row.killed + row.equivalent, row.mutants].map(|n| left + BAR * n as f64 / most);
                text.soft x=(px(left - 10.0)) y=(px(y + 13.0)) text-anchor="end" { (label(row)) }
                rect.killed x=(px(left)) y=(px(y)) width=(px(ends[0] - left)) height="17" {}
                rect.same x=(px(ends[0])) y=(px(y)) width=(px(ends[1] - ends[0])) height="17" {}
                rect.survived x=(px(ends[1])) y=(px(y)) width=(px(ends[2] - ends[1])) height="17" {}
                text x=(px(ends[2] + 8.0)) y=(px(y + 13.0)) { (told(row)) }
            }
        }
    }
}

/// What became of a row's mutants, in words.
fn told(row: &MutationRow) -> String {
    let relevant = row.mutants.saturating_sub(row.equivalent);
    let mut text = format!("{} of {} killed", number(row.killed), number(relevant));
    if row.equivalent > 0 {
        text += &format!(", {} equivalent", number(row.equivalent));
    }
    if row.survived > 0 {
        text += &format!(", {} survived", number(row.survived));
    }
    text
}

/// How many times lie between two edges.
#[derive(Debug, PartialEq)]
struct Bin {
    from: f64,
    to: f64,
    count: u64,
}

/// The times in bins at 1, 2 and 5 of each power of ten, from the one with the least to the one with the largest.
fn bins(times: &[f64]) -> Vec<Bin> {
    let times: Vec<f64> = times.iter().map(|time| time.max(0.001)).filter(|time| time.is_finite()).collect();
    let (least, most) =
        times.iter().fold((f64::INFINITY, 0.0f64), |(a, b), time| (a.min(*time), b.max(*time)));
    let edges: Vec<f64> = (-3..=9)
        .flat_map(|power| STEPS.map(|step| format!("{step}e{power}").parse().expect("a number")))
        .collect();
    let bin = |edge: &[f64]| Bin {
        from: edge[0],
        to: edge[1],
        count: times.iter().filter(|time| (edge[0]..edge[1]).contains(*time)).count() as u64,
    };
    edges.windows(2).filter(|edge| edge[1] > least && edge[0] <= most).map(bin).collect()
}

fn histogram(mutation: &Mutation) -> Markup {
    const BAR: f64 = 52.0;
    const HEIGHT: f64 = 250.0;
    const LEFT: f64 = 44.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 46.0;
    let bins = bins(&mutation.detection_ms);
    let rows = ticks(bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64, 4);
    let top = rows.last().copied().unwrap_or(1.0);
    let width = LEFT + bins.len() as f64 * BAR + 80.0;
    let base = HEIGHT - BOTTOM;
    let y = |count: f64| base - (base - TOP) * count / top;
    let median = mutation.median_detection_ms();
    // Within its bin a time stands by its logarithm, as the axis is.
    let x = |time: f64| {
        let index = bins.iter().position(|bin| (bin.from..bin.to).contains(&time))?;
        let bin = &bins[index];
        Some(LEFT + BAR * (index as f64 + (time / bin.from).ln() / (bin.to / bin.from).ln()))
    };
    let told = median.map_or_else(String::new, |median| format!(", median {}", milliseconds(median)));
    let label =
        format!("Time to detection of {}{told}", plural(mutation.detection_ms.len() as u64, "mutant"));
    html! {
        svg.picture role="img" aria-label=(label) width=(px(width)) height=(px(HEIGHT))
            viewBox={ "0 0 " (px(width)) " " (px(HEIGHT)) } {
            text.soft x="0" y="12" { "mutants" }
            @for row in rows.iter().filter(|row| row.fract() == 0.0) {
                line.grid x1=(px(LEFT)) x2=(px(width - 70.0)) y1=(px(y(*row))) y2=(px(y(*row))) {}
                text.soft x=(px(LEFT - 8.0)) y=(px(y(*row) + 4.0)) text-anchor="end" { (number(*row as u64)) }
            }
            @for (i, bin) in bins.iter().enumerate() {
                @let from = LEFT + i as f64 * BAR;
                g {
                    title { (milliseconds(bin.from)) " to " (milliseconds(bin.to)) ": " (plural(bin.count, "mutant")) }
                    rect.bar x=(px(from + 1.5)) y=(px(y(bin.count as f64))) width=(px(BAR - 3.0))
                        height=(px(base - y(bin.count as f64))) {}
                }
                (edge(from, base, bin.from))
            }
            @if let Some(bin) = bins.last() { (edge(LEFT + bins.len() as f64 * BAR, base, bin.to)) }
            line.axis x1=(px(LEFT)) x2=(px(width - 70.0)) y1=(px(base)) y2=(px(base)) {}
            text.soft x=(px(LEFT)) y=(px(HEIGHT - 4.0)) { "time until a check saw the fault, logarithmic" }
            @if let Some((median, x)) = median.and_then(|median| Some((median, x(median)?))) {
                line.mark x1=(px(x)) x2=(px(x)) y1=(px(TOP - 16.0)) y2=(px(base)) {}
                text.halo x=(px(x + 5.0)) y=(px(TOP - 8.0)) { "median " (milliseconds(median)) }
            }
        }
    }
}

fn edge(x: f64, base: f64, time: f64) -> Markup {
    html! {
        line.axis x1=(px(x)) x2=(px(x)) y1=(px(base)) y2=(px(base + 5.0)) {}
        text.soft x=(px(x)) y=(px(base + 19.0)) text-anchor="middle" { (milliseconds(time).replace(".0 ", " ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_one_bin() {
        let times = [0.4, 0.5, 1.0, 1.9, 2.0, 40.0];
        let bins = bins(&times);
        let filled: Vec<_> =
            bins.iter().filter(|bin| bin.count > 0).map(|bin| (bin.from, bin.to, bin.count)).collect();
        assert_eq!(filled, [(0.2, 0.5, 1), (0.5, 1.0, 1), (1.0, 2.0, 2), (2.0, 5.0, 1), (20.0, 50.0, 1)]);
        assert_eq!(bins.len(), 7);
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), times.len() as u64);
    }

    #[test]
    fn a_time_of_nothing_and_one_of_a_day_have_their_bins() {
        let count = bins(&[0.0, 86_400_000.0]).iter().map(|bin| bin.count).sum::<u64>();
        assert_eq!(count, 2);
    }
}
