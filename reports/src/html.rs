// SPDX-License-Identifier: GPL-2.0-or-later
//! A record as one HTML file that a person reads: no network, no fonts, no scripts from elsewhere.
//!
//! Everything is there without the script, which filters the table of rows, opens what a link points to, and copies
//! commands. The page's own policy lets nothing be fetched and no other script run. Texts are escaped by the templates.

mod coverage;
mod curve;
mod divergences;
mod icons;
mod mutants;
mod notes;
pub(crate) mod plot;
mod proofs;
mod speed;
mod verdicts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::record::Record;
use crate::standing::Standing;
use crate::words::{duration, headline, number, percent, plural};
pub use speed::svg;

pub(crate) const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// What the page may do: its own styles and its one script, by the script's hash.
const POLICY: &str = concat!(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; ",
    "script-src 'sha256-ubU6yGXQ06LFXNnEC0SEvAfkGlr/xBDRa+bGOBpydkk='"
);

/// A part of the page: its anchor, its heading, and what is in it.
struct Section {
    anchor: &'static str,
    heading: &'static str,
    body: Markup,
}

/// The record as one HTML file.
pub fn html(record: &Record) -> String {
    let sections: Vec<Section> = [
        verdicts::section(record),
        divergences::section(record),
        mutants::section(record),
        coverage::section(record),
        speed::section(record),
        speed::behaviour_section(record),
        speed::memory_section(record),
        proofs::section(record),
        notes::section(record),
    ]
    .into_iter()
    .flatten()
    .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="generator" content=(record.schema);
                link rel="icon" href="data:,";
                title { "kop: " (headline(record)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                (icons::symbols())
                (header(record, &sections))
                main #main.wide tabindex="-1" {
                    @for section in &sections {
                        section aria-labelledby=(section.anchor) {
                            h2 id=(section.anchor) { (section.heading) }
                            (section.body)
                        }
                    }
                }
                (footer(record))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn header(record: &Record, sections: &[Section]) -> Markup {
    let (class, icon) = if record.holds() { ("good", "ok") } else { ("bad", "differs") };
    html! {
        header {
            div.wide {
                p.brand {
                    "kop report \u{b7} " (duration(record.elapsed_s)) " on " (plural(record.jobs as u64, "thread")) " \u{b7} seed "
                    (record.seed)
                }
                h1 class=(class) { (icons::icon(icon)) span { (headline(record)) } }
                p.lead {
                    "Does native code do exactly what its proof sequence says? A row is one form of an operation on one "
                    "architecture."
                }
                (facts(record))
                nav aria-label="Parts of the report" {
                    ul {
                        @for section in sections {
                            li { a href={ "#" (section.anchor) } { (section.heading) } }
                        }
                    }
                }
            }
        }
    }
}

fn facts(record: &Record) -> Markup {
    let counts = Standing::ALL.map(|standing| (standing, record.count(standing)));
    let shown = |&(standing, count): &(Standing, u64)| {
        !record.ops.is_empty()
            && (count > 0 || matches!(standing, Standing::Equivalent | Standing::Divergent))
    };
    // A record may hold proofs as well, whose time has no states.
    let measured = record.rates.last().map(|rate| (rate.states, rate.at_s));
    let (states, seconds) = measured.unwrap_or((record.states(), record.elapsed_s));
    let per_second = states as f64 / seconds;
    html! {
        dl.facts {
            @for (standing, count) in counts.iter().filter(|count| shown(count)) {
                div { dt { "rows " (standing.name()) } dd { (number(*count)) } }
            }
            @if record.states() > 0 {
                div { dt { "states" } dd { (number(record.states())) } }
                @if seconds > 0.0 {
                    div { dt { "states per second" } dd { (number(per_second.round() as u64)) } }
                }
            }
            @if let Some(score) = record.mutation.as_ref().and_then(|mutation| mutation.score()) {
                div { dt { "mutants killed" } dd { (percent(score)) } }
            }
        }
    }
}

fn footer(record: &Record) -> Markup {
    let timings = record.timings.unwrap_or_default();
    let spent = [
        ("compiling", timings.compile_s),
        ("learning payloads", timings.learn_s),
        ("checking", timings.check_s),
    ];
    html! {
        footer {
            div.wide {
                p {
                    "Rendered from a record of the schema " code { (record.schema) } " by kop "
                    (env!("CARGO_PKG_VERSION")) "."
                    @for (what, seconds) in spent.iter().filter_map(|(what, seconds)| Some((what, (*seconds)?))) {
                        " " (duration(seconds)) " " (what) "."
                    }
                }
            }
        }
    }
}

/// What must not make the page wider than its window, in a box that scrolls by itself and that the keyboard reaches.
pub(crate) fn scroll_box(label: &str, body: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (body) } }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::record::{Rate, Row, Source};
    use crate::samples::{
        divergent, fault_divergence, mutation, proved, record, register_divergence, row, untested,
    };

    /// A record with something in each section.
    fn full() -> Record {
        let mut counted = row("rotate", "reg64", "aarch64");
        counted.classes = [("dst=r0".to_owned(), 0), ("dst=r1".to_owned(), 40)].into();
        counted.warnings = vec!["dst=r0 never occurred".to_owned()];
        counted.contract = vec!["dead=r3".to_owned()];
        let source = Some(Source { file: "ops/src/kops/rotate.rs".to_owned(), line: 17 });
        let rows = vec![
            Row { source, ..divergent(vec![register_divergence(), fault_divergence()]) },
            counted,
            untested("clmul", "low", "no engine here has PMULL"),
            proved("select", "test64", "aarch64"),
        ];
        let of = |at_s, states, mib: u64| Rate {
            memory_kib: Some(mib << 10),
            behaviours: Some(states / 10),
            ..Rate::new(at_s, states)
        };
        let rates = vec![of(1.0, 20_000, 80), of(2.0, 60_000, 90)];
        Record { rates, mutation: Some(mutation()), ..record(rows) }
    }

    /// The values of an attribute, in order.
    fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
        let start = format!(" {attribute}=\"");
        page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// Every string in `value`, by its path.
    fn strings(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) => found.push(path.to_owned()),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| strings(item, &format!("{path}/{i}"), found));
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| strings(field, &format!("{path}/{name}"), found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_text_of_a_record_is_escaped() {
        const EVIL: &str = "</code><script>alert(1)</script>\"' onload=x &amp;";
        let json: Value = serde_json::from_str(&full().to_json()).expect("JSON");
        let mut paths = Vec::new();
        strings(&json, "", &mut paths);
        let scripts = html(&full()).matches("<script").count();
        let mut replaced = 0;
        for path in &paths {
            let mut json = json.clone();
            *json.pointer_mut(path).expect("a string") = EVIL.into();
            // Fields with a few values of their own do not take it.
            let Ok(record) = Record::from_json(&json.to_string()) else { continue };
            let page = html(&record);
            assert_eq!(page.matches("<script").count(), scripts, "{path}");
            assert!(!page.contains("\"' onload"), "{path}");
            replaced += 1;
        }
        assert!(replaced > 100, "{replaced} of {}", paths.len());
        let mut keys = full();
        keys.ops[1].classes = [(EVIL.to_owned(), 0)].into();
        keys.ops[0].divergences[0].operands = [(EVIL.to_owned(), "r1".to_owned())].into();
        assert_eq!(html(&keys).matches("<script").count(), scripts);
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        let page = html(&full());
        for mark in [
            "http:",
            "https:",
            "url(",
            "@import",
            "<script src",
            "<img",
            "<object",
            "<embed",
            "<link rel=\"stylesheet",
            "<iframe",
        ] {
            assert!(!page.contains(mark), "{mark}");
        }
    }

    #[test]
    fn links_lead_somewhere_and_anchors_are_there_once() {
        let page = html(&full());
        let ids = values(&page, "id");
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{ids:?}");
        for link in values(&page, "href").iter().filter_map(|link| link.strip_prefix('#')) {
            assert!(unique.contains(&link), "{link}");
        }
        for section in ["verdicts", "divergences", "mutants", "coverage", "speed", "proofs", "engines"] {
            assert!(unique.contains(&section), "{section}");
        }
    }

    #[test]
    fn headings_are_in_order() {
        let page = html(&full());
        let levels =
            page.match_indices("<h").filter_map(|(at, _)| page[at + 2..].chars().next()?.to_digit(10));
        let levels: Vec<u32> = levels.collect();
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
        assert_eq!(levels[0], 1);
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    }

    #[test]
    fn a_record_of_nothing_is_a_page() {
        let page = html(&record(Vec::new()));
        assert!(page.contains("nothing was tested"));
    }

    #[test]
    fn what_was_not_measured_has_no_section() {
        let page = html(&record(vec![row("rotate", "imm64", "x86_64")]));
        for section in ["divergences", "mutants", "coverage", "speed", "proofs"] {
            assert!(!values(&page, "id").contains(&section), "{section}");
        }
    }
}
