// SPDX-License-Identifier: GPL-2.0-or-later
//! Assemblers that are not ours, behind one error type: the judges of our encoders.
//!
//! [`keystone::Keystone`] is in-process; [`gnu`] runs the system's GNU as for what Keystone does not know or gets wrong.

pub mod gnu;
pub mod keystone;

pub use keystone::Keystone;

/// Why an independent assembler gave no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblerError {
    /// The assembler does not accept the text.
    #[error("{assembler} refuses `{text}`: {message}")]
    Refused {
        /// Which assembler.
        assembler: &'static str,
        /// What it was given; the first line that it does not accept, where it says which.
        text: String,
        /// Its words.
        message: String,
    },
    /// A program that the check needs is not installed.
    #[error("`{program}` is not installed (Debian package {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Keystone could not be opened.
    #[error("keystone does not start: {0}")]
    Keystone(String),
    /// Running a program or exchanging files with it failed.
    #[error("{action}: {message}")]
    Io {
        /// What was attempted.
        action: String,
        /// The system's words.
        message: String,
    },
}
