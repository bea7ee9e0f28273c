// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop headers`

use std::path::PathBuf;

use super::{Failure, Outcome, print_all};

/// Write the kernel headers that modules are compiled against: for editors, and to build shared objects
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kop headers include && cc -shared -fPIC -Iinclude -DCONFIG_X86_64=1 -o my_op.so \
                  my_op_x86.c && kop check --module my_op.so"
)]
pub struct Args {
    /// The directory, which is made; files of these names in it are replaced
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let directory = &args.directory;
    kop_modules::headers::write_to(directory).map_err(|error| Failure::path(directory, error))?;
    let count = kop_modules::headers::HEADERS.len();
    print_all(format!("{count} headers written to {}\n", directory.display()).as_bytes())
}
