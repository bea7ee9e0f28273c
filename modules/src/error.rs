// SPDX-License-Identifier: GPL-2.0-or-later
//! Why there are no operations of a module.

use std::io;
use std::path::PathBuf;

use kop_ops::Arch;

/// What is wrong with a module, with its declarations, or with this machine.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The compiler refuses the source.
    #[error("{stderr}{}: {compiler} does not compile it for {arch}", path.display())]
    Compile {
        /// The source.
        path: PathBuf,
        /// The compiler's command.
        compiler: String,
        /// The architecture that it was compiled as for.
        arch: Arch,
        /// What the compiler said, ending with a line feed.
        stderr: String,
    },
    /// The file registers no operation.
    #[error("{}: {reason}", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The file is no module that can be loaded.
    #[error("{}: {reason}", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two files have an emit for the same operation and architecture.
    #[error("{name} has an emit for {arch} in {} and in {}: give one of them", first.display(), second.display())]
    Twice {
        /// The operation.
        name: String,
        /// The architecture.
        arch: Arch,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A contract cannot be understood or does not fit the operations.
    #[error("--contract {text}: {reason}")]
    Contract {
        /// The contract as it was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No payload of an operation is known.
    #[error("{}: {reason}", path.display())]
    Payloads {
        /// The file.
        path: PathBuf,
        /// Why, with the way out.
        reason: String,
    },
    /// There is no C compiler.
    #[error("no C compiler: {0}")]
    NoCompiler(String),
    /// A system call failed.
    #[error("could not {action}: {error}")]
    System {
        /// What it was to do.
        action: &'static str,
        /// The error.
        error: io::Error,
    },
}

impl ModuleError {
    /// Whether it is this machine that lacks something, and not the module.
    pub const fn is_environment(&self) -> bool {
        matches!(self, ModuleError::NoCompiler(_) | ModuleError::System { .. })
    }
}
