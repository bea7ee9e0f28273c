// SPDX-License-Identifier: GPL-2.0-or-later
//! The table of rows: operation, form, architecture, verdict, every engine, proof.

use maud::{Markup, html};

use super::{Section, icons, scroll_box};
use crate::record::{Record, Row};
use crate::standing::Standing;
use crate::states::differs;
use crate::words::number;

pub(super) fn section(record: &Record) -> Option<Section> {
    if record.ops.is_empty() {
        return None;
    }
    let engines = engines(record);
    let has_proofs = record.ops.iter().any(|row| row.proof.is_some());
    let table = html! {
        table.verdicts {
            caption { "Every row with its verdict" }
            thead {
                tr {
                    th scope="col" { "Verdict" }
                    th scope="col" { "Operation" }
                    th scope="col" { "Form" }
                    th scope="col" { "Architecture" }
                    @for engine in &engines {
                        th.mid scope="col" { (engine) }
                    }
                    @if has_proofs {
                        th scope="col" { "Proof" }
                    }
                    th.num scope="col" { "Payloads" }
                    th.num scope="col" { "States" }
                }
            }
            tbody #verdict-rows {
                @for (index, row) in record.ops.iter().enumerate() {
                    tr { (cells(row, index, &engines, has_proofs)) }
                }
            }
        }
    };
    let body = html! {
        p.hint {
            "A dot means that the engine ran the row, a cross that it differs from the reference. An engine for one "
            "architecture stands in the column of its kind."
        }
        form #filter.filter hidden role="search" {
            label for="filter-text" { "Show rows with" }
            input #filter-text type="search" autocomplete="off" spellcheck="false" placeholder="rotate aarch64" {}
            output #filter-count for="filter-text" {}
        }
        (scroll_box("Verdicts, row by row", table))
    };
    Some(Section { anchor: "verdicts", heading: "Verdicts", body })
}

/// The engines of any row in the order of the run, those for one architecture under the name of their kind.
fn engines(record: &Record) -> Vec<String> {
    let in_order = record.engines.iter().map(|engine| &engine.name);
    let of_rows = record.ops.iter().flat_map(|row| &row.engines);
    let is_used =
        |kind: &String| record.ops.iter().any(|row| row.engines.iter().any(|name| kind_of(name) == *kind));
    let mut kinds: Vec<String> = Vec::new();
    for name in in_order.chain(of_rows) {
        let kind = kind_of(name).to_owned();
        if !kinds.contains(&kind) && is_used(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// `unicorn` for `unicorn-aarch64`.
fn kind_of(engine: &str) -> &str {
    let stripped = engine.strip_suffix("-x86_64").or_else(|| engine.strip_suffix("-aarch64"));
    stripped.unwrap_or(engine)
}

/// The anchor of a row's divergence.
pub(super) fn anchor(row: usize, divergence: usize) -> String {
    format!("divergence-{}-{}", row + 1, divergence + 1)
}

fn cells(row: &Row, index: usize, engines: &[String], has_proofs: bool) -> Markup {
    let standing = row.standing();
    let (class, sign) = icons::of_standing(standing);
    html! {
        td {
            @if row.divergences.is_empty() {
                (icons::chip((class, sign), standing.name()))
            } @else {
                a.chip.(class) href={ "#" (anchor(index, 0)) } { (icons::icon(sign)) (standing.name()) }
            }
        }
        th scope="row" { (row.name) }
        td { (row.form) }
        td { (row.arch) }
        @if row.engines.is_empty() && row.untested.is_some() && !engines.is_empty() {
            td.why colspan=(engines.len()) { (row.untested.as_deref().unwrap_or_default()) }
        } @else {
            @for kind in engines {
                td.mid { (engine_cell(row, kind)) }
            }
        }
        @if has_proofs {
            td {
                @if let Some(proof) = &row.proof {
                    (icons::chip(icons::of_proof(proof.verdict), proof.verdict.name()))
                }
            }
        }
        @if standing != Standing::Untested && !row.is_proof_alone() {
            td.num {
                (number(row.payloads))
                @if row.payloads_total > 0 { span.mute { " of " (number(row.payloads_total)) } }
            }
            td.num { (number(row.states)) }
        } @else {
            td.num {}
            td.num {}
        }
    }
}

fn engine_cell(row: &Row, kind: &str) -> Markup {
    let mut of_kind = row.engines.iter().filter(|engine| kind_of(engine) == kind).peekable();
    let ran = of_kind.peek().is_some();
    let differs = of_kind.any(|engine| row.divergences.iter().any(|divergence| differs(divergence, engine)));
    let colour = if row.standing() == Standing::Known { "warn" } else { "bad" };
    html! {
        @if differs {
            span class=(colour) { (icons::icon("differs")) span.sr { "differs" } }
        } @else if ran {
            span.mute { (icons::icon("ran")) span.sr { "ran" } }
        } @else {
            span.sr { "did not run" }
        }
    }
}
