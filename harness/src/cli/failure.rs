// SPDX-License-Identifier: GPL-2.0-or-later
//! How a command ends: an outcome or a failure, each with its exit code.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What a command that did its work says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing diverges.
    Equivalent,
    /// Something diverges.
    Divergent,
    /// The command was used or fed wrongly, and nothing diverged.
    Usage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Equivalent => 0,
            Outcome::Divergent => 1,
            Outcome::Usage => 2,
        })
    }
}

/// What keeps a command from its work: one line, with the way out.
#[derive(Debug)]
pub enum Failure {
    /// Bad usage or input.
    Usage(String),
    /// A source that does not compile.
    Compiler {
        /// What the compiler said, to be shown as it is.
        words: String,
        /// Which source it was.
        line: String,
    },
    /// The environment cannot do it.
    Environment(String),
}

impl Failure {
    /// Bad usage or input.
    pub fn usage(message: impl Display) -> Self {
        Failure::Usage(message.to_string())
    }

    /// The environment cannot do it.
    pub fn environment(message: impl Display) -> Self {
        Failure::Environment(message.to_string())
    }

    /// A path that cannot be read or written.
    pub fn path(path: &Path, error: impl Display) -> Self {
        Failure::Usage(format!("{}: {error}", path.display()))
    }

    /// Standard output cannot be written.
    pub fn output(error: std::io::Error) -> Self {
        Failure::Usage(format!("standard output: {error}"))
    }

    /// Prints the line and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let (code, message) = match self {
            Failure::Usage(message) => (2, message),
            Failure::Compiler { words, line } => {
                let _ = std::io::stderr().write_all(words.as_bytes());
                (2, line)
            }
            Failure::Environment(message) => (3, message),
        };
        // Where standard error is closed, the exit code has to do.
        let _ = writeln!(std::io::stderr(), "kop: {message}");
        ExitCode::from(code)
    }
}

impl From<kop_ops::catalog::UnknownKop> for Failure {
    fn from(error: kop_ops::catalog::UnknownKop) -> Self {
        Failure::usage(error)
    }
}

impl From<kop_harness::selection::SelectionError> for Failure {
    fn from(error: kop_harness::selection::SelectionError) -> Self {
        match error {
            kop_harness::selection::SelectionError::Unknown { .. } => Failure::usage(error),
            kop_harness::selection::SelectionError::Absent { .. } => {
                Failure::environment(format!("{error} (`kop engines` lists what is here)"))
            }
        }
    }
}
