// SPDX-License-Identifier: GPL-2.0-or-later
//! `kop export`

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use kop_harness::export::{Export, File, export};
use kop_ops::Catalog;

use super::{Failure, Outcome, print_all};

/// Write an operation as the C sources of a kernel module, for both architectures
#[derive(clap::Args)]
#[command(
    long_about = "Write an operation as the C sources of a kernel module, for both architectures\n\nEvery form becomes an \
                  operation bpf_OP_FORM. Its emits give the same bytes as those of the catalog, and its proof sequences are \
                  the same. Forms that need SIMD registers are left out and named: kernel code has those registers only \
                  when it saves them.",
    after_help = "Example:\n  kop export rotate --kernel-module rotate && kop check --module rotate/rotate_x86.c"
)]
pub struct Args {
    /// The operation
    #[arg(value_name = "OP")]
    op: String,
    /// The directory for OP.h, OP_x86.c, OP_arm64.c and a Makefile; made if it is not there
    #[arg(long, value_name = "DIR", required = true)]
    kernel_module: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args) -> Result<Outcome, Failure> {
    let catalog = Catalog::einsn();
    let kop = catalog.get(&args.op)?;
    let directory = &args.kernel_module;
    if !args.force {
        let names = ["Makefile".to_owned()]
            .into_iter()
            .chain(["_x86.c", "_arm64.c", ".h"].map(|end| format!("{}{end}", kop.name())));
        if let Some(there) =
            names.map(|name| directory.join(name)).find(|path| path.symlink_metadata().is_ok())
        {
            return Err(Failure::usage(format!(
                "{}: is there already (--force writes over it)",
                there.display()
            )));
        }
    }
    // A directory that cannot be written is told before the work.
    fs::create_dir_all(directory).map_err(|error| Failure::path(directory, error))?;
    let exported = export(kop).map_err(Failure::usage)?;
    for file in &exported.files {
        write(directory, file)?;
    }
    print_all(told(kop.name(), directory, &exported).as_bytes())
}

fn write(directory: &Path, file: &File) -> Result<(), Failure> {
    let path = directory.join(&file.name);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    let written = opened.and_then(|mut opened| opened.write_all(file.text.as_bytes()));
    written.map_err(|error| Failure::path(&path, error))
}

/// What was written, what was left out, and how to check it.
fn told(name: &str, directory: &Path, exported: &Export) -> String {
    let mut text = String::new();
    for file in &exported.files {
        text += &format!("wrote  {}\n", directory.join(&file.name).display());
    }
    for (operation, form) in &exported.operations {
        text += &format!("       {operation} is form {form}\n");
    }
    for left in &exported.left_out {
        text += &format!("left out  form {}, {}: {}\n", left.form, left.arch, left.reason);
    }
    let shown = |file: String| directory.join(file).display().to_string();
    text += &format!("next: kop check --module {}", shown(format!("{name}_x86.c")));
    text += &format!(" --module {}", shown(format!("{name}_arm64.c")));
    for contract in &exported.contracts {
        text += &format!(" --contract {contract}");
    }
    text + "\n"
}
