// SPDX-License-Identifier: GPL-2.0-or-later
//! What every engine for whole programs offers, the list of them, and those that run compiled code.

pub mod aarch64;
pub mod block;
pub mod driver;
pub mod engines;
mod garbage;
mod memory;
pub mod native;
pub mod x86_64;

pub use block::RuntimeBlock;
pub use engines::{PROGRAM_ENGINES, ProgramEngineKind};

use kop_ops::Code;
use kop_semantics::{Outcome, Run};

/// Something that runs whole programs.
pub trait ProgramEngine {
    /// The name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// What it runs.
    fn runs(&self) -> Runs;

    /// How much of an outcome it knows.
    fn precision(&self) -> Precision {
        Precision::Exact
    }

    /// Why it cannot do this run, if it cannot.
    ///
    /// # Errors
    /// The reason in one line.
    fn admits(&self, job: &Job) -> Result<(), String>;

    /// Runs a program from its entry to its exit or a fault.
    fn run(&mut self, job: &Job) -> Outcome;

    /// Why the last run did not come about, through no fault of the program: its outcome means nothing then.
    fn undone(&self) -> Option<String> {
        None
    }
}

/// What an engine for programs runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runs {
    /// eBPF instructions.
    Ebpf,
    /// Compiled code.
    Code(kop_ops::Arch),
}

/// How much of an [`Outcome`] an engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// All of it, at the addresses of the run.
    Exact,
    /// r0, the window of a raw program or the packet of another, and what maps hold by key. Everything else of the outcome is
    /// as before the run. Memory lies at other addresses than those of the run, so that values which a program makes from them
    /// differ.
    Contents,
}

/// One run with the code for engines that run code.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The run.
    pub run: Run<'a>,
    /// The code of each program of the object, in order, compiled for the slot of the run's memory; empty for engines that
    /// run eBPF.
    pub codes: &'a [Code],
}
