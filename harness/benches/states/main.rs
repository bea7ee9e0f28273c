// SPDX-License-Identifier: GPL-2.0-or-later
//! States per second, on one core: of each engine on each form, of the oracle, of two jobs, and of fuzz targets.
//!
//! An engine runs the same states in up to four ways:
//!
//! * `batched`: a batch of [`STATES`] states through [`Engine::run`], as checks do it, of code that it has run before.
//! * `fresh`: the same of code that it has not, as it is with the first batch of each payload. Emulators translate it.
//! * `entry`: one state for each entry. For native code and for rbpf that is the loop of the limit with one row, made
//!   ready once: write the state, enter, read the result. Other engines get a batch of one state.
//! * `limit`: a loop of the guest that loads the operands, runs the code and stores the results. Nothing is generated,
//!   copied in or out, or compared.
//!
//! The oracle is [`Rig::run`] on states that are generated each time, with everything compared and one load in four observed.
//!
//! Ways take turns; a round keeps the quickest of some short samples of each, and what is printed is the median of the
//! rounds, for ratios that of the rounds' ratios: other work on the machine slows both sides of a ratio alike. That is why this is a plain program and
//! no divan benchmark, which compares nothing.
//!
//! usage: cargo bench -p kop-harness --bench states -- [--json FILE] [OP..]

mod engines;
mod fuzz;
mod limit;
mod oracle;
mod report;
mod sites;
mod turns;

use std::process::ExitCode;

use kop_ops::Catalog;

use report::Report;
use turns::Rounds;

/// The states of a batch: two odd halves.
const STATES: usize = 2046;

/// The most instructions of a proof that counts for the targets.
const SHORT_PROOF: usize = 16;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut json, mut names, mut rounds) = (None, Vec::new(), Rounds::SHORT);
    while let Some(argument) = arguments.next() {
        match &*argument {
            // Cargo passes it to benchmarks; without it, as under `cargo test --benches`, one short round has to do.
            "--bench" => rounds = Rounds::FULL,
            "--json" => json = arguments.next(),
            _ => names.push(argument),
        }
    }
    let catalog = Catalog::einsn();
    let sites = sites::all(&catalog, &names);
    if sites.is_empty() {
        eprintln!("no operation is called {}; `kop list` shows their names", names.join(", "));
        return ExitCode::from(2);
    }
    let mut report = Report::new(rounds);
    for site in &sites {
        engines::measure(site, rounds, &mut report);
        oracle::measure(site, rounds, &mut report);
    }
    oracle::measure_jobs(&sites, rounds, &mut report);
    fuzz::measure(&catalog, &sites, &names, rounds, &mut report);
    report.print_summary();
    match json.map(|file| (report.write(&file), file)) {
        Some((Err(error), file)) => {
            eprintln!("{file}: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}
