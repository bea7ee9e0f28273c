// SPDX-License-Identifier: GPL-2.0-or-later
//! How rows and records stand, once known divergences are set apart.

use crate::mutation::Mutation;
use crate::record::{Divergence, Record, Row, RowVerdict, Verdict};

/// A row's verdict, once known divergences are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// No divergence was found.
    Equivalent,
    /// A divergence was found that is not known.
    Divergent,
    /// Every divergence that was found is a known one.
    Known,
    /// No engine here can run it.
    Untested,
}

impl Standing {
    /// Every standing, in the order of reports.
    pub const ALL: [Standing; 4] =
        [Standing::Equivalent, Standing::Divergent, Standing::Known, Standing::Untested];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Equivalent => "equivalent",
            Standing::Divergent => "divergent",
            Standing::Known => "known",
            Standing::Untested => "untested",
        }
    }
}

impl Row {
    /// How the row stands, once known divergences are set apart.
    pub fn standing(&self) -> Standing {
        match self.verdict {
            RowVerdict::Equivalent => Standing::Equivalent,
            RowVerdict::Untested => Standing::Untested,
            RowVerdict::Divergent => {
                let known = |divergence: &Divergence| divergence.known.is_some();
                match !self.divergences.is_empty() && self.divergences.iter().all(known) {
                    true => Standing::Known,
                    false => Standing::Divergent,
                }
            }
        }
    }
}

impl Record {
    /// Whether nothing in it is a failure: no divergence but known ones, no mutant that survived, and no lower mutation score.
    pub fn holds(&self) -> bool {
        self.verdict == Verdict::Equivalent && self.mutation.as_ref().is_none_or(Mutation::holds)
    }

    /// How many rows stand so.
    pub fn count(&self, standing: Standing) -> u64 {
        self.ops.iter().filter(|row| row.standing() == standing).count() as u64
    }

    /// The states of all rows.
    pub fn states(&self) -> u64 {
        self.ops.iter().fold(0, |sum, row| sum.saturating_add(row.states))
    }
}
