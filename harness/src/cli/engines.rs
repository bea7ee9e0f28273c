// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop engines`

use std::fmt::Write;

use kop_emulators::engines::ENGINES;
use kop_emulators::program::PROGRAM_ENGINES;

use super::{Failure, Outcome, print_all};

/// List the engines: which are here, which are not, why, and how to get them
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kop engines")]
pub struct Args {}

pub fn run(_args: &Args) -> Result<Outcome, Failure> {
    let (_, listed) = kop_harness::selection::available();
    let mut text = kop_reports::engines_table(&listed);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let line = |name: &str, available: Result<(), String>, through: &str| {
        let state = available.map_or_else(|reason| format!("absent: {reason}"), |()| through.to_owned());
        format!("  {name:<16} {state}\n")
    };
    let programs = PROGRAM_ENGINES.iter().map(|engine| line(engine.name, engine.available(), engine.through));
    let on_request = ENGINES.iter().filter(|engine| engine.on_request);
    let on_request = on_request.map(|engine| line(engine.name, engine.available(), engine.through));
    let _ = write!(text, "\nfor whole programs\n{}", programs.collect::<String>());
    let _ = write!(text, "\nfor operations, if --engines names them\n{}", on_request.collect::<String>());
    print_all(text.as_bytes())
}
