// SPDX-License-Identifier: GPL-2.0-or-later
//! Program files as commands take them: which file, which program of it, of which kind.

use std::path::PathBuf;

use kop_harness::bounded;
use kop_harness::program::text;
use kop_jit::LoadOptions;
use kop_ops::{Catalog, Object, ProgramKind};

use super::Failure;

/// A file of programs.
#[derive(clap::Args)]
pub struct ProgramFile {
    /// An ELF object for eBPF (clang, Rust with aya), raw bytecode, or text
    file: PathBuf,
    /// The program, for a file with several
    #[arg(long, value_name = "NAME")]
    prog: Option<String>,
    /// What the programs are, whatever the file says
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Option<Kind>,
}

/// A kind of program.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// No context: r1 is the address of the data and r2 their length
    Raw,
    /// r1 is a `struct xdp_md`
    Xdp,
    /// r1 is a `struct __sk_buff`
    Tc,
}

impl ProgramFile {
    /// The file's name as messages show it.
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// The objects in the file.
    pub fn load(&self, catalog: &Catalog) -> Result<Object, Failure> {
        let bytes = bounded::read(&self.file, bounded::MAX_PROGRAM_FILE);
        let bytes = bytes.map_err(|error| Failure::path(&self.file, error))?;
        if text::is_case(&bytes) {
            return Err(Failure::path(&self.file, A_CASE));
        }
        let kind = self.kind.map(|kind| match kind {
            Kind::Raw => ProgramKind::Raw,
            Kind::Xdp => ProgramKind::Xdp,
            Kind::Tc => ProgramKind::Tc,
        });
        let options = LoadOptions { format: None, kind, catalog: Some(catalog) };
        kop_jit::load(&bytes, &options).map_err(|error| Failure::path(&self.file, error))
    }

    /// The program that `--prog` names; `None` without it.
    pub fn named(&self, object: &Object) -> Result<Option<usize>, Failure> {
        let Some(name) = &self.prog else { return Ok(None) };
        let found = object.programs.iter().position(|program| program.name == *name);
        let missing = || Failure::path(&self.file, format!("no program `{name}` ({})", names(object)));
        found.map(Some).ok_or_else(missing)
    }

    /// The program that `--prog` names, or the only one.
    pub fn one(&self, object: &Object) -> Result<usize, Failure> {
        match (self.named(object)?, object.programs.len()) {
            (Some(index), _) => Ok(index),
            (None, 1) => Ok(0),
            (None, _) => {
                let reason = format!("several programs, choose one with --prog NAME ({})", names(object));
                Err(Failure::path(&self.file, reason))
            }
        }
    }
}

/// What is said of a case in place of a program.
pub(super) const A_CASE: &str = "a case of a whole program, with its packet and what its memory holds, and no program file: \
                                 `kop replay FILE` runs it on every engine";

fn names(object: &Object) -> String {
    let names: Vec<&str> = object.programs.iter().map(|program| program.name.as_str()).collect();
    format!("it has {}", names.join(", "))
}
