// SPDX-License-Identifier: GPL-2.0-or-later
//! Where a command writes a report.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Failure, print_all};

/// A file or standard output, opened before the work starts.
pub(super) enum Output {
    Stdout,
    File(PathBuf, File),
}

impl Output {
    /// Opens it.
    ///
    /// # Errors
    /// The path and what the operating system says.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Output::Stdout);
        }
        let file = File::create(path).map_err(|error| Failure::path(path, error))?;
        Ok(Output::File(path.to_owned(), file))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The path and what the operating system says.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Output::Stdout => print_all(bytes).map(drop),
            Output::File(path, file) => file.write_all(bytes).map_err(|error| Failure::path(path, error)),
        }
    }
}
