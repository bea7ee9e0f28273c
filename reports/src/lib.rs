// SPDX-License-Identifier: GPL-2.0-or-later
//! Versioned result records and their renderings; depends on no other crate of the project.

mod bench;
mod compare;
mod html;
mod join;
mod junit;
mod known;
mod markdown;
mod mutation;
mod record;
#[cfg(test)]
mod samples;
mod sarif;
#[cfg(test)]
mod schema;
mod score;
mod standing;
mod states;
mod text;
mod words;

pub use bench::{
    Attribution, BENCH_SCHEMA, Bench, BenchBackend, BenchFailure, BenchProgram, Cell, Gain, Group, Mean,
    Measure, SiteBytes, Spread, Timing, Trust, Trusted, baselines,
};
pub use compare::Comparison;
pub use html::{html, svg};
pub use junit::junit;
pub use known::{Date, Judged, Known, KnownList};
pub use markdown::markdown;
pub use mutation::{Mutant, MutatedSide, Mutation, MutationRow, Sample};
pub use record::{
    Blame, Difference, Divergence, Engine, Kind, ListingLine, Proof, ProofVerdict, Rate, Record,
    RegisterPair, Row, RowVerdict, SCHEMA, Side, Source, Timings, Variant, Verdict,
};
pub use sarif::sarif;
pub use score::Baseline;
pub use standing::Standing;
pub use text::{
    Style, divergence, engines_table, proof_header, proof_line, proof_summary, report, row_header, row_line,
    summary, verbose_classes,
};
