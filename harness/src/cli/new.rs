// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop new`

mod changes;
mod name;
mod project;

use super::{Failure, Outcome, print_all};

/// Write the skeleton of an operation into the project: a small sound one, to be changed
#[derive(clap::Args)]
#[command(
    long_about = "Write the skeleton of an operation into the project: a small sound one, to be changed\n\n\
                  Writes ops/src/kops/OP.rs, its lines in ops/src/kops/mod.rs and ops/src/catalog.rs, a first case in \
                  corpus/regressions/OP and the fuzz target OP; all of that or nothing. Run it anywhere inside the \
                  project, and build anew: the operations are compiled into kop.",
    after_help = "Example:\n  kop new and_not && cargo run --release --bin kop -- check and_not"
)]
pub struct Args {
    /// The operation's name in lower case, as in count_zeros
    #[arg(value_name = "OP")]
    op: String,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let name = name::Name::parse(&args.op)?;
    let here = std::env::current_dir().map_err(|error| Failure::usage(format!("this directory: {error}")))?;
    let root = project::root(&here)?;
    let changes = project::skeleton(&root, &name)?;
    changes.apply()?;
    let mut text = String::new();
    for path in changes.paths() {
        let shown = path.strip_prefix(&root).unwrap_or(path);
        let verb = if changes.is_new(path) { "wrote  " } else { "changed" };
        text.push_str(&format!("{verb}  {}\n", shown.display()));
    }
    text.push_str(&format!("next: cargo run --release --bin kop -- check {name}\n"));
    text.push_str(
        "then: KOP_BLESS=1 cargo test --release, which writes its fuzzing seeds and what commands print\n",
    );
    print_all(text.as_bytes())
}
