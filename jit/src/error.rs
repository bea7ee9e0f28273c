// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a program cannot be lowered or compiled.

use kop_ops::ebpf::{Insn, ShapeError};
use kop_ops::program::FlowError;

/// Why a Kop site has no proof sequence or no native code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// The call names an id that the object does not declare.
    #[error("no operation has the id {0} here; declare it with the object")]
    UnknownId(i32),
    /// The object names an operation that the catalog does not have.
    #[error("{0}")]
    UnknownKop(#[from] kop_ops::catalog::UnknownKop),
    /// The operation has no such form.
    #[error("operation `{kop}` has no form `{form}`")]
    UnknownForm {
        /// The operation.
        kop: String,
        /// The form.
        form: String,
    },
    /// The operation refuses the payload.
    #[error("operation `{kop}` refuses payload {payload:#x}: {reason}")]
    Rejected {
        /// The operation.
        kop: String,
        /// The payload.
        payload: u64,
        /// Its reason.
        reason: String,
    },
    /// The proof sequence breaks the kernel's rules.
    #[error("operation `{kop}`: {source}")]
    Shape {
        /// The operation.
        kop: String,
        /// The rule.
        source: ShapeError,
    },
    /// The proof sequence has a value that is no instruction, or one that writes r10.
    #[error("operation `{kop}`: `{insn}` cannot stand in a program")]
    IllFormed {
        /// The operation.
        kop: String,
        /// The instruction.
        insn: Box<Insn>,
    },
    /// The emit is not as long as it says, or longer than the operation declares.
    #[error("operation `{kop}`: the emit says {said} bytes, writes {written}, and declares at most {limit}")]
    Size {
        /// The operation.
        kop: String,
        /// What it says.
        said: usize,
        /// What it writes.
        written: usize,
        /// What it declares.
        limit: usize,
    },
}

/// Why a program cannot be lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// A Kop site that cannot be replaced.
    #[error("program `{program}`, instruction {index}: {source}")]
    Site {
        /// The program.
        program: String,
        /// Index of the sidecar.
        index: usize,
        /// Why.
        source: SiteError,
    },
    /// A jump that does not reach its target any more.
    #[error(
        "program `{program}`, instruction {index}: the target is {offset} slots away once sites are replaced, \
             more than the 16 bits of its offset"
    )]
    TooFar {
        /// The program.
        program: String,
        /// Index of the jump.
        index: usize,
        /// How far.
        offset: i64,
    },
    /// What comes out is no program.
    #[error("program `{program}`, once sites are replaced: {source}")]
    Flow {
        /// The program.
        program: String,
        /// Why.
        source: FlowError,
    },
}

/// Why a program has no native code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// An instruction that cannot be compiled.
    #[error("instruction {index}: {reason}")]
    Unsupported {
        /// Index of the instruction.
        index: usize,
        /// Why.
        reason: String,
    },
    /// A Kop site that cannot be compiled.
    #[error("instruction {index}: {source}")]
    Site {
        /// Index of the sidecar.
        index: usize,
        /// Why.
        source: SiteError,
    },
}

impl CompileError {
    /// An instruction that cannot be compiled, and why.
    pub(crate) fn unsupported(index: usize, reason: impl Into<String>) -> Self {
        CompileError::Unsupported { index, reason: reason.into() }
    }
}
