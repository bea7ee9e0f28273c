// SPDX-License-Identifier: GPL-2.0-or-later
//! Operations that are not written in Rust: kernel modules in C, and descriptions as text. Both become `impl Kop`, so that
//! whatever walks a catalog walks them.
//!
//! A module is [`Callbacks`]: functions over raw payloads that may do anything. `learn` finds out what their payloads
//! look like, and `operation` makes an operation of both.

#[cfg(feature = "assembler")]
pub mod assembler;
pub mod callbacks;
mod compile;
mod contained;
mod contract;
mod error;
pub mod headers;
pub mod in_process;
pub mod learn;
mod module;
mod operation;
#[cfg(feature = "text")]
pub mod text;

pub use callbacks::{Answer, Asked, Callbacks, Descriptor, Emitted, NO_EMIT, Reply};
pub use contained::Contained;
pub use error::ModuleError;
pub use learn::{LearnError, Learned, LearnedForm, learn};
pub use module::{Options, Timings, load};
pub use operation::ModuleKop;
