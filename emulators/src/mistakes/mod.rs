// SPDX-License-Identifier: GPL-2.0-or-later
//! Instructions that emulators execute wrongly, so that their engines refuse code with them. One file per architecture,
//! mirrored; `semantics/DIFFERENCES.md` has the whole list, and the campaigns of this crate's tests hold both against it.
//!
//! An instruction that is wrong for some operands only is refused for all, as these may come from registers.

pub mod aarch64;
pub mod x86_64;

/// What a CPU gets wrong in a code, in a few words; `None` for code that it executes rightly.
pub type Mistake = fn(&[u8]) -> Option<&'static str>;

/// A CPU that makes no mistake.
pub fn none(_code: &[u8]) -> Option<&'static str> {
    None
}
