// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations that are not written in Rust: kernel modules in C, and descriptions as text. Both become `impl Kop`, so that
//! whatever walks a catalog walks them.
//!
//! A module is [`Callbacks`]: functions over raw payloads that may do anything. `learn` finds out what their payloads
//! look like, and `operation` makes an operation of both.

#[cfg(feature = "assembler")]
pub mod assembler;
pub mod callbacks;
pub mod learn;
#[cfg(feature = "text")]
pub mod text;

pub use callbacks::{Answer, Asked, Callbacks, Descriptor, Emitted, NO_EMIT, Reply};
pub use learn::{LearnError, Learned, LearnedForm, learn};
