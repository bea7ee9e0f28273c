// SPDX-License-Identifier: GPL-2.0-or-later
//! What the prover says of each row, and what that rests on.

use maud::html;

use super::{Section, icons, scroll_box};
use crate::record::{Proof, Record, Row};
use crate::words::{duration, number};

pub(super) fn section(record: &Record) -> Option<Section> {
    let rows: Vec<(&Row, &Proof)> =
        record.ops.iter().filter_map(|row| Some((row, row.proof.as_ref()?))).collect();
    if rows.is_empty() {
        return None;
    }
    let table = html! {
        table.verdicts {
            caption { "What is proved of each row" }
            thead {
                tr {
                    th scope="col" { "Row" } th scope="col" { "Verdict" } th.num scope="col" { "Payloads proved" }
                    th.num scope="col" { "Formulas" } th.num scope="col" { "Solved" } th.num scope="col" { "Time" }
                    th scope="col" { "Rests on" }
                }
            }
            tbody {
                @for (row, proof) in &rows {
                    tr {
                        th scope="row" { (row.title()) }
                        td { (icons::chip(icons::of_proof(proof.verdict), proof.verdict.name())) }
                        td.num {
                            (number(proof.payloads))
                            @if proof.payloads_total > 0 { span.mute { " of " (number(proof.payloads_total)) } }
                        }
                        td.num { (number(proof.formulas)) }
                        td.num { (number(proof.solved)) }
                        td.num { (duration(proof.seconds)) }
                        td.why { (rests_on(row, proof)) }
                    }
                }
            }
        }
    };
    let body = html! {
        p.hint {
            "All inputs at once, from the bytes that the emit produced. Formulas are what all payloads come to; those that "
            "needed more than normalising were solved."
        }
        (scroll_box("Proofs", table))
    };
    Some(Section { anchor: "proofs", heading: "Proofs", body })
}

/// Why there is no verdict, or what it depends on besides the solver's proofs.
fn rests_on(row: &Row, proof: &Proof) -> String {
    let cached = (proof.recalled > 0).then(|| format!("{} known from earlier runs", number(proof.recalled)));
    let contract = row.contract.iter().map(|text| format!("the contract {text}"));
    let texts =
        proof.reason.iter().cloned().chain(proof.algebra.iter().cloned()).chain(contract).chain(cached);
    texts.collect::<Vec<_>>().join("; ")
}
