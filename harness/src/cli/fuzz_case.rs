// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop fuzz-case`

use std::path::PathBuf;

use kop_harness::bounded;
use kop_harness::fuzz::{Target, seeds};
use kop_ops::Catalog;

use super::sources::Sources;
use super::{Failure, Outcome, print_all};

/// Show what a fuzzer's input means to a fuzz target: for an operation, the case
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  kop fuzz-case rotate fuzz/artifacts/rotate/crash-1f0c\n  \
                        kop fuzz-case all input.bytes > input.kop && kop repro input.kop\n  \
                        kop fuzz-case --seeds corpus/fuzz")]
pub struct Args {
    /// The fuzz target: an operation, `all`, `assemblers`, `decoders`, `program`, `jit_instruction` or `loader`
    #[arg(required_unless_present = "seeds")]
    target: Option<String>,
    /// The file that libFuzzer wrote
    #[arg(value_name = "BYTES-FILE", required_unless_present = "seeds")]
    file: Option<PathBuf>,
    /// Write the seeds and the dictionary of every fuzz target instead, in place of those in DIR
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "file"])]
    seeds: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    if let Some(directory) = &args.seeds {
        let count = seeds::write(directory, &Catalog::einsn()).map_err(Failure::usage)?;
        return print_all(format!("{count} files written to {}\n", directory.display()).as_bytes());
    }
    let (Some(name), Some(path)) = (&args.target, &args.file) else {
        unreachable!("clap asks for both unless seeds are to be written")
    };
    let loaded = args.sources.load()?;
    let catalog = loaded.everything();
    let target = Target::find(&catalog, name).map_err(Failure::usage)?;
    let bytes = bounded::read(path, bounded::MAX_FUZZER_INPUT).map_err(|error| Failure::path(path, error))?;
    print_all(target.show(&catalog, &bytes).as_bytes())
}
