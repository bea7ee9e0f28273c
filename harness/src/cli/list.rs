// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop list`

use std::fmt::Write;

use kop_harness::describe::payloads_total;
use kop_ops::Arch;

use super::sources::Sources;
use super::{Failure, Outcome, print_all};

/// List the operations with their forms
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  kop list\n  kop list --names\n  kop list --module rotate_x86.c --module rotate_arm64.c"
)]
pub struct Args {
    /// Print the names of the operations only
    #[arg(long)]
    names: bool,
    #[command(flatten)]
    sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let loaded = args.sources.load()?;
    let catalog = loaded.catalog();
    let mut text = String::new();
    for kop in catalog.kops() {
        if args.names {
            let _ = writeln!(text, "{}", kop.name());
            continue;
        }
        let features: Vec<String> = Arch::ALL
            .into_iter()
            .filter(|&arch| !kop.features(arch).is_empty())
            .map(|arch| format!("{arch}: {}", kop.features(arch)))
            .collect();
        let features =
            if features.is_empty() { String::new() } else { format!("  [{}]", features.join("; ")) };
        let _ = writeln!(text, "{:<13} {}{features}", kop.name(), kop.summary());
        for form in kop.forms() {
            let total = payloads_total(*kop, form);
            let _ = writeln!(text, "  {:<11} {:<61} {total:>9} payloads", form.name, form.meaning);
        }
    }
    print_all(text.as_bytes())
}
