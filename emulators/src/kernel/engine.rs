// SPDX-License-Identifier: GPL-2.0-or-later
//! The engine `kernel`: whole programs in the running kernel.

use std::cell::{Ref, RefCell};

use kop_ops::ebpf::{CallTarget, Insn, Reg, RegSet};
use kop_ops::{Fault, MapKind, MapSpec, Object, Program, ProgramKind};
use kop_semantics::world::SetupError;
use kop_semantics::world::helpers::{self, Helper};
use kop_semantics::{Outcome, Run, Trap};

use super::load::{Ended, Loaded};
use super::map::{self, Entries};
use super::sys::TestRun;
use super::{KernelError, Verdict, available};
use super::{context, cpu};
use crate::program::{Job, Precision, ProgramEngine, Runs};

/// Its name on the command line and in reports.
pub const NAME: &str = "kernel";

/// What a raw program is run on: the kernel wants an Ethernet header at least.
const NO_PACKET: [u8; 64] = [0; 64];

/// The running kernel. What it tells of a run is r0, the window of a raw program or the packet, and what maps hold
/// ([`Precision::Contents`]); the addresses that a program sees are the kernel's, so that what it computes from them differs.
#[derive(Debug)]
pub struct KernelEngine {
    /// What was loaded or refused last: a program runs on many states, and the verifier may look at it for a second before it refuses.
    last: RefCell<Option<Last>>,
    /// What kept the last run from coming about.
    undone: Option<String>,
}

/// A program of an object, with the length in its prologue, and what the verifier made of it.
#[derive(Debug)]
struct Last {
    object: Object,
    entry: usize,
    length: u64,
    loaded: Result<Loaded, Verdict>,
}

impl Last {
    fn is_of(&self, run: &Run, length: u64) -> bool {
        self.entry == run.entry && self.length == length && self.object == *run.object
    }

    /// Whether it does for one more run: nobody reads a ring buffer, and what earlier runs put there would stay.
    fn is_reusable(&self) -> bool {
        self.loaded.is_err() || self.object.maps.iter().all(|map| map.kind != MapKind::RingBuf)
    }
}

impl KernelEngine {
    /// The engine, if bpf(2) is to be had.
    ///
    /// # Errors
    /// As [`available`].
    pub fn new() -> Result<Self, String> {
        available()?;
        Ok(Self { last: RefCell::new(None), undone: None })
    }

    /// What `run` is of in the kernel, loaded unless it was last, or what the verifier has or had against it.
    fn load(&self, run: &Run) -> Result<Ref<'_, Loaded>, KernelError> {
        let length = match run.object.programs[run.entry].kind {
            ProgramKind::Raw => run.registers[Reg::R2.index()],
            ProgramKind::Xdp | ProgramKind::Tc => 0,
        };
        let mut last = self.last.borrow_mut();
        if !last.as_ref().is_some_and(|last| last.is_of(run, length) && last.is_reusable()) {
            // What is loaded goes before something else comes.
            *last = None;
            let loaded = match Loaded::new(run.object, run.entry, length, true) {
                Ok(loaded) => Ok(loaded),
                Err(KernelError::Refused(verdict)) => Err(verdict),
                Err(error) => return Err(error),
            };
            *last = Some(Last { object: run.object.clone(), entry: run.entry, length, loaded });
        }
        drop(last);
        Ref::filter_map(self.last.borrow(), |last| last.as_ref()?.loaded.as_ref().ok()).map_err(|last| {
            let verdict = last.as_ref().and_then(|last| last.loaded.as_ref().err());
            KernelError::Refused(verdict.expect("what is not loaded was refused").clone())
        })
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
        let kind = run.object.programs[run.entry].kind;
        if kind != ProgramKind::Raw {
            context::admits(kind, run.world, run.image)?;
        } else if run.registers[Reg::R1.index()] != run.image.slot.window() {
            return Err("the verifier has to know that r1 is the window, and here it is not".to_owned());
        }
        compared(run)?;
        constants(run)?;
        self.load(run).map(drop).map_err(|error| error.to_string())
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
        let ended = self.load(run).and_then(|loaded| execute(&loaded, run, &mut outcome));
        match ended {
            Ok(r0) => (outcome.end, self.undone) = (Ok(r0), None),
            Err(error) => {
                outcome.end = Err(trap(run, &error));
                self.undone = Some(error.to_string());
            }
        }
        outcome
    }

    fn undone(&self) -> Option<String> {
        self.undone.clone()
    }
}

/// Refuses programs whose results depend on more than what a run says.
fn compared(run: &Run) -> Result<(), String> {
    let object = run.object;
    let calls = |program: &Program| -> Vec<i32> {
        let id = |insn: &Insn| match insn {
            Insn::Call { target: CallTarget::Helper(id) } => Some(*id),
            _ => None,
        };
        program.flow.insns().iter().filter_map(id).collect()
    };
    let mut ids = calls(&object.programs[run.entry]);
    if ids.contains(&TAIL_CALL) {
        ids = object.programs.iter().flat_map(calls).collect();
    }
    for id in ids {
        let reason = match id {
            CLONE_REDIRECT => "would send packets to a device of this machine",
            PERF_EVENT_OUTPUT => "depends on who reads the events, which is nobody here",
            UPDATE if !evicts_nothing(object) => {
                "can make the kernel drop any element of an LRU map that is not far from full: it chooses by batches for each CPU"
            }
            GET_SMP_PROCESSOR_ID if cpu::lowest().is_ok_and(|cpu| cpu == run.world.cpu() as usize) => {
                continue;
            }
            _ if Helper::find(id).is_some_and(|helper| !helper.comparable) => {
                "gives another result in each run"
            }
            _ => continue,
        };
        return Err(format!("helper {} (id {id}) {reason}", helpers::name(id)));
    }
    Ok(())
}

/// Whether no LRU map can come near to being full in a run, which each call in a straight program without subprograms and
/// tail calls happens in once: the kernel keeps up to half of the elements free for other CPUs.
fn evicts_nothing(object: &Object) -> bool {
    let call = |id| Insn::Call { target: CallTarget::Helper(id) };
    let straight = object.programs.iter().all(|program| {
        let (flow, count) = (&program.flow, program.flow.insns().len());
        let forward = (0..count).all(|index| flow.target(index).is_none_or(|target| target > index));
        forward && flow.functions().len() == 1 && !flow.insns().contains(&call(TAIL_CALL))
    });
    let updates =
        |program: &Program| program.flow.insns().iter().filter(|insn| **insn == call(UPDATE)).count();
    let most = object.programs.iter().map(updates).max().unwrap_or(0);
    let roomy = |map: &MapSpec| map.kind != MapKind::LruHash || most <= map.max_entries as usize / 8;
    object.maps.iter().all(|map| map.kind != MapKind::LruHash) || straight && object.maps.iter().all(roomy)
}

const GET_SMP_PROCESSOR_ID: i32 = 8;
const TAIL_CALL: i32 = 12;
const UPDATE: i32 = 2;
const CLONE_REDIRECT: i32 = 13;
const PERF_EVENT_OUTPUT: i32 = 25;

/// Refuses contents of maps that cannot be put into the kernel, or do not stay there: constants that differ from what the object declares, and
/// references to devices, CPUs and sockets of this machine.
fn constants(run: &Run) -> Result<(), String> {
    for (index, (contents, spec)) in contents(run)?.iter().zip(run.object.maps.iter()).enumerate() {
        let read_only = map::is_constant(spec);
        if spec.kind == MapKind::LruHash && contents.len() > spec.max_entries as usize / 4 {
            return Err(format!(
                "LRU map `{}` is not far from full: the kernel can drop any element",
                spec.name
            ));
        }
        if !read_only && map::holds_bytes(spec.kind) {
            continue;
        }
        let mut declared = spec.initial.clone();
        declared.sort_unstable();
        if spec.kind != MapKind::ProgramArray && !read_only && !contents.is_empty() {
            return Err(format!("map `{}` refers to what this machine may not have", spec.name));
        }
        let differs = if read_only {
            let zero = vec![0; spec.value_size as usize];
            contents.iter().any(|entry| entry.1 != zero && declared.binary_search(entry).is_err())
        } else {
            *contents != declared
        };
        if differs {
            return Err(format!("map {index}, `{}`, is not what its object declares", spec.name));
        }
    }
    Ok(())
}

/// What each map holds before the run, ascending by key.
fn contents(run: &Run) -> Result<Vec<Entries>, String> {
    let contents = run.world.contents(run.image);
    let contents = contents.map_err(|fault| format!("the run's memory lacks maps: {fault}"))?;
    Ok(contents
        .into_iter()
        .map(|map| {
            let mut entries = map.entries;
            entries.sort_unstable();
            entries
        })
        .collect())
}

/// Runs what is loaded and puts what the kernel tells into `outcome`.
fn execute(loaded: &Loaded, run: &Run, outcome: &mut Outcome) -> Result<u64, KernelError> {
    for (index, entries) in contents(run).map_err(KernelError::Unsupported)?.iter().enumerate() {
        loaded.set_entries(index, entries)?;
    }
    let kind = run.object.programs[run.entry].kind;
    let ended = if kind == ProgramKind::Raw {
        loaded.set_window(&run.image.window)?;
        let ended = loaded.run(&TestRun { packet: &NO_PACKET, context: &[], repeat: 1 })?;
        outcome.image.window.copy_from_slice(&loaded.window()?);
        ended
    } else {
        execute_on_packet(loaded, kind, run, outcome)?
    };
    for index in 0..run.object.maps.len() {
        if let Some(entries) = loaded.entries(index, ended.cpu)? {
            put(outcome.world.set_contents(&mut outcome.image, index, &entries))?;
        }
    }
    Ok(ended.r0)
}

fn execute_on_packet(
    loaded: &Loaded,
    kind: ProgramKind,
    run: &Run,
    outcome: &mut Outcome,
) -> Result<Ended, KernelError> {
    let packet = run.world.packet();
    let bytes = run.image.slice(packet.meta, (packet.end - packet.meta) as usize);
    let bytes =
        bytes.ok_or_else(|| KernelError::Unsupported("the packet is not in the window".to_owned()))?;
    let context = context::given(kind, packet, run.image);
    let ended = loaded.run(&TestRun { packet: bytes, context: &context, repeat: 1 })?;
    context::taken_back(kind, &ended.result.context, &mut outcome.image);
    let metadata = context::metadata(kind, &ended.result.context);
    put(outcome.world.set_packet(&mut outcome.image, metadata, &ended.result.packet))?;
    Ok(ended)
}

fn put(result: Result<(), SetupError>) -> Result<(), KernelError> {
    result.map_err(|error| KernelError::Unsupported(format!("what the kernel gives does not fit: {error}")))
}

/// A run that did not come about: the verifier accepted the program, so that no program is at fault.
fn trap(run: &Run, error: &KernelError) -> Trap {
    let number = match error {
        KernelError::Failed { error, .. } => error.raw_os_error(),
        _ => None,
    };
    let number = number.unwrap_or(libc::EINVAL);
    Trap { fault: Fault::Other(number), program: run.entry, at: None }
}
