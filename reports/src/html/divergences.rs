// SPDX-License-Identifier: GPL-2.0-or-later
//! Each divergence: both states side by side, both listings, the smallest case, and the command that shows it.

use maud::{Markup, html};

use super::verdicts::anchor;
use super::{Section, icons, scroll_box};
use crate::record::{Divergence, Record, Row};
use crate::states::{Cell, Entry, entries, in_order};
use crate::words::plural;

/// How many divergences are open when the page is.
const OPEN: usize = 3;

/// A case with more lines is folded.
const CASE_LINES: usize = 24;

pub(super) fn section(record: &Record) -> Option<Section> {
    let all = record.ops.iter().enumerate().flat_map(|(index, row)| {
        row.divergences.iter().enumerate().map(move |(number, found)| (row, anchor(index, number), found))
    });
    let all: Vec<(&Row, String, &Divergence)> = all.collect();
    if all.is_empty() {
        return None;
    }
    let body = html! {
        p.hint { "Equal causes are shown once, with the smallest case that was found." }
        @for (number, (row, anchor, found)) in all.iter().enumerate() {
            details id=(anchor) open[number < OPEN] {
                summary {
                    h3 { (title(found, row)) }
                    @if found.known.is_some() { (icons::chip(("warn", "known"), "known")) }
                }
                div.inside { (divergence(found, row)) }
            }
        }
    };
    Some(Section { anchor: "divergences", heading: "Divergences", body })
}

fn title(found: &Divergence, row: &Row) -> String {
    let mut title = format!("{}: {}", row.title(), found.kind);
    if found.engine != "-" {
        title += &format!(", {}", found.engine);
        let reference = found.sides.first().map(|side| &side.engine);
        if let Some(reference) = reference.filter(|reference| **reference != found.engine) {
            title += &format!(" against {reference}");
        }
    }
    title
}

fn divergence(found: &Divergence, row: &Row) -> Markup {
    html! {
        p.message { (found.message) }
        (about(found, row))
        @if !found.sides.is_empty() {
            div {
                h4 { "States" }
                (scroll_box("Both states", states(found)))
            }
        }
        div.two {
            @if !found.proof.is_empty() {
                div { h4 { "Proof sequence" } (scroll_box("Proof sequence", proof(found))) }
            }
            @if !found.native.is_empty() {
                div { h4 { "Native code" } (scroll_box("Native code", native(found))) }
            }
        }
        @if let Some(case) = &found.minimised {
            div { h4 { "Minimised case" } (minimised(case)) }
        }
        @if let Some(command) = &found.reproduce {
            div {
                h4 { "Reproduce" }
                div.command { pre tabindex="0" { (command) } button type="button" data-copy hidden { "Copy" } }
            }
        }
    }
}

fn about(found: &Divergence, row: &Row) -> Markup {
    let operands: Vec<String> =
        found.operands.iter().map(|(name, value)| format!("{name}={value}")).collect();
    html! {
        dl.about {
            @if let Some(difference) = &found.first_difference {
                dt { "Differs" }
                dd {
                    code { (difference.r#where) } ": expected " code { (difference.expected) } ", found "
                    code { (difference.actual) }
                }
            }
            dt { "To blame" }
            dd { (found.blame) @if !found.blame_reason.is_empty() { ": " (found.blame_reason) } }
            @if let Some(known) = &found.known {
                dt { "Known" }
                dd { "until " (known.expires) ": " (known.reason) }
            }
            dt { "Payload" }
            dd { code { (found.payload) } @if !operands.is_empty() { " (" code { (operands.join(", ")) } ")" } }
            @if !found.features.is_empty() { dt { "CPU features" } dd { (found.features) } }
            @if found.occurrences > 0 { dt { "Seen" } dd { (plural(found.occurrences, "time")) } }
            @if let Some(source) = &row.source { dt { "Source" } dd { code { (source.file) ":" (source.line) } } }
            @if let Some(case) = &found.case { dt { "Case" } dd { code { (case) } } }
        }
    }
}

fn states(found: &Divergence) -> Markup {
    let sides = in_order(found);
    let entries = entries(found, &sides);
    html! {
        table.states {
            caption { "What each engine left in each place" }
            thead {
                tr {
                    th scope="col" { "Place" }
                    th scope="col" { "Before" }
                    @for (index, side) in sides.iter().enumerate() {
                        th scope="col" { (side.engine) @if index == 0 { " " span.under { "reference" } } }
                    }
                }
            }
            tbody { @for entry in &entries { (state_row(entry)) } }
        }
    }
}

fn state_row(entry: &Entry) -> Markup {
    html! {
        tr.first[entry.first_difference] {
            th scope="row" {
                (entry.place)
                @if entry.first_difference { span.tag { "first difference" } }
            }
            td { (entry.before) }
            @for cell in &entry.cells { (state_cell(cell)) }
        }
    }
}

fn state_cell(cell: &Cell) -> Markup {
    let text = cell.texts.join("\n");
    html! {
        @if cell.differs {
            td.differs { "\u{2260} " (text) }
        } @else {
            td { (text) }
        }
    }
}

fn proof(found: &Divergence) -> Markup {
    html! {
        table.listing {
            caption { "The proof sequence, instruction by instruction" }
            tbody {
                @for (number, text) in found.proof.iter().enumerate() { tr { td.num { (number) } td { (text) } } }
            }
        }
    }
}

fn native(found: &Divergence) -> Markup {
    html! {
        table.listing {
            caption { "The native code: offset, bytes, instruction" }
            tbody {
                @for line in &found.native {
                    tr { td.num { (format!("{:x}", line.offset)) } td.bytes { (line.bytes) } td { (line.text) } }
                }
            }
        }
    }
}

fn minimised(case: &str) -> Markup {
    let lines = case.lines().count();
    html! {
        @if lines > CASE_LINES {
            details.plain {
                summary { "All " (lines) " lines" }
                pre tabindex="0" { (case) }
            }
        } @else {
            pre tabindex="0" { (case) }
        }
    }
}
