// SPDX-License-Identifier: GPL-2.0-or-later
//! States per second over the time of a run.

use maud::{Markup, html};

use super::plot::{px, short, ticks};
use super::{Section, scroll_box};
use crate::record::{Rate, Record};
use crate::words::{duration, number};

const WIDTH: f64 = 1060.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 34.0;

pub(super) fn section(record: &Record) -> Option<Section> {
    let steps = steps(&record.rates);
    let last = steps.last()?;
    let mean = last.states as f64 / last.to;
    let most = steps.iter().map(|step| step.per_second).fold(0.0, f64::max);
    let text = format!(
        "{} states in {}: {} per second on average, {} at most.",
        number(last.states),
        duration(last.to),
        number(mean.round() as u64),
        number(most.round() as u64)
    );
    let body = html! {
        p.hint { (text) " A state is counted once, whatever the number of engines that run it." }
        (scroll_box("States per second over time", html! { div.frame { (chart(&steps, mean, &text)) } }))
    };
    Some(Section { anchor: "speed", heading: "States per second", body })
}

/// The time between two samples.
#[derive(Debug, PartialEq)]
struct Step {
    from: f64,
    to: f64,
    /// How many states there were at its end.
    states: u64,
    per_second: f64,
}

/// The times between samples; those of no length, or in which the count went down, are passed over.
fn steps(rates: &[Rate]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut from, mut before) = (0.0, 0);
    for rate in rates {
        let seconds = rate.at_s - from;
        let Some(states) = rate.states.checked_sub(before).filter(|_| seconds > 0.0) else { continue };
        steps.push(Step { from, to: rate.at_s, states: rate.states, per_second: states as f64 / seconds });
        (from, before) = (rate.at_s, rate.states);
    }
    steps
}

fn chart(steps: &[Step], mean: f64, label: &str) -> Markup {
    let most = steps.iter().map(|step| step.per_second).fold(0.0, f64::max);
    let end = steps.last().map_or(1.0, |step| step.to);
    let (rows, columns) = (ticks(most, 4), ticks(end, 7));
    let top = rows.last().copied().unwrap_or(1.0);
    let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / end;
    let y = |rate: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / top;
    let line: Vec<String> = steps
        .iter()
        .flat_map(|step| [(step.from, step.per_second), (step.to, step.per_second)])
        .map(|(seconds, rate)| format!("{},{}", px(x(seconds)), px(y(rate))))
        .collect();
    let area = format!("{},{} {} {},{}", px(x(0.0)), px(y(0.0)), line.join(" "), px(x(end)), px(y(0.0)));
    html! {
        svg.picture role="img" aria-label=(label) width=(px(WIDTH)) height=(px(HEIGHT))
            viewBox={ "0 0 " (px(WIDTH)) " " (px(HEIGHT)) } {
            text.soft x="0" y="12" { "states per second" }
            @for row in &rows {
                line.grid x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y(*row))) y2=(px(y(*row))) {}
                text.soft x=(px(LEFT - 8.0)) y=(px(y(*row) + 4.0)) text-anchor="end" { (short(*row)) }
            }
            @for column in columns.iter().filter(|column| **column <= end * 1.001) {
                line.axis x1=(px(x(*column))) x2=(px(x(*column))) y1=(px(y(0.0))) y2=(px(y(0.0) + 5.0)) {}
                text.soft x=(px(x(*column))) y=(px(y(0.0) + 20.0)) text-anchor="middle" { (short(*column)) " s" }
            }
            polygon.area points=(area) {}
            polyline.series points=(line.join(" ")) {}
            line.axis x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y(0.0))) y2=(px(y(0.0))) {}
            line.mark x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(y(mean))) y2=(px(y(mean))) {}
            text.halo x=(px(WIDTH - RIGHT - 4.0)) y=(px(y(mean) - 6.0)) text-anchor="end" { "mean " (short(mean.round())) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_added_by_the_time_that_passed() {
        let rates = [
            Rate { at_s: 2.0, states: 1000 },
            Rate { at_s: 2.0, states: 1100 },
            Rate { at_s: 4.0, states: 4000 },
            Rate { at_s: 5.0, states: 3000 },
        ];
        let expected = [
            Step { from: 0.0, to: 2.0, states: 1000, per_second: 500.0 },
            Step { from: 2.0, to: 4.0, states: 4000, per_second: 1500.0 },
        ];
        assert_eq!(steps(&rates), expected);
        assert_eq!(steps(&[]), []);
    }
}
