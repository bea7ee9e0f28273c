// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop engines`

use std::fmt::Write;

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
    let _ = writeln!(text, "\nfor whole programs");
    for engine in kop_emulators::program::PROGRAM_ENGINES {
        let state = engine
            .available()
            .map_or_else(|reason| format!("absent: {reason}"), |()| engine.through.to_owned());
        let _ = writeln!(text, "  {:<16} {state}", engine.name);
    }
    print_all(text.as_bytes())
}
