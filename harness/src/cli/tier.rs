// SPDX-License-Identifier: GPL-2.0-or-later
//! Which compiler a command uses.

use kop_harness::tier::{self, Tier};

use super::Failure;

/// A compiler, as the command line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TierName {
    /// The JIT: instruction by instruction, with or without checks
    Jit,
    /// The native tier: optimising, for verified programs only
    Native,
    /// The one that has less to run, as far as the code says; the JIT for code with checks
    Auto,
}

impl TierName {
    /// The compiler; `unguarded` says whether code without checks was asked for.
    ///
    /// # Errors
    /// For the native tier with checks, or where the build is without it.
    pub fn tier(self, unguarded: bool) -> Result<Tier, Failure> {
        match self {
            TierName::Jit => Ok(Tier::Jit),
            TierName::Native if !tier::HAS_NATIVE => {
                Err(Failure::environment("this build is without the native tier (cargo feature `native`)"))
            }
            TierName::Native if !unguarded => {
                Err(Failure::usage(format!("--tier native: {}: add --unguarded", tier::VERIFIED_ONLY)))
            }
            TierName::Native => Ok(Tier::Native),
            TierName::Auto if unguarded => Ok(Tier::Auto),
            TierName::Auto => Ok(Tier::Jit),
        }
    }
}
