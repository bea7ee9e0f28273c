// SPDX-License-Identifier: GPL-2.0-or-later
//! Why a program has no native function.

/// Why a program has no native function.
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
    /// The back end refuses the function: a mistake here or there.
    #[error("the back end refuses the function: {0}")]
    BackEnd(String),
}

impl CompileError {
    /// An instruction that cannot be compiled, and why.
    pub(crate) fn unsupported(index: usize, reason: impl Into<String>) -> Self {
        CompileError::Unsupported { index, reason: reason.into() }
    }
}
