// SPDX-License-Identifier: GPL-2.0-or-later
//! Every engine that executes a proof sequence, a model or native code, behind one trait, and the machines that engines
//! for native code run on.

pub mod arena;
pub mod engine;
pub mod engines;
#[cfg(feature = "native")]
pub mod host;
#[cfg(feature = "native")]
pub mod inspect;
pub mod kernel;
pub mod machine;
pub mod mistakes;
pub mod model;
pub mod native;
pub mod native_engine;
pub mod program;
pub mod rbpf;
pub mod semantics;
pub mod slots;
pub mod spec;
#[cfg(feature = "native")]
pub mod stopwatch;
#[cfg(feature = "native")]
pub mod traffic;
#[cfg(feature = "unicorn")]
pub mod unicorn;

pub use engine::{
    AccessRecord, Batch, BatchResult, Chunk, ChunkResult, Doubt, Engine, Executes, FrameBreach, NativeCode,
    Observation, Probe, Program,
};
