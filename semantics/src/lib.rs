// SPDX-License-Identifier: GPL-2.0-or-later
//! What eBPF means: its instructions, written once over a value domain; maps, helper functions and contexts; and over
//! integers the `spec` interpreter, which behaves as the kernel does.

pub mod run;
pub mod world;

pub use run::{Outcome, Run, Trap};
pub use world::{GuestMemory, Image, Reply, World};
