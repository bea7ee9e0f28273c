// SPDX-License-Identifier: GPL-2.0-or-later
//! The C of an exported operation, in the style of a kernel module.

mod aarch64;
mod block;
mod decode;
mod expression;
mod lines;
pub(super) mod module;
pub(super) mod names;
mod proof;
mod x86_64;
