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
    /// The native tier with LLVM behind it, for which clang is run
    Llvm,
    /// The one whose code is the quickest on the packets, or without packets has less to run; the JIT for code with checks
    Auto,
}

impl TierName {
    /// The compiler; `unguarded` says whether code without checks was asked for.
    ///
    /// # Errors
    /// For the native tier with checks, or where it is not here.
    pub fn tier(self, unguarded: bool) -> Result<Tier, Failure> {
        let tier = match self {
            TierName::Native => Tier::Native,
            TierName::Llvm => Tier::Llvm,
            TierName::Auto if unguarded => return Ok(Tier::Auto),
            TierName::Jit | TierName::Auto => return Ok(Tier::Jit),
        };
        tier.is_here().map_err(Failure::environment)?;
        match unguarded {
            true => Ok(tier),
            false => Err(Failure::usage(format!("--tier {tier}: {}: add --unguarded", tier::VERIFIED_ONLY))),
        }
    }
}
