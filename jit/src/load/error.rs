// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a file is no object of programs.

use std::fmt;

use kop_ops::ebpf::{DecodeError, ParseError};
use kop_ops::program::FlowError;

use super::{MAX_MAPS, MAX_PROGRAMS};

/// Why a file is not loaded, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is no ELF object, or a broken one.
    #[error("not a sound ELF object: {0}")]
    Elf(String),
    /// It is an ELF file for something else.
    #[error("an ELF file, but not an object for little-endian eBPF: compile with `clang -target bpf -c`")]
    Machine,
    /// It holds no program.
    #[error("the file holds no program")]
    NoPrograms,
    /// It holds too many programs.
    #[error("more than {MAX_PROGRAMS} programs")]
    TooManyPrograms,
    /// Its programs are too long, with the functions that each of them calls.
    #[error("the programs take more than {0} slots in all, with the functions that each of them calls")]
    TooLong(usize),
    /// It declares too many maps.
    #[error("more than {MAX_MAPS} maps, global data included")]
    TooManyMaps,
    /// A section cannot be used.
    #[error("section `{section}`: {reason}")]
    Section {
        /// Its name.
        section: String,
        /// Why.
        reason: String,
    },
    /// A map cannot be used.
    #[error("map `{map}`: {reason}")]
    Map {
        /// Its name.
        map: String,
        /// Why.
        reason: String,
    },
    /// An instruction cannot be linked.
    #[error("{place}: {reason}")]
    Link {
        /// Where it is.
        place: Place,
        /// Why.
        reason: String,
    },
    /// A program holds bytes that are no instruction.
    #[error("program `{program}`: {error}")]
    Decode {
        /// The program or function.
        program: String,
        /// What, and in which slot.
        error: DecodeError,
    },
    /// A program's control flow is not sound.
    #[error("program `{program}`: {error}")]
    Flow {
        /// The program.
        program: String,
        /// What, and at which instruction.
        error: FlowError,
    },
    /// Text that is no program.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A directive that cannot be used.
    #[error("line {line}: {reason}")]
    Directive {
        /// Line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// It was to be text.
    #[error("not text: the file is not UTF-8")]
    NotText,
}

/// A slot of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The section.
    pub section: String,
    /// The function.
    pub function: String,
    /// Number of the slot in the function.
    pub slot: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section `{}`, function `{}`, slot {}", self.section, self.function, self.slot)
    }
}

impl LoadError {
    pub(super) fn section(section: &str, reason: impl Into<String>) -> Self {
        LoadError::Section { section: section.to_owned(), reason: reason.into() }
    }

    pub(super) fn map(map: &str, reason: impl Into<String>) -> Self {
        LoadError::Map { map: map.to_owned(), reason: reason.into() }
    }
}

impl From<object::Error> for LoadError {
    fn from(error: object::Error) -> Self {
        LoadError::Elf(error.to_string())
    }
}
