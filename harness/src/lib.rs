// SPDX-License-Identifier: GPL-2.0-or-later
//! The harness: does native code do exactly what its proof sequence says, for every payload and every state?
//!
//! Three layers: [`generate`] makes payloads and states, [`rig`] is the oracle that runs and compares them, and what asks
//! ([`check`], [`replay`](mod@replay), fuzz targets) is glue. An operation of one's own is checked by [`assert_equivalent`].

pub mod behaviour;
pub mod bench;
pub mod bounded;
pub mod campaign;
pub mod case;
pub mod check;
pub mod conformance;
pub mod describe;
pub mod emit;
pub mod execute;
pub mod export;
pub mod finding;
pub mod fuzz;
pub mod generate;
pub mod minimise;
#[cfg(feature = "prover")]
pub mod mutate;
pub mod packets;
mod place;
pub mod planted;
pub mod plugin;
pub mod pointers;
mod prepare;
pub mod program;
#[cfg(feature = "prover")]
pub mod prove;
mod rates;
pub mod replay;
pub mod rewrite;
pub mod rig;
pub mod selection;
pub mod subject;
mod temporaries;
pub mod tier;
mod turns;

pub use case::Case;
pub use check::{Settings, check};
pub use finding::Finding;
pub use kop_ops as ops;
pub use kop_reports as reports;
pub use replay::replay;
pub use rig::Rig;
pub use subject::Scope;

use kop_ops::Catalog;

/// Checks every operation of a catalog and panics with a report when one diverges: an operation's whole test.
///
/// # Panics
/// With the divergences, each minimised and with the case that reproduces it, or when an engine cannot be made.
pub fn assert_equivalent(catalog: &Catalog) {
    let settings = Settings::default();
    let checked =
        check(catalog, &settings, &check::Quiet, &|_, _, _| ()).unwrap_or_else(|reason| panic!("{reason}"));
    let record = checked.record(&settings, None).unwrap_or_else(|reason| panic!("{reason}"));
    let style = reports::Style { color: false, width: 110 };
    let blocks: Vec<String> = record
        .ops
        .iter()
        .flat_map(|row| row.divergences.iter().map(move |found| reports::divergence(found, row, style)))
        .collect();
    assert!(blocks.is_empty(), "\n{}", blocks.join("\n"));
}
