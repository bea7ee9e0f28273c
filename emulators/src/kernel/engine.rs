// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine `kernel`: whole programs in the running kernel.

use std::cell::RefCell;
use std::io;

use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};
use kop_ops::{Fault, ProgramKind};
use kop_semantics::{Outcome, Run, Trap};

use super::context::{self, Place};
use super::load::{Ended, Loaded};
use super::sys::TestRun;
use super::{KernelError, available};
use crate::program::{Job, Precision, ProgramEngine, Runs};

/// Its name on the command line and in reports.
pub const NAME: &str = "kernel";

/// What a raw program is run on: the kernel wants an Ethernet header at least.
const NO_PACKET: [u8; 64] = [0; 64];

/// The running kernel. What it tells of a run is r0, the window of a raw program or the packet, and what maps hold
/// ([`Precision::Contents`]); the addresses that a program sees are the kernel's, so that what it computes from them differs.
#[derive(Debug)]
pub struct KernelEngine {
    /// What was loaded last, with the length in its prologue: a program runs on many states.
    loaded: RefCell<Option<(Loaded, u64)>>,
}

impl KernelEngine {
    /// The engine, if bpf(2) is to be had.
    ///
    /// # Errors
    /// As [`available`].
    pub fn new() -> Result<Self, String> {
        available()?;
        Ok(Self { loaded: RefCell::new(None) })
    }

    /// Loads what `run` is of, unless it is loaded already.
    fn load(&self, run: &Run) -> Result<(), KernelError> {
        let length = match run.object.programs[run.entry].kind {
            ProgramKind::Raw => run.registers[Reg::R2.index()],
            ProgramKind::Xdp | ProgramKind::Tc => 0,
        };
        let mut loaded = self.loaded.borrow_mut();
        if !loaded.as_ref().is_some_and(|(loaded, of)| *of == length && loaded.is_of(run.object, run.entry)) {
            *loaded = None;
            *loaded = Some((Loaded::new(run.object, run.entry, length, true)?, length));
        }
        Ok(())
    }
}

impl ProgramEngine for KernelEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn runs(&self) -> Runs {
        Runs::Ebpf
    }

    fn precision(&self) -> Precision {
        Precision::Contents
    }

    fn admits(&self, job: &Job) -> Result<(), String> {
        let run = &job.run;
        let program = &run.object.programs[run.entry];
        match program.kind {
            ProgramKind::Raw if run.registers[Reg::R1.index()] != run.image.slot.window() => {
                return Err("the verifier has to know that r1 is the window, and here it is not".to_owned());
            }
            ProgramKind::Raw => {}
            ProgramKind::Xdp | ProgramKind::Tc => context::admits(program.kind, run.image)?,
        }
        if !run.object.maps.is_empty() {
            return Err("maps: what they hold is not put into the kernel here".to_owned());
        }
        let programs = run.object.programs.iter().flat_map(|program| program.flow.insns());
        for insn in programs {
            if let Insn::Call { target: CallTarget::Helper(id) } = insn {
                return Err(format!("helper {id} is not compared with the kernel"));
            }
        }
        self.load(run).map_err(|error| error.to_string())
    }

    fn run(&mut self, job: &Job) -> Outcome {
        let run = &job.run;
        let mut outcome = Outcome {
            end: Ok(0),
            registers: None,
            defined: RegSet::of(&[Reg::R0]),
            world: run.world.clone(),
            image: run.image.clone(),
        };
        match self.load(run).and_then(|()| {
            let loaded = self.loaded.borrow();
            let (loaded, _) = loaded.as_ref().expect("it was just loaded");
            execute(loaded, run, &mut outcome)
        }) {
            Ok(r0) => outcome.end = Ok(r0),
            Err(error) => outcome.end = Err(trap(run, &error)),
        }
        outcome
    }
}

/// Runs what is loaded and puts what the kernel tells into `outcome`.
fn execute(loaded: &Loaded, run: &Run, outcome: &mut Outcome) -> Result<u64, KernelError> {
    let kind = run.object.programs[run.entry].kind;
    if kind == ProgramKind::Raw {
        loaded.set_window(&run.image.window)?;
        let Ended { r0, .. } = loaded.run(&TestRun { packet: &NO_PACKET, context: &[], repeat: 1 })?;
        outcome.image.window.copy_from_slice(&loaded.window()?);
        return Ok(r0);
    }
    let place = Place::of(kind, run.image);
    let packet = run.image.window[place.bytes()].to_vec();
    let given = context::given(kind, run.image);
    let Ended { r0, result, .. } = loaded.run(&TestRun { packet: &packet, context: &given, repeat: 1 })?;
    outcome.image.window[place.bytes()].copy_from_slice(&result.packet);
    context::taken_back(kind, &result.context, &mut outcome.image);
    Ok(r0)
}

/// A run that did not come about: the verifier accepted the program, so that no program is at fault.
fn trap(run: &Run, error: &KernelError) -> Trap {
    let number = match error {
        KernelError::Failed { error, .. } => error.raw_os_error(),
        _ => None,
    };
    let number = number.unwrap_or(libc::EINVAL);
    eprintln!("kernel: {error} ({})", io::Error::from_raw_os_error(number));
    Trap { fault: Fault::Other(number), program: run.entry, at: None }
}
