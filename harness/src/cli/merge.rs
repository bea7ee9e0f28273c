// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop merge`

use std::path::PathBuf;

use kop_harness::campaign::{self, merge, number};

use super::{Failure, Outcome, print_all};

/// Merge what the shards of a campaign know, and their cases, into one directory
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop merge part0 part1 part2 --into whole\n  kop campaign --dir whole --status"
)]
pub struct Args {
    /// The directories of campaigns with one seed
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Where everything goes; what is there already is kept, so that merging again changes nothing
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let merged = merge(&args.dirs, &args.into)?;
    let state = campaign::store::read(&args.into)?;
    print_all(
        format!(
            "{}: {} units, {} states, {} findings; {} cases are new or smaller\n",
            args.into.display(),
            number(merged.units),
            number(state.states_run()),
            merged.findings,
            merged.cases
        )
        .as_bytes(),
    )?;
    Ok(if merged.findings == 0 { Outcome::Equivalent } else { Outcome::Divergent })
}
