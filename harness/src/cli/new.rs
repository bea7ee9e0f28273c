// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop new`

mod changes;
mod files;
mod name;
mod project;

use std::path::PathBuf;

use super::{Failure, Outcome, print_all};
use files::Kind;

/// Write the skeleton of an operation: a small sound one, to be changed
#[derive(clap::Args)]
#[command(
    long_about = "Write the skeleton of an operation: a small sound one, to be changed\n\n\
                  Without an option it goes into the project: ops/src/kops/OP.rs, its lines in ops/src/kops/mod.rs and \
                  ops/src/catalog.rs, a first case in corpus/regressions/OP and the fuzz target OP; all of that or \
                  nothing. Run it anywhere inside the project, and build anew: the operations are compiled into kop. With \
                  --c or --text it goes into DIR, wherever that is.",
    after_help = "Examples:\n  kop new exclusive_or && cargo run --release --bin kop -- check exclusive_or\n  \
                  kop new and_not --c && kop check --module and_not_x86.c --module and_not_arm64.c\n  \
                  kop new and_not --text ~/kops && kop check --file ~/kops/and_not.kop.toml"
)]
pub struct Args {
    /// The operation's name in lower case, as in count_zeros
    #[arg(value_name = "OP")]
    op: String,
    /// The directory for --c and --text
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Write a kernel module in C instead: OP_x86.c and OP_arm64.c
    #[arg(long)]
    c: bool,
    /// Write an operation as text instead: OP.kop.toml
    #[cfg(feature = "text")]
    #[arg(long, conflicts_with = "c")]
    text: bool,
}

impl Args {
    /// What is written outside the project, if that is wanted.
    const fn kind(&self) -> Option<Kind> {
        #[cfg(feature = "text")]
        if self.text {
            return Some(Kind::Text);
        }
        if self.c { Some(Kind::Module) } else { None }
    }
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    match args.kind() {
        Some(kind) => outside(args, kind),
        None => inside(args),
    }
}

/// A skeleton outside the project.
fn outside(args: &Args, kind: Kind) -> Result<Outcome, Failure> {
    let name = name::Name::outside(&args.op)?;
    let changes = kind.skeleton(&args.directory, &name)?;
    changes.apply()?;
    let mut text = String::new();
    let mut check = "next: kop check".to_owned();
    for path in changes.paths() {
        let shown = path.strip_prefix(".").unwrap_or(path).display();
        text.push_str(&format!("wrote    {shown}\n"));
        check.push_str(&format!(" {} {shown}", kind.option()));
    }
    text.push_str(&format!("{check}\n"));
    print_all(text.as_bytes())
}

/// A skeleton in the project.
fn inside(args: &Args) -> Result<Outcome, Failure> {
    if args.directory.as_os_str() != "." {
        return Err(Failure::usage(
            "a directory goes with --c or --text; without them the project has its own",
        ));
    }
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
