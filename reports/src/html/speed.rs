// SPDX-License-Identifier: GPL-2.0-or-later
//! States per second, new behaviour and memory over the time of a run.

use maud::{PreEscaped, html};

use super::curve::{Curve, HEIGHT, WIDTH};
use super::plot::px;
use super::{Section, scroll_box};
use crate::record::{Rate, Record};
use crate::words::{duration, number};

pub(super) fn section(record: &Record) -> Option<Section> {
    let (curve, text) = states(record)?;
    let body = html! {
        p.hint { (text) " A state is counted once, whatever the number of engines that run it." }
        (scroll_box("States per second over time", html! { div.frame { (curve.picture(0.0)) } }))
    };
    Some(Section { anchor: "speed", heading: "States per second", body })
}

/// What a campaign writes down besides.
pub(super) fn behaviour_section(record: &Record) -> Option<Section> {
    let (curve, text) = behaviour(record)?;
    let body = html! {
        p.hint {
            (text) " A behaviour is an end, a class of inputs, a pair of instructions or native code that a subject had not shown \
            before; time goes to the subjects that show the most."
        }
        (scroll_box("New behaviour over time", html! { div.frame { (curve.picture(0.0)) } }))
    };
    Some(Section { anchor: "behaviour", heading: "New behaviour", body })
}

pub(super) fn memory_section(record: &Record) -> Option<Section> {
    let (curve, text) = memory(record)?;
    let body = html! {
        p.hint { (text) " It is the resident memory of the process and of those it runs code in." }
        (scroll_box("Memory over time", html! { div.frame { (curve.picture(0.0)) } }))
    };
    Some(Section { anchor: "memory", heading: "Memory", body })
}

/// The curves of a run as one SVG document, light or dark as the reader wants it; `None` where the record has no samples.
pub fn svg(record: &Record) -> Option<String> {
    let curves: Vec<Curve> = [memory(record), states(record), behaviour(record)]
        .into_iter()
        .flatten()
        .map(|(curve, _)| curve)
        .collect();
    if curves.is_empty() {
        return None;
    }
    let gap = 24.0;
    let margin = 16.0;
    let (width, height) = (WIDTH + 2.0 * margin, (HEIGHT + gap) * curves.len() as f64 - gap + 2.0 * margin);
    let label: Vec<&str> = curves.iter().map(|curve| curve.label.as_str()).collect();
    let label = label.join(" ");
    let document = html! {
        svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label=(label) width=(px(width)) height=(px(height))
            viewBox={ (px(-margin)) " " (px(-margin)) " " (px(width)) " " (px(height)) } {
            title { (label) }
            style { (PreEscaped(include_str!("curve.css"))) }
            rect.card x=(px(-margin)) y=(px(-margin)) width=(px(width)) height=(px(height)) {}
            @for (number, curve) in curves.iter().enumerate() {
                (curve.picture(number as f64 * (HEIGHT + gap)))
            }
        }
    };
    Some(format!("<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n{}\n", document.into_string()))
}

/// States per second, and what there is to say of them.
fn states(record: &Record) -> Option<(Curve, String)> {
    let steps = steps(&record.rates, |rate| Some(rate.states));
    let last = steps.last()?;
    let mean = last.count as f64 / last.to;
    let most = steps.iter().map(|step| step.per_second).fold(0.0, f64::max);
    let text = format!(
        "{} states in {}: {} per second on average, {} at most.",
        number(last.count),
        duration(last.to),
        number(mean.round() as u64),
        number(most.round() as u64)
    );
    let points = points(&steps);
    Some((Curve { axis: "states per second", label: text.clone(), points, mark: Some((mean, "mean")) }, text))
}

fn behaviour(record: &Record) -> Option<(Curve, String)> {
    let steps = steps(&record.rates, |rate| rate.behaviours);
    let last = steps.last()?;
    let text = format!(
        "{} behaviours in {}, {:.1} new ones per second at the end.",
        number(last.count),
        duration(last.to),
        last.per_second
    );
    let points = points(&steps);
    Some((Curve { axis: "new behaviours per second", label: text.clone(), points, mark: None }, text))
}

fn memory(record: &Record) -> Option<(Curve, String)> {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let points: Vec<(f64, f64)> =
        record.rates.iter().filter_map(|rate| Some((rate.at_s, mib(rate.memory_kib?)))).collect();
    let last = points.last().filter(|last| last.0 > 0.0)?;
    let most = points.iter().map(|point| point.1).fold(0.0, f64::max);
    // Engines are made and tables filled before: what comes after shows whether it grows.
    let half = points.iter().filter(|point| point.0 >= last.0 / 2.0).map(|point| point.1);
    let (low, high) = half.fold((f64::MAX, 0.0), |(low, high), mib| (mib.min(low), mib.max(high)));
    let text = format!(
        "Memory over {}: {most:.0} MiB at most, {low:.0} to {high:.0} MiB in the second half, {:.0} MiB at the end.",
        duration(last.0),
        last.1
    );
    Some((Curve { axis: "MiB of memory", label: text.clone(), points, mark: None }, text))
}

/// The time between two samples.
#[derive(Debug, PartialEq)]
struct Step {
    from: f64,
    to: f64,
    /// How many there were at its end.
    count: u64,
    per_second: f64,
}

/// The times between samples; those of no length, or in which the count went down, are passed over.
fn steps(rates: &[Rate], count: impl Fn(&Rate) -> Option<u64>) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut from, mut before) = (0.0, 0);
    for rate in rates {
        let seconds = rate.at_s - from;
        let Some(now) = count(rate) else { continue };
        let Some(new) = now.checked_sub(before).filter(|_| seconds > 0.0) else { continue };
        steps.push(Step { from, to: rate.at_s, count: now, per_second: new as f64 / seconds });
        (from, before) = (rate.at_s, now);
    }
    steps
}

fn points(steps: &[Step]) -> Vec<(f64, f64)> {
    steps.iter().flat_map(|step| [(step.from, step.per_second), (step.to, step.per_second)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::record;

    fn campaign() -> Record {
        let of = |minute: u64| Rate {
            at_s: minute as f64 * 60.0,
            states: minute * 6000,
            memory_kib: Some(if minute < 5 { 100 << 10 } else { (200 + minute) << 10 }),
            behaviours: Some(minute.min(10) * 600),
        };
        Record { rates: (1..=20).map(of).collect(), ..record(Vec::new()) }
    }

    #[test]
    fn a_rate_is_what_was_added_by_the_time_that_passed() {
        let rates = [Rate::new(2.0, 1000), Rate::new(2.0, 1100), Rate::new(4.0, 4000), Rate::new(5.0, 3000)];
        let expected = [
            Step { from: 0.0, to: 2.0, count: 1000, per_second: 500.0 },
            Step { from: 2.0, to: 4.0, count: 4000, per_second: 1500.0 },
        ];
        assert_eq!(steps(&rates, |rate| Some(rate.states)), expected);
        assert_eq!(steps(&[], |rate| Some(rate.states)), []);
    }

    #[test]
    fn what_a_campaign_wrote_down_is_told_in_numbers_too() {
        let record = campaign();
        let said = |told: Option<(Curve, String)>| told.expect("there are samples").1;
        assert_eq!(
            said(memory(&record)),
            "Memory over 20 min 0 s: 220 MiB at most, 210 to 220 MiB in the second half, 220 MiB at the end."
        );
        assert_eq!(
            said(behaviour(&record)),
            "6,000 behaviours in 20 min 0 s, 0.0 new ones per second at the end."
        );
        let check = Record { rates: vec![Rate::new(1.0, 10)], ..record };
        assert!(memory(&check).is_none() && behaviour(&check).is_none() && states(&check).is_some());
    }

    #[test]
    fn the_picture_says_what_it_shows() {
        let picture = svg(&campaign()).expect("there are samples");
        let labels: Vec<&str> =
            picture.split(" aria-label=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(labels.len(), 4, "three curves in a document");
        assert!(labels[0].contains("220 MiB at most") && labels[0].contains("states in"), "{}", labels[0]);
        assert!(picture.contains("prefers-color-scheme: dark"));
        assert_eq!(svg(&record(Vec::new())), None);
    }

    /// What the style of the document calls a colour is the page's.
    #[test]
    fn the_picture_has_the_colours_of_the_page() {
        let page: Vec<&str> = super::super::STYLE.split([';', '{', '}']).map(str::trim).collect();
        let own = include_str!("curve.css");
        let colours = own.split([';', '{', '}']).map(str::trim).filter(|rule| rule.starts_with("--"));
        let missing: Vec<&str> = colours.filter(|rule| !page.contains(rule)).collect();
        assert_eq!(missing, [""; 0]);
    }
}
