// SPDX-License-Identifier: GPL-2.0-or-later
//! The engines, and what rows have to say besides their verdict.

use maud::{Markup, html};

use super::{Section, icons, scroll_box};
use crate::record::{Engine, Record, Row};

pub(super) fn section(record: &Record) -> Option<Section> {
    let untested = by_text(&record.ops, |row| row.untested.iter().cloned().collect());
    let variants = by_text(&record.ops, |row| {
        let untested =
            row.variants.iter().filter_map(|variant| Some((&variant.features, variant.untested.as_ref()?)));
        let name = |features: &str| match features {
            "none" => "code without CPU features".to_owned(),
            features => format!("code for {features}"),
        };
        untested.map(|(features, reason)| format!("{} did not run: {reason}", name(features))).collect()
    });
    let contract = by_text(&record.ops, |row| row.contract.clone());
    let unseen = by_text(&record.ops, |row| row.unseen_purpose.iter().cloned().collect());
    let warnings = by_text(&record.ops, |row| row.warnings.clone());
    let parts = [
        ("Untested rows", untested),
        ("Untested native code", variants),
        ("Warnings", warnings),
        ("Declared contracts", contract),
        ("Purposes that equivalence does not show", unseen),
    ];
    if record.engines.is_empty() && parts.iter().all(|(_, groups)| groups.is_empty()) {
        return None;
    }
    let body = html! {
        @if !record.engines.is_empty() { (scroll_box("Engines", engines(&record.engines))) }
        @for (heading, groups) in parts.iter().filter(|(_, groups)| !groups.is_empty()) {
            h3 { (heading) }
            ul.names { @for (text, rows) in groups { li { (text) ": " span.mute { (rows.join(", ")) } } } }
        }
    };
    Some(Section { anchor: "engines", heading: "Engines and remarks", body })
}

fn engines(engines: &[Engine]) -> Markup {
    html! {
        table.verdicts {
            caption { "The engines of the run" }
            thead { tr { th scope="col" { "Engine" } th scope="col" { "Took part" } th scope="col" { "Why not" } } }
            tbody {
                @for engine in engines {
                    tr {
                        th scope="row" { (engine.name) }
                        td {
                            @if engine.available { (icons::chip(("good", "ok"), "yes")) }
                            @else { (icons::chip(("mute", "none"), "absent")) }
                        }
                        td.why { (engine.reason.as_deref().unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

/// The rows of which `texts` says something, under each text once.
fn by_text(rows: &[Row], texts: impl Fn(&Row) -> Vec<String>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        for text in texts(row) {
            match groups.iter_mut().find(|(known, _)| *known == text) {
                Some((_, titles)) => titles.push(row.title()),
                None => groups.push((text, vec![row.title()])),
            }
        }
    }
    groups
}
