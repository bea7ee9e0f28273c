// SPDX-License-Identifier: GPL-2.0-or-later
//! A divergence as the oracle finds it, before it is minimised, saved and reported.

use kop_ops::{Arch, Features, State};
use kop_reports::{Blame, Difference, Kind, Side};

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// The engine that showed it, or `-`.
    pub engine: String,
    /// The row that it belongs to; `None` when it speaks against what both architectures share.
    pub arch: Option<Arch>,
    /// The CPU features that the code was emitted for.
    pub features: Features,
    /// The payload.
    pub payload: u64,
    /// The side that it speaks against.
    pub blame: Blame,
    /// Why that side.
    pub reason: String,
    /// What happened, in one line.
    pub message: String,
    /// The first difference.
    pub difference: Option<Difference>,
    /// The place of the difference in words that do not depend on the payload: what tells causes apart.
    pub place: String,
    /// The state and the garbage that show it; `None` when nothing was run.
    pub run: Option<(State, u64)>,
    /// What each engine did.
    pub sides: Vec<Side>,
}

impl Finding {
    /// What findings of one cause have in common.
    pub fn cause(&self) -> String {
        let arch = self.arch.map_or("any", Arch::name);
        format!("{arch}/{}/{}/{}", self.kind, self.blame, self.place)
    }

    /// Whether it is that code does not end, which takes a second to see each time.
    pub fn is_endless(&self) -> bool {
        let endless = kop_ops::Fault::RunAway.to_string();
        self.difference.as_ref().is_some_and(|difference| difference.actual == endless)
    }

    /// Whether it belongs to the row of `arch`.
    pub fn concerns(&self, arch: Arch) -> bool {
        self.arch.is_none_or(|own| own == arch)
    }
}
