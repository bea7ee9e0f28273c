// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop replay`

use std::fmt::Write;
use std::path::PathBuf;

use kop_harness::case::load_tree;
use kop_harness::{Rig, replay, selection};
use kop_ops::Catalog;

use super::{Failure, Outcome, print_all};

/// Replay regression cases and list every one that fails
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop replay\n  kop replay findings corpus/regressions/rotate")]
pub struct Args {
    /// Cases, and directories with cases below them
    #[arg(value_name = "PATH", default_value = "corpus/regressions")]
    paths: Vec<PathBuf>,
    /// The engines that take part, separated by commas; all that are here by default (see `kop engines`)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    engines: Vec<String>,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let catalog = Catalog::einsn();
    let engines = if args.engines.is_empty() {
        selection::available().0
    } else {
        selection::by_names(args.engines.iter().map(String::as_str))?
    };
    let mut rig = Rig::new(&engines).map_err(Failure::environment)?;
    let (mut held, mut diverged, mut corrupt) = (0, 0, 0);
    let mut text = String::new();
    for (path, case) in load_tree(&args.paths, &catalog) {
        let case = match case {
            Ok(case) => case,
            Err(error) => {
                corrupt += 1;
                let _ = writeln!(text, "corrupt    {}: {error}", path.display());
                continue;
            }
        };
        let replayed = replay(&mut rig, &catalog, &case)?;
        if replayed.findings.is_empty() {
            held += 1;
            continue;
        }
        diverged += 1;
        let _ = writeln!(text, "divergent  {}: {}", path.display(), case.title());
        for finding in &replayed.findings {
            let arch = finding.arch.map_or("", |arch| arch.name());
            let _ = writeln!(text, "           {} {arch} {}", finding.kind, finding.message);
        }
    }
    let _ = writeln!(
        text,
        "{} replayed: {held} held, {diverged} diverged, {corrupt} corrupt",
        held + diverged + corrupt
    );
    print_all(text.as_bytes())?;
    Ok(match (diverged, corrupt) {
        (0, 0) => Outcome::Equivalent,
        (0, _) => Outcome::Usage,
        _ => Outcome::Divergent,
    })
}
