// SPDX-License-Identifier: GPL-2.0-or-later
//! A check as plain text: one line per row, a block per divergence, a summary at the end.
//!
//! What is printed depends on the record and the [`Style`] alone. Lines carry no trailing spaces. Tables, blocks and
//! summaries end in a newline; a row's line does not.

mod divergence;
mod line;
mod mutation;
mod proof;
mod report;
mod row;
mod sides;
mod summary;

pub(crate) use line::{Block, Paint};

pub use divergence::divergence;
pub use proof::{proof_header, proof_line, proof_summary};
pub use report::report;
pub use row::{row_header, row_line, verbose_classes};
pub use summary::{engines_table, summary};

/// The width in columns that a [`Style`] has by default, and of what is printed without one.
const DEFAULT_WIDTH: usize = 110;

/// The narrowest width in columns; less is taken for this.
const LEAST_WIDTH: usize = 80;

/// How text is laid out and painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI escapes paint it. Nothing is told by colour alone.
    pub color: bool,
    /// The columns that there are; fewer than 80 are taken for 80. Only what has no place to break (a word of a
    /// command, a line of a case) goes beyond.
    pub width: usize,
}

impl Default for Style {
    /// No colour, 110 columns.
    fn default() -> Self {
        Self { color: false, width: DEFAULT_WIDTH }
    }
}

impl Style {
    fn columns(self) -> usize {
        self.width.max(LEAST_WIDTH)
    }
}
