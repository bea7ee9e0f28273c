// SPDX-License-Identifier: GPL-2.0-or-later
//! What eBPF means: its instructions, written once over a value domain; maps, helper functions and contexts; and over
//! integers the `spec` interpreter, which behaves as the kernel does. What native instructions mean, over the same domains.

pub mod aarch64;
pub mod circuits;
pub mod domain;
pub mod ebpf;
pub mod native;
pub mod run;
pub mod spec;
#[cfg(test)]
mod widths;
pub mod world;
pub mod x86_64;

pub use domain::{Domain, Integers};
pub use run::{Contents, Outcome, Run, Trap};
pub use world::{GuestMemory, Image, Input, Reply, SetupError, World};
